/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "supervisor/base/pairs.h"

#define BLANKS " \t"

static void
trim(const char **text, size_t *len)
{
	while (*len > 0 && strchr(BLANKS, **text) != NULL) {
		(*text)++;
		(*len)--;
	}
	while (*len > 0 && strchr(BLANKS, (*text)[*len - 1]) != NULL)
		(*len)--;
}

int
pairs_next(const char **at, struct pair *pair)
{
	const char *equals;
	size_t len;

	if (*at == NULL)
		return (0);
	len = strcspn(*at, ",");
	*pair = (struct pair){ .name = *at, .name_len = len };
	if ((equals = memchr(*at, '=', len)) != NULL) {
		pair->name_len = (size_t)(equals - *at);
		pair->value = equals + 1;
		pair->value_len = len - pair->name_len - 1;
		trim(&pair->value, &pair->value_len);
	}
	trim(&pair->name, &pair->name_len);
	*at = (*at)[len] == ',' ? *at + len + 1 : NULL;
	return (1);
}
