/* SPDX-License-Identifier: ISC */
/*
 * why.h: one sentence that says why something failed, filled by whoever
 * failed and logged by whoever decides what happens next.
 */
#ifndef AVTOWORKER_WHY_H
#define AVTOWORKER_WHY_H

struct why {
	char text[256]; /* a sentence without full stop; never a secret */
};

/* Sets the sentence from a format; cuts what does not fit. */
void why_set(struct why *, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));
/* The same, followed by ": " and the text of errno, which is kept. */
void why_errno(struct why *, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));

#endif
