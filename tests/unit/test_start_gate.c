/* SPDX-License-Identifier: ISC */
#include <stddef.h>

#include "supervisor/children/start_gate.h"
#include "tests/test.h"

struct caller {
	struct start_gate *gate;
	struct gate_ticket ticket;
	unsigned called;
	bool enters; /* when it is called */
};

static void
on_open(void *arg)
{
	struct caller *c = arg;

	c->called++;
	if (c->enters)
		ASSERT(start_gate_enter(c->gate, &c->ticket));
}

static struct caller
caller(struct start_gate *gate, bool enters)
{
	return ((struct caller){
	    .gate = gate, .ticket.open = on_open, .enters = enters });
}

#define CALLERS(gate) \
	struct caller a = caller(&(gate), true), b = caller(&(gate), true), \
		      c = caller(&(gate), true); \
	a.ticket.arg = &a; \
	b.ticket.arg = &b; \
	c.ticket.arg = &c

static void
lets_in_as_many_as_fit(void)
{
	struct start_gate gate;
	CALLERS(gate);

	start_gate_init(&gate, 2);
	ASSERT(start_gate_enter(&gate, &a.ticket));
	ASSERT(start_gate_enter(&gate, &a.ticket)); /* it is inside */
	ASSERT(start_gate_enter(&gate, &b.ticket));
	ASSERT(!start_gate_enter(&gate, &c.ticket));
	ASSERT(!start_gate_enter(&gate, &c.ticket)); /* once in line */
	start_gate_leave(&gate, &a.ticket);
	start_gate_leave(&gate, &a.ticket);
	ASSERT_INT(c.called, 1);
	ASSERT_INT(c.ticket.place, GATE_INSIDE);
	ASSERT_INT(gate.inside, 2);
}

static void
who_gives_up_holds_up_nobody(void)
{
	struct start_gate gate;
	CALLERS(gate);

	start_gate_init(&gate, 1);
	ASSERT(start_gate_enter(&gate, &a.ticket));
	ASSERT(!start_gate_enter(&gate, &b.ticket));
	ASSERT(!start_gate_enter(&gate, &c.ticket));
	b.enters = false; /* it has no use for it any more */
	start_gate_leave(&gate, &a.ticket);
	ASSERT_INT(b.called, 1);
	ASSERT_INT(c.ticket.place, GATE_INSIDE);
	ASSERT(!start_gate_enter(&gate, &b.ticket));
	start_gate_leave(&gate, &b.ticket);
	start_gate_leave(&gate, &c.ticket);
	ASSERT_INT(b.called, 1);
	ASSERT_INT(gate.inside, 0);
}

static void
there_is_one_place_for_each_core(void)
{
	struct start_gate gate;

	start_gate_init(&gate, 0);
	ASSERT(gate.max >= 1);
}

static const struct test tests[] = {
	{ "as many get in as fit, the others in line", lets_in_as_many_as_fit },
	{ "who gives up holds up nobody", who_gives_up_holds_up_nobody },
	{ "there is one place for each core",
	    there_is_one_place_for_each_core },
};
TEST_MAIN(tests)
