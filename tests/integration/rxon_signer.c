/* SPDX-License-Identifier: ISC */
/*
 * Our signatures, for a test to compare with those of the package rxon.
 *
 *	rxon_signer sign SECRET [UNSIGNED...]
 *	rxon_signer verify SECRET [UNSIGNED...]
 *
 * reads a JSON object per line (verify: a signature and a blank before it) and
 * answers each line with its signature (verify: yes or no), or with "error" and
 * why. UNSIGNED are top-level members that it does not cover.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/orchestrator/rxon_sign.h"

static void
answer(const char *line, size_t len, char **argv, bool verify)
{
	const size_t skip = verify ? RXON_SIGNATURE_SIZE : 0;
	char signature[RXON_SIGNATURE_SIZE];
	struct bytes canonical = { 0 };
	struct why why;

	if (len < skip)
		puts("error: no signature");
	else if (rxon_canonical(line + skip, len - skip,
		     (const char *const *)argv + 3, &canonical, &why) == -1 ||
	    rxon_sign(argv[2], &canonical, signature, &why) == -1)
		printf("error: %s\n", why.text);
	else if (!verify)
		puts(signature);
	else
		puts(memcmp(line, signature, RXON_SIGNATURE_SIZE - 1) == 0 ?
			"yes" :
			"no");
	bytes_fini(&canonical);
}

int
main(int argc, char **argv)
{
	size_t size = 0;
	char *line = NULL;
	ssize_t len;

	if (argc < 3 ||
	    (strcmp(argv[1], "sign") != 0 && strcmp(argv[1], "verify") != 0)) {
		(void)fputs("usage: rxon_signer sign|verify SECRET "
			    "[UNSIGNED...]\n",
		    stderr);
		return (64);
	}
	while ((len = getline(&line, &size, stdin)) > 0)
		answer(line, (size_t)len - (line[len - 1] == '\n'), argv,
		    argv[1][0] == 'v');
	free(line);
	return (fflush(stdout) == 0 ? 0 : 1);
}
