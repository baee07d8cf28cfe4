/* SPDX-License-Identifier: ISC */
/* words.h: lists of strings that end with NULL, as execve(2) takes them. The
 * strings and the list are all on the heap. */
#ifndef AVTOWORKER_WORDS_H
#define AVTOWORKER_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* A list under construction; begins as { 0 }. Ends with words_take(). */
struct words {
	char **list; /* NULL-terminated; NULL as long as it is empty */
	size_t len;
	bool failed; /* errno says why; nothing is added any more */
};

/* Adds a word, which it takes; NULL, with errno, is a failure. */
void words_add(struct words *, char *word);
/* What has been added; the caller frees it with words_free(). NULL with errno
 * when any of it failed; all is then freed. */
char **words_take(struct words *);

/* A copy, the caller's like the above. NULL with errno. */
char **words_copy(char *const[]);
/* NULL is fine. */
void words_free(char **);

#endif
