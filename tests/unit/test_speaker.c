/* SPDX-License-Identifier: ISC */
/* The child that speaks for its program, without processes and time. */
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "supervisor/used.h"
#include "tests/fuzz/fake_world.h"
#include "tests/test.h"
#include "tests/unit/program_rig.h"

#define CHILDREN 2
#define OFFER(more) \
	"{\"version\":1,\"handlers\":[{\"type\":\"a\",\"category\":\"one\"}," \
	"{\"type\":\"b\",\"category\":\"one\"}," \
	"{\"type\":\"c\",\"category\":\"two\"}]" more "}"

static const char speaks[] = OFFER(",\"commands\":[\"reload\"]");
static const char silent[] = OFFER("");

/* Types a and b are of a category, c of another one. */
static void
open_rig(struct rig *r, const char *ready)
{
	struct handler_source *source;

	world_reset();
	rig_init(r, world_env());
	source = rig_add_source(r, "one");
	rig_add_handler(r, "a", "one", source);
	rig_add_handler(r, "b", "one", source);
	rig_add_handler(r, "c", "two", source);
	r->conf = (struct conf_category){
		.children = CHILDREN,
		.start_timeout_ms = 1000,
		.stop_timeout_ms = 1000,
		.withdraw_after_ms = 100000,
		.idle_timeout_ms = 100000,
	};
	rig_add_category(r, "one");
	rig_add_category(r, "two");
	rig_open(r, &(struct program_settings){ .name = "it" });
	rig_describe(r, ready);
	program_start(r->program);
	world_say_all(FRAME_READY, ready);
	ASSERT_INT(world.count, CHILDREN);
}

static void
close_rig(struct rig *r)
{
	rig_close(r);
	world_reset();
}

/* Frames of that type that the n-th child has got, and the last one. */
static unsigned
heard(unsigned n, enum frame_type type, char *last, size_t size)
{
	struct frame_header header;
	char payload[1024];
	unsigned count = 0;

	while (world_hear(world_child(n), &header, payload, sizeof(payload)))
		if (header.type == type) {
			count++;
			ASSERT(header.length < size);
			memcpy(last, payload, header.length);
			last[header.length] = '\0';
		}
	return (count);
}

/* The one child that has been told to speak since the last look. */
static unsigned
speaker(void)
{
	unsigned i, n = WORLD_CHILDREN_MAX, told = 0;
	char text[1024];

	for (i = 0; i < world.count; i++)
		if (heard(i, FRAME_SPEAK, text, sizeof(text)) > 0) {
			ASSERT_STR(text, "{}");
			n = i;
			told++;
		}
	ASSERT_INT(told, 1);
	return (n);
}

static void
say(unsigned n, const char *state)
{
	world_say(world_child(n), FRAME_STATE, 0, state);
	world_turn();
}

/* Places for more leases of a category, or of any. */
static unsigned
places(struct rig *r, const char *name)
{
	const struct category *only =
	    name != NULL ? category_find(&r->categories, name) : NULL;

	return ((unsigned)rig_places(r, only).children);
}

static void
one_speaks(void)
{
	struct rig r;
	unsigned first;

	open_rig(&r, speaks);
	first = speaker();
	world_die(world_child(first), SIGKILL);
	expect_log("starting another");
	world_turn();
	(void)speaker(); /* the one that is left */
	close_rig(&r);
}

static void
nobody_speaks(void)
{
	char text[1024];
	struct rig r;
	unsigned i;

	open_rig(&r, silent);
	for (i = 0; i < CHILDREN; i++)
		ASSERT_INT(heard(i, FRAME_SPEAK, text, sizeof(text)), 0);
	ASSERT(!program_takes_command(r.program, "reload"));
	say(0, "{\"full\":[\"a\",\"b\",\"c\"],\"usage\":{\"ram_used_gb\":1}}");
	ASSERT_INT(places(&r, NULL), CHILDREN);
	ASSERT(program_used(r.program) == NULL);
	close_rig(&r);
}

static void
holds_back(void)
{
	struct rig r;
	unsigned n, room;

	open_rig(&r, speaks);
	n = speaker();
	ASSERT_INT(places(&r, NULL), CHILDREN);
	say(1 - n, "{\"full\":[\"a\",\"b\",\"c\"]}"); /* is not asked */
	ASSERT_INT(places(&r, NULL), CHILDREN);
	say(n, "{\"full\":[\"a\"]}");
	ASSERT(program_is_full(r.program, "a"));
	ASSERT(!program_is_full(r.program, "b"));
	ASSERT_INT(places(&r, "one"), CHILDREN);
	say(n, "{\"full\":[\"a\",\"b\"]}");
	ASSERT_INT(places(&r, "one"), 0);
	ASSERT_INT(places(&r, "two"), CHILDREN);
	say(n, "{\"full\":[\"a\",\"b\",\"c\"]}");
	ASSERT_INT(places(&r, NULL), 0);
	room = r.room;
	say(n, "{\"full\":[\"a\",\"b\"]}");
	ASSERT(r.room > room);
	ASSERT_INT(places(&r, NULL), CHILDREN);
	close_rig(&r);
}

