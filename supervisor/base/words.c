/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "supervisor/base/words.h"

void
words_add(struct words *w, char *word)
{
	char **list;

	if (w->failed || word == NULL ||
	    (list = reallocarray(w->list, w->len + 2, sizeof(*list))) == NULL) {
		w->failed = true;
		free(word);
		return;
	}
	list[w->len++] = word;
	list[w->len] = NULL;
	w->list = list;
}

char **
words_take(struct words *w)
{
	char **list = w->list;

	if (w->failed) {
		words_free(list);
		list = NULL;
	} else if (list == NULL)
		list = calloc(1, sizeof(*list));
	*w = (struct words){ 0 };
	return (list);
}

char **
words_copy(char *const from[])
{
	struct words w = { 0 };

	for (; *from != NULL; from++)
		words_add(&w, strdup(*from));
	return (words_take(&w));
}

void
words_free(char **words)
{
	char **word;

	for (word = words; word != NULL && *word != NULL; word++)
		free(*word);
	free(words);
}
