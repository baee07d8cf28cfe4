/* SPDX-License-Identifier: ISC */
/* name.h: what a task type, a category or a status may be called. */
#ifndef AVTOWORKER_NAME_H
#define AVTOWORKER_NAME_H

#include <stdbool.h>

#define NAME_BYTES_MAX 128

/* 1 to NAME_BYTES_MAX of A-Z a-z 0-9 . _ : - */
bool name_is_sane(const char *name);

#endif
