/* SPDX-License-Identifier: ISC */
#include <unistd.h>

#include "supervisor/children/start_gate.h"

void
start_gate_init(struct start_gate *g, unsigned max)
{
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);

	TAILQ_INIT(&g->line);
	g->max = max > 0 ? max : cores > 0 ? (unsigned)cores : 1;
	g->inside = 0;
}

bool
start_gate_enter(struct start_gate *g, struct gate_ticket *t)
{
	if (t->place == GATE_INSIDE)
		return (true);
	if (g->inside >= g->max) {
		if (t->place == GATE_OUTSIDE)
			TAILQ_INSERT_TAIL(&g->line, t, entry);
		t->place = GATE_WAITING;
		return (false);
	}
	if (t->place == GATE_WAITING)
		TAILQ_REMOVE(&g->line, t, entry);
	t->place = GATE_INSIDE;
	g->inside++;
	return (true);
}

void
start_gate_leave(struct start_gate *g, struct gate_ticket *t)
{
	const enum gate_place was = t->place;
	struct gate_ticket *next;

	t->place = GATE_OUTSIDE;
	if (was == GATE_WAITING)
		TAILQ_REMOVE(&g->line, t, entry);
	if (was != GATE_INSIDE)
		return;
	g->inside--;
	/* One that no longer cares must not hold up those behind it. */
	while (g->inside < g->max && (next = TAILQ_FIRST(&g->line)) != NULL) {
		TAILQ_REMOVE(&g->line, next, entry);
		next->place = GATE_OUTSIDE;
		next->open(next->arg);
	}
}
