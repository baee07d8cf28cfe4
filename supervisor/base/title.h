/* SPDX-License-Identifier: ISC */
/* title.h: what ps(1) shows of the supervisor. */
#ifndef AVTOWORKER_TITLE_H
#define AVTOWORKER_TITLE_H

/* Makes room where the arguments and the environment are, which move to the
 * heap; argv is changed in place. What is left of the environment at its old
 * place, where /proc shows it, is wiped. First of all in main(), before
 * anybody keeps a pointer to a variable. */
void title_init(int argc, char *argv[]);
/* "avtoworkerd: " and the text; cut where there is no more room. */
void title_set(const char *fmt, ...) __attribute__((__format__(printf, 1, 2)));

#endif
