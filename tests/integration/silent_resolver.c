/* SPDX-License-Identifier: ISC */
/*
 * silent_resolver.c: preloaded into a program (LD_PRELOAD), never answers who
 * looks up a name that ends in ".silent.test", but says on stderr that it was
 * asked. Other names are none of its business.
 */
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

#define SUFFIX     ".silent.test"
#define SUFFIX_LEN (sizeof(SUFFIX) - 1)

typedef int lookup(
    const char *, const char *, const struct addrinfo *, struct addrinfo **);

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
    struct addrinfo **list)
{
	static const char asked[] = "silent_resolver: asked\n";
	const size_t len = node != NULL ? strlen(node) : 0;
	void *found = dlsym(RTLD_NEXT, "getaddrinfo");
	lookup *real;

	if (len >= SUFFIX_LEN && strcmp(node + len - SUFFIX_LEN, SUFFIX) == 0) {
		(void)!write(STDERR_FILENO, asked, sizeof(asked) - 1);
		for (;;)
			(void)pause();
	}
	if (found == NULL)
		return (EAI_FAIL);
	(void)memcpy(&real, &found, sizeof(real));
	return (real(node, service, hints, list));
}
