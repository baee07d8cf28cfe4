/* SPDX-License-Identifier: ISC */
/* python.h: the command of a Python script: which interpreter runs it, and by
 * what. */
#ifndef AVTOWORKER_PYTHON_H
#define AVTOWORKER_PYTHON_H

#include <stdbool.h>

#include "supervisor/base/why.h"

struct conf_python;

/* folder: of the Python module that scripts find. compiles: the script is only
 * compiled, and nothing of it run. Says once in the log which interpreter it
 * is. Caller frees the array and its words. NULL and why. */
char **python_command(const struct conf_python *, const char *folder,
    bool compiles, struct why *why);

#endif
