/* SPDX-License-Identifier: ISC */
/*
 * must.h: what fuzz targets and the rigs of tests take for granted. A claim that
 * does not hold ends the process, which libFuzzer and test.h both tell of.
 */
#ifndef AVTOWORKER_MUST_H
#define AVTOWORKER_MUST_H

#include <stdbool.h>
#include <stdlib.h>

static inline void
must(bool claim)
{
	if (!claim)
		abort();
}

#endif
