/* SPDX-License-Identifier: ISC */
/* used.h: how much of a machine is in use, as a program says it that knows
 * what we do not: its devices, such as graphics processors. */
#ifndef AVTOWORKER_USED_H
#define AVTOWORKER_USED_H

#include <stdbool.h>
#include <stddef.h>

#include "supervisor/base/why.h"

#define USED_ID_MAX      128 /* bytes of a device's id */
#define USED_DEVICES_MAX 64

struct jslice;

struct used_device {
	char *id; /* owned */
	double load_percent;
	double memory_gb; /* of its metrics; 0: not said */
	char *metrics; /* owned; a JSON object that is not empty; NULL: none */
};

/* Zeroed: nothing is said. */
struct used {
	double cpu_percent; /* 0: not said */
	double memory_gb; /* 0: not said */
	struct used_device *devices; /* owned */
	size_t devices_len;
};

/* Reads a value that jscan_check() has passed: {"cpu_load_percent",
 * "ram_used_gb", "devices": [{"unit_id", "load_percent", "metrics"}]}. -1 and
 * why. */
int used_read(const struct jslice *, struct used *, struct why *why);
/* Adds another program's devices, and what else is not said yet; as far as
 * there is room and memory. */
void used_add(struct used *, const struct used *);
/* True when the devices are not those that were told, or one of them has
 * changed by more than the band: points of its load, or percent of its
 * memory. */
bool used_devices_differ(
    const struct used *, const struct used *told, double band);
void used_fini(struct used *);
void used_free(struct used *); /* one that was allocated; NULL is fine */

#endif
