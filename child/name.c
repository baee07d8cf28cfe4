/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "child/name.h"

#define CHARACTERS \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" \
	"0123456789._:-"

bool
name_is_sane(const char *name)
{
	const size_t len = strspn(name, CHARACTERS);

	return (len > 0 && len <= NAME_BYTES_MAX && name[len] == '\0');
}
