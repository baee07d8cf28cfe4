/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "child/json_scan.h"
#include "supervisor/used.h"

#define METRICS_MAX  4096 /* bytes of one device's */
#define NUMBER_MAX   9007199254740992.0 /* 2^53: signatures have a limit */
#define MEMORY_FIRST 0.1 /* GB: a lesser change would not be seen */

/* Whether it can be told: a number that no signature could hold would cost the
 * heartbeat that has it. Nesting is limited by the scanner. */
static bool
is_tellable(const struct jslice *value)
{
	struct jscan_iter it;
	struct jslice member;
	double number;

	if (value->type == JSCAN_NUMBER)
		return (jscan_double(value, &number) == 0 &&
		    number >= -NUMBER_MAX && number <= NUMBER_MAX);
	if (value->type != JSCAN_OBJECT && value->type != JSCAN_ARRAY)
		return (true);
	jscan_begin(&it, value);
	while (jscan_next(&it, NULL, &member))
		if (!is_tellable(&member))
			return (false);
	return (true);
}

/* A number that is there; false when it is none, or negative. */
static bool
read_number(const struct jslice *object, const char *name, double *out)
{
	struct jslice value;

	if (!jscan_get(object, name, &value) || value.type == JSCAN_NULL)
		return (true);
	return (
	    jscan_double(&value, out) == 0 && *out >= 0 && *out <= NUMBER_MAX);
}

static int
read_metrics(
    const struct jslice *object, struct used_device *d, struct why *why)
{
	struct jscan_iter it;
	struct jslice metrics, member;

	if (!jscan_get(object, "metrics", &metrics) ||
	    metrics.type == JSCAN_NULL)
		return (0);
	if (metrics.type != JSCAN_OBJECT || metrics.len > METRICS_MAX ||
	    !is_tellable(&metrics)) {
		why_set(why,
		    "its metrics are no object of at most %d bytes, with "
		    "numbers below 2^53",
		    METRICS_MAX);
		return (-1);
	}
	(void)read_number(&metrics, "memory_used_gb", &d->memory_gb);
	jscan_begin(&it, &metrics);
	if (!jscan_next(&it, NULL, &member))
		return (0); /* an empty one says nothing */
	if ((d->metrics = strndup(metrics.p, metrics.len)) == NULL) {
		why_errno(why, "metrics");
		return (-1);
	}
	return (0);
}

static int
read_device(const struct jslice *object, struct used_device *d, struct why *why)
{
	struct jslice value;

	if (!jscan_get(object, "unit_id", &value) ||
	    (d->id = jscan_strdup(&value, USED_ID_MAX)) == NULL ||
	    !jscan_get(object, "load_percent", &value) ||
	    !read_number(object, "load_percent", &d->load_percent)) {
		why_set(why,
		    "a device has no unit_id of at most %d bytes, or no "
		    "load_percent",
		    USED_ID_MAX);
		return (-1);
	}
	return (read_metrics(object, d, why));
}

static int
read_devices(const struct jslice *list, struct used *used, struct why *why)
{
	struct jscan_iter it;
	struct jslice value;

	if (list->type != JSCAN_ARRAY) {
		why_set(why, "its devices are no list");
		return (-1);
	}
	used->devices = calloc(USED_DEVICES_MAX, sizeof(*used->devices));
	if (used->devices == NULL) {
		why_errno(why, "devices");
		return (-1);
	}
	jscan_begin(&it, list);
	while (jscan_next(&it, NULL, &value)) {
		if (used->devices_len == USED_DEVICES_MAX) {
			why_set(why, "it has more than %d devices",
			    USED_DEVICES_MAX);
			return (-1);
		}
		if (read_device(
			&value, &used->devices[used->devices_len++], why) == -1)
			return (-1);
	}
	return (0);
}

int
used_read(const struct jslice *value, struct used *out, struct why *why)
{
	struct used used = { 0 };
	struct jslice devices;

	if (value->type != JSCAN_OBJECT ||
	    !read_number(value, "cpu_load_percent", &used.cpu_percent) ||
	    !read_number(value, "ram_used_gb", &used.memory_gb)) {
		why_set(why,
		    "its usage is no object whose cpu_load_percent and "
		    "ram_used_gb are numbers");
		return (-1);
	}
	if (jscan_get(value, "devices", &devices) &&
	    devices.type != JSCAN_NULL &&
	    read_devices(&devices, &used, why) == -1) {
		used_fini(&used);
		return (-1);
	}
	*out = used;
	return (0);
}

static bool
copy_device(const struct used_device *from, struct used_device *copy)
{
	*copy = *from;
	copy->metrics = NULL;
	if ((copy->id = strdup(from->id)) == NULL)
		return (false);
	if (from->metrics != NULL)
		copy->metrics = strdup(from->metrics);
	return (true);
}

void
used_add(struct used *to, const struct used *from)
{
	size_t i;

	if (to->cpu_percent == 0)
		to->cpu_percent = from->cpu_percent;
	if (to->memory_gb == 0)
		to->memory_gb = from->memory_gb;
	if (from->devices_len == 0)
		return;
	if (to->devices == NULL)
		to->devices = calloc(USED_DEVICES_MAX, sizeof(*to->devices));
	if (to->devices == NULL)
		return;
	for (i = 0; i < from->devices_len; i++)
		if (to->devices_len < USED_DEVICES_MAX &&
		    copy_device(
			&from->devices[i], &to->devices[to->devices_len]))
			to->devices_len++;
}

static double
distance(double a, double b)
{
	return (a > b ? a - b : b - a);
}

static bool
device_differs(
    const struct used_device *a, const struct used_device *b, double band)
{
	double memory_band = b->memory_gb * band / 100;

	if (memory_band < MEMORY_FIRST)
		memory_band = MEMORY_FIRST;
	return (strcmp(a->id, b->id) != 0 ||
	    distance(a->load_percent, b->load_percent) > band ||
	    distance(a->memory_gb, b->memory_gb) > memory_band);
}

bool
used_devices_differ(
    const struct used *now, const struct used *told, double band)
{
	size_t i;

	if (now->devices_len != told->devices_len)
		return (true);
	for (i = 0; i < now->devices_len; i++)
		if (device_differs(&now->devices[i], &told->devices[i], band))
			return (true);
	return (false);
}

void
used_fini(struct used *used)
{
	size_t i;

	for (i = 0; i < used->devices_len; i++) {
		free(used->devices[i].id);
		free(used->devices[i].metrics);
	}
	free(used->devices);
	*used = (struct used){ 0 };
}

void
used_free(struct used *used)
{
	if (used == NULL)
		return;
	used_fini(used);
	free(used);
}
