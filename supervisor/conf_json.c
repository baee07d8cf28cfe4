/* SPDX-License-Identifier: ISC */
#include "child/bytes.h"
#include "child/json_scan.h"
#include "supervisor/conf_json.h"

void
conf_json_line(const struct jslice *value, struct bytes *out)
{
	size_t i;

	/* Those that there are stand between tokens. */
	for (i = 0; i < value->len; i++)
		bytes_append(out,
		    (unsigned char)value->p[i] < ' ' ? " " : &value->p[i], 1);
}

bool
conf_json_whole(const struct jslice *value, struct bytes *out)
{
	double number;

	if (jscan_double(value, &number) == -1 || number < 0 || number > 1e6)
		return (false);
	if (number > 0)
		bytes_printf(out, "%d", number < 1 ? 1 : (int)(number + 0.5));
	return (true);
}
