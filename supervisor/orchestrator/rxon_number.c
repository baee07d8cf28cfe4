/* SPDX-License-Identifier: ISC */
/*
 * rxon_number.c: numbers as the server's JSON library writes them. Locales
 * have no say: digits are picked out of what printf() writes, and strtod()
 * only ever sees texts without a decimal point.
 */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child/bytes.h"
#include "child/json_scan.h"
#include "supervisor/orchestrator/rxon_number.h"

#define DIGITS_MAX         17 /* always enough to read back the same double */
#define FIXED_EXPONENT_MIN (-5) /* smaller numbers get an exponent */

/* The number d.ddd times ten to the exponent, without its sign. */
struct decimal {
	char digits[DIGITS_MAX + 1];
	int ndigits;
	int exponent;
};

/* x > 0, rounded to that many digits. */
static struct decimal
round_to(double x, int ndigits)
{
	struct decimal d = { .ndigits = 0 };
	char text[64];
	const char *p;

	(void)snprintf(text, sizeof(text), "%.*e", ndigits - 1, x);
	for (p = text; *p != '\0' && *p != 'e'; p++)
		if (*p >= '0' && *p <= '9' && d.ndigits < DIGITS_MAX)
			d.digits[d.ndigits++] = *p;
	d.exponent = (int)strtol(*p == 'e' ? p + 1 : p, NULL, 10);
	return (d);
}

/* The next greater decimal of as many digits. */
static struct decimal
next_up(struct decimal d)
{
	int i = d.ndigits - 1;

	while (i >= 0 && d.digits[i] == '9')
		d.digits[i--] = '0';
	if (i >= 0) {
		d.digits[i]++;
	} else {
		d.digits[0] = '1';
		d.exponent++;
	}
	return (d);
}

static bool
reads_back(const struct decimal *d, double x)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "%.*se%d", d->ndigits, d->digits,
	    d->exponent - (d->ndigits - 1));
	return (strtod(text, NULL) == x);
}

/* The shortest decimal that reads back as x > 0, and of those the nearest. */
static struct decimal
shortest(double x)
{
	/* Any decimal of DBL_DIG digits survives a normal double, so that a
	 * shorter one shows up there with zeros behind it. */
	int ndigits = x < DBL_MIN ? 1 : DBL_DIG, exponent;
	const bool power_of_two = frexp(x, &exponent) == 0.5;
	struct decimal d;

	for (; ndigits < DIGITS_MAX; ndigits++) {
		d = round_to(x, ndigits);
		if (reads_back(&d, x))
			break;
		/* Doubles lie twice as far apart above a power of two, where
		 * a decimal that is not the nearest may be near enough. */
		d = next_up(d);
		if (power_of_two && reads_back(&d, x))
			break;
	}
	if (ndigits == DIGITS_MAX)
		d = round_to(x, DIGITS_MAX);
	while (d.ndigits > 1 && d.digits[d.ndigits - 1] == '0')
		d.ndigits--;
	return (d);
}

/* Appends a float that is not integral. */
static void
put_fraction(struct bytes *out, double x)
{
	const struct decimal d = shortest(fabs(x));
	const int before = d.exponent + 1; /* digits before the point */

	if (x < 0)
		bytes_puts(out, "-");
	if (d.exponent < FIXED_EXPONENT_MIN) {
		bytes_append(out, d.digits, 1);
		if (d.ndigits > 1)
			bytes_printf(out, ".%.*s", d.ndigits - 1, d.digits + 1);
		bytes_printf(out, "e%d", d.exponent);
	} else if (before > 0) {
		bytes_printf(out, "%.*s.%.*s", before, d.digits,
		    d.ndigits - before, d.digits + before);
	} else {
		bytes_printf(
		    out, "0.%.*s%.*s", -before, "00000", d.ndigits, d.digits);
	}
}

/* True for an integer literal within -2^63..2^64-1. */
static bool
is_integer(const struct jslice *number)
{
	static const char max[] = "18446744073709551615";
	int64_t value;
	size_t i;

	for (i = number->p[0] == '-'; i < number->len; i++)
		if (number->p[i] < '0' || number->p[i] > '9')
			return (false);
	if (jscan_int64(number, &value) == 0)
		return (true);
	return (number->p[0] != '-' &&
	    (number->len < sizeof(max) - 1 ||
		(number->len == sizeof(max) - 1 &&
		    memcmp(number->p, max, number->len) <= 0)));
}

static bool
is_whole(double x)
{
	/* From 2^53 on there are no others. */
	return (fabs(x) >= 0x1p53 || (double)(int64_t)x == x);
}

const char *
rxon_put_number(struct bytes *out, const struct jslice *number)
{
	double x;

	if (number->len == 2 && memcmp(number->p, "-0", 2) == 0) {
		bytes_puts(out, "0");
		return (NULL);
	}
	if (is_integer(number)) {
		bytes_append(out, number->p, number->len);
		return (NULL);
	}
	if (jscan_double(number, &x) == -1)
		return ("a number is beyond the range of a double");
	if (!is_whole(x))
		put_fraction(out, x);
	else if (x >= -0x1p63 && x < 0x1p63)
		bytes_printf(out, "%" PRId64, (int64_t)x);
	else if (x > 0 && x < 0x1p64)
		bytes_printf(out, "%" PRIu64, (uint64_t)x);
	else
		return ("a whole number is outside -2^63..2^64-1");
	return (NULL);
}
