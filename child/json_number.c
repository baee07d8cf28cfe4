/* SPDX-License-Identifier: ISC */
/*
 * json_number.c: the values of numbers that json_scan.c has checked. Integers
 * are read from their digits, so that none is bent by a double on the way.
 */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "child/json_scan.h"

#define NUMBER_SIZE  64 /* longer numbers are read from a heap copy */
#define EXPONENT_MAX INT64_C(1000000000000000)

/* A number as it is written: the digits from first to last, not counting the
 * zeros around them, times ten to the power. */
struct decimal {
	const char *first; /* NULL for zero */
	const char *last;
	int64_t power;
	int64_t ndigits;
	bool negative;
};

static int64_t
read_exponent(const char *p, const char *end)
{
	const bool negative = p < end && *p == '-';
	int64_t value = 0;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	for (; p < end; p++)
		if (value < EXPONENT_MAX)
			value = value * 10 + (*p - '0');
	return (negative ? -value : value);
}

static struct decimal
read_decimal(const struct jslice *number)
{
	const char *p = number->p, *end = number->p + number->len;
	const char *point = NULL, *q;
	struct decimal d = { .negative = *number->p == '-' };

	for (p += d.negative; p < end && (*p | 0x20) != 'e'; p++) {
		if (*p == '.') {
			point = p;
		} else if (*p != '0') {
			if (d.first == NULL)
				d.first = p;
			d.last = p;
		}
	}
	if (d.first == NULL)
		return (d);
	if (point == NULL)
		point = p;
	/* The place of the last digit counts from the point. */
	d.power = d.last < point ? point - d.last - 1 : point - d.last;
	for (q = d.first; q <= d.last; q++)
		d.ndigits += *q != '.';
	if (p < end)
		d.power += read_exponent(p + 1, end);
	return (d);
}

int
jscan_int64(const struct jslice *number, int64_t *value)
{
	struct decimal d;
	uint64_t sum = 0;
	const char *p;

	if (number->type != JSCAN_NUMBER) {
		errno = EINVAL;
		return (-1);
	}
	d = read_decimal(number);
	if (d.first != NULL) {
		if (d.power < 0) {
			errno = EINVAL;
			return (-1);
		}
		if (d.ndigits + d.power > 19) { /* more than 64 bits hold */
			errno = ERANGE;
			return (-1);
		}
		for (p = d.first; p <= d.last; p++)
			if (*p != '.')
				sum = sum * 10 + (uint64_t)(*p - '0');
		for (; d.power > 0; d.power--)
			sum *= 10;
	}
	if (sum > (uint64_t)INT64_MAX + d.negative) {
		errno = ERANGE;
		return (-1);
	}
	*value = (int64_t)(d.negative ? 0 - sum : sum);
	return (0);
}

int
jscan_double(const struct jslice *number, double *value)
{
	char own[NUMBER_SIZE], *copy = own;
	locale_t c_locale;
	double read;

	if (number->type != JSCAN_NUMBER) {
		errno = EINVAL;
		return (-1);
	}
	/* strtod() wants an end, which a slice has not, and a point. */
	if (number->len >= sizeof(own) &&
	    (copy = malloc(number->len + 1)) == NULL)
		return (-1);
	memcpy(copy, number->p, number->len);
	copy[number->len] = '\0';
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (c_locale != (locale_t)0) {
		read = strtod_l(copy, NULL, c_locale);
		freelocale(c_locale);
	}
	if (copy != own)
		free(copy);
	if (c_locale == (locale_t)0) {
		errno = ENOMEM;
		return (-1);
	}
	if (!isfinite(read)) {
		errno = ERANGE;
		return (-1);
	}
	*value = read;
	return (0);
}
