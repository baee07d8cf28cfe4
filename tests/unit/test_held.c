/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "child/bytes.h"
#include "supervisor/children/held.h"
#include "supervisor/used.h"
#include "tests/test.h"

static void
say(struct held *held, const char *text, int want)
{
	struct why why;

	test_same_int(__FILE__, __LINE__, text,
	    held_read(text, strlen(text), held, &why), want);
}

/* The union of what two children hold. */
static void
check_cache(const struct held *a, const struct held *b, const char *want)
{
	char *names[4];
	size_t i, count;
	struct bytes text = { 0 };

	count = held_add_cache(a, names, 0, 4);
	count = held_add_cache(b, names, count, 4);
	for (i = 0; i < count; i++) {
		bytes_printf(&text, "%s ", names[i]);
		free(names[i]);
	}
	bytes_append(&text, "", 1);
	ASSERT_STR(text.p, want);
	bytes_fini(&text);
}

static void
keeps_what_was_said_last(void)
{
	struct held a = { 0 }, b = { 0 };

	check_cache(&a, &b, "");
	ASSERT(held_has_skill(&a, "echo"));
	say(&a, "{\"hot_cache\":[\"llama\",\"wh\\u0069sper\"],\"later\":1}", 0);
	say(&b, "{\"hot_cache\":[\"whisper\",\"x\",\"y\",\"z\"]}", 0);
	check_cache(&a, &b, "llama whisper x y ");
	ASSERT(held_has_skill(&a, "echo"));
	say(&a, "{\"hot_skills\":[\"a\",\"b\"]}", 0);
	ASSERT(held_has_skill(&a, "b"));
	ASSERT(!held_has_skill(&a, "echo"));
	say(&a, "{\"hot_skills\":[],\"hot_cache\":[]}", 0);
	ASSERT(!held_has_skill(&a, "b"));
	check_cache(&a, &b, "whisper x y z ");
	held_fini(&a);
	held_fini(&b);
	ASSERT(held_has_skill(&a, "echo"));
}

static void
wants_to_go_when_it_says_so(void)
{
	struct held held = { 0 };

	say(&held, "{\"hot_cache\":[]}", 0);
	ASSERT(!held.leaving);
	say(&held, "{\"leaving\":true}", 0);
	say(&held, "{\"hot_cache\":[]}", 0);
	ASSERT(held.leaving);
	held_fini(&held);
}

static void
says_what_a_speaker_has_to_say(void)
{
	struct held held = { 0 };

	say(&held, "{\"hot_cache\":[]}", 0);
	ASSERT(held.full == NULL && held.used == NULL);
	say(&held,
	    "{\"full\":[\"a\",\"b\"],\"usage\":{\"devices\":["
	    "{\"unit_id\":\"0\",\"load_percent\":7}]}}",
	    0);
	ASSERT_STR(held.full, "[\"a\",\"b\"]");
	ASSERT_INT(held.used->devices_len, 1);
	say(&held, "{\"full\":[]}", 0);
	ASSERT_STR(held.full, "[]");
	ASSERT_INT(held.used->devices_len, 1);
	say(&held, "{\"usage\":{\"ram_used_gb\":1}}", 0);
	ASSERT_INT(held.used->devices_len, 0);
	held_fini(&held);
}

static const char *const refused[] = {
	"",
	"[]",
	"{\"hot_cache\":null}",
	"{\"hot_cache\":{}}",
	"{\"hot_cache\":[\"a\",7]}",
	"{\"hot_cache\":[\"a\"],\"hot_skills\":[[]]}",
	"{\"hot_cache\":[\"a\\u0000\"]}",
	"{\"hot_cache\":[\"a\"]} x",
	"{\"hot_cache\":[\"a\"],\"full\":true}",
	"{\"hot_cache\":[\"a\"],\"usage\":[]}",
	"{\"hot_cache\":[\"a\"],\"usage\":{\"devices\":[7]}}",
};

static void
refuses_what_is_malformed(void)
{
	struct held held = { 0 }, nothing = { 0 };
	size_t i;

	say(&held, "{\"hot_cache\":[\"kept\"],\"hot_skills\":[\"echo\"]}", 0);
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		say(&held, refused[i], -1);
	check_cache(&held, &nothing, "kept ");
	ASSERT(held_has_skill(&held, "echo"));
	held_fini(&held);
}

static const struct test tests[] = {
	{ "what a child holds is what it said last, and the union is told",
	    keeps_what_was_said_last },
	{ "a child that wants to go has said so", wants_to_go_when_it_says_so },
	{ "a speaker says what is full, and what is in use",
	    says_what_a_speaker_has_to_say },
	{ "what is malformed changes nothing", refuses_what_is_malformed },
};
TEST_MAIN(tests)
