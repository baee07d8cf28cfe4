/* SPDX-License-Identifier: ISC */
#include "supervisor/places.h"

void
places_add(struct places *p, int places, unsigned queued)
{
	/* Where more wait than there are children for, the rest of them will
	 * not run for now, and takes no place. */
	p->children += places > 0 ? places : 0;
	p->taken += (int64_t)queued + (places < 0 ? places : 0);
}

unsigned
places_left(const struct places *p, int64_t max_running)
{
	int64_t room = max_running - p->taken;

	if (p->children < room)
		room = p->children;
	return (room > 0 ? (unsigned)room : 0);
}