static void
holds_nothing_back_for_long(void)
{
	struct rig r;
	unsigned n, room;

	open_rig(&r, speaks);
	n = speaker();
	say(n, "{\"full\":[\"a\",\"b\",\"c\"]}");
	world_pass(20000);
	say(n, "{\"full\":[\"a\",\"b\",\"c\"]}");
	world_pass(29000);
	ASSERT_INT(places(&r, NULL), 0);
	room = r.room;
	expect_log("asking for its tasks again");
	world_pass(1001);
	ASSERT_INT(places(&r, NULL), CHILDREN);
	ASSERT(r.room > room);
	/* What a dead one has said counts as long. */
	say(n, "{\"full\":[\"a\",\"b\",\"c\"]}");
	world_die(world_child(n), SIGKILL);
	expect_log("starting another");
	world_turn();
	ASSERT_INT(places(&r, NULL), 0);
	close_rig(&r);
}

static void
tells_what_is_in_use(void)
{
	const struct used *used;
	struct rig r;
	unsigned n;

	open_rig(&r, speaks);
	n = speaker();
	ASSERT(program_used(r.program) == NULL);
	say(1 - n, "{\"usage\":{\"ram_used_gb\":1}}");
	ASSERT(program_used(r.program) == NULL);
	say(n, "{\"usage\":{\"ram_used_gb\":2}}");
	say(n, "{\"full\":[]}");
	ASSERT((used = program_used(r.program)) != NULL);
	ASSERT(used->memory_gb == 2);
	expect_log("a state frame is left out");
	say(n, "{\"usage\":7}");
	say(n, "{\"usage\":7}"); /* once */
	ASSERT(program_used(r.program) != NULL);
	world_pass(30000);
	ASSERT(program_used(r.program) == NULL);
	close_rig(&r);
}

static void
takes_commands(void)
{
	char large[40000], text[64];
	struct why why;
	struct rig r;
	unsigned n, i;

	open_rig(&r, speaks);
	n = speaker();
	ASSERT(program_takes_command(r.program, "reload"));
	ASSERT(!program_takes_command(r.program, "reboot"));
	ASSERT_INT(program_command(r.program, "{\"n\":1}", 7, &why), 0);
	ASSERT_INT(heard(1 - n, FRAME_COMMAND, text, sizeof(text)), 0);
	ASSERT_INT(heard(n, FRAME_COMMAND, text, sizeof(text)), 1);
	ASSERT_STR(text, "{\"n\":1}");
	/* It reads nothing any more: they do not pile up. */
	memset(large, ' ', sizeof(large));
	for (i = 0; i < 1000; i++)
		if (program_command(r.program, large, sizeof(large), &why) ==
		    -1)
			break;
	ASSERT(i > 10 && i < 200);
	ASSERT(strstr(why.text, "does not read") != NULL);
	ASSERT_INT(places(&r, NULL), CHILDREN);
	close_rig(&r);
	/* Nobody is there. */
	open_rig(&r, speaks);
	for (i = 0; i < CHILDREN; i++)
		world_die(world_child(i), SIGKILL);
	expect_log("starting another");
	expect_log("starting another");
	world_turn();
	ASSERT_INT(program_command(r.program, "{}", 2, &why), -1);
	ASSERT_STR(why.text, "no child of \"it\" is ready");
	close_rig(&r);
}

/* Nothing is known of it until one of them is told something. */
static void
nobody_is_there_any_more(void)
{
	struct why why;
	struct rig r;
	unsigned n;

	open_rig(&r, speaks);
	n = speaker();
	(void)shutdown(world_child(n)->channel_fd, SHUT_RDWR);
	world_turn();
	(void)shutdown(world_child(1 - n)->channel_fd, SHUT_RDWR);
	expect_log("has closed its channel");
	ASSERT_INT(program_command(r.program, "{}", 2, &why), -1);
	ASSERT_STR(why.text, "no child of \"it\" is ready");
	close_rig(&r);
	open_rig(&r, speaks);
	n = speaker();
	(void)shutdown(world_child(n)->channel_fd, SHUT_RDWR);
	ASSERT_INT(program_command(r.program, "{}", 2, &why), -1);
	ASSERT(strstr(why.text, "has closed its channel") != NULL);
	ASSERT_INT(program_command(r.program, "{}", 2, &why), 0);
	ASSERT_INT(speaker(), 1 - n);
	close_rig(&r);
}

static const struct test tests[] = {
	{ "one child is told to speak, and another when that has died",
	    one_speaks },
	{ "who has asked for no speaker has none, and is not believed",
	    nobody_speaks },
	{ "a category all of whose types are full has no places", holds_back },
	{ "a speaker that says it no more holds nothing back",
	    holds_nothing_back_for_long },
	{ "what the speaker says is in use counts for a while",
	    tells_what_is_in_use },
	{ "commands go to the speaker, if it reads them", takes_commands },
	{ "a command finds out that the children are gone",
	    nobody_is_there_any_more },
};
TEST_MAIN(tests)
