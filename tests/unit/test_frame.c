/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "child/frame.h"
#include "tests/test.h"

static const enum frame_type types[] = {
	FRAME_TASK,
	FRAME_CANCEL,
	FRAME_STOP,
	FRAME_SPEAK,
	FRAME_COMMAND,
	FRAME_READY,
	FRAME_STARTED,
	FRAME_RESULT,
	FRAME_LOG,
	FRAME_PROGRESS,
	FRAME_EVENT,
	FRAME_STATE,
};
#define NTYPES (sizeof(types) / sizeof(types[0]))

static void
lays_out(void)
{
	const struct frame_header header = {
		.length = 0x00030201,
		.type = FRAME_RESULT,
		.lease = UINT64_C(0x8877665544332211),
	};
	const unsigned char want[CHANNEL_HEADER_SIZE] = {
		0x01,
		0x02,
		0x03,
		0x00,
		0x12,
		0x00,
		0x00,
		0x00,
		0x11,
		0x22,
		0x33,
		0x44,
		0x55,
		0x66,
		0x77,
		0x88,
	};
	unsigned char raw[CHANNEL_HEADER_SIZE];

	frame_encode(&header, raw);
	ASSERT_MEM(raw, sizeof(raw), want, sizeof(want));
}

static void
comes_back(void)
{
	static const uint64_t leases[] = { 0, 1, UINT64_MAX };
	static const uint32_t lengths[] = { 0, 1, CHANNEL_TO_CHILD_MAX };
	unsigned char raw[CHANNEL_HEADER_SIZE];
	struct frame_header in = { 0 }, out;
	size_t i, j;

	for (i = 0; i < NTYPES; i++)
		for (j = 0; j < 3; j++) {
			in.type = (uint16_t)types[i];
			in.lease = leases[j];
			in.length = lengths[j];
			frame_encode(&in, raw);
			memset(&out, 0xff, sizeof(out));
			ASSERT(frame_decode(raw, CHANNEL_TO_CHILD_MAX, &out) ==
			    NULL);
			ASSERT_INT(out.type, in.type);
			ASSERT_INT(out.flags, 0);
			ASSERT_INT(out.length, in.length);
			ASSERT(out.lease == in.lease);
		}
}

static const char *
decode(struct frame_header header, size_t max, struct frame_header *out)
{
	unsigned char raw[CHANNEL_HEADER_SIZE];

	frame_encode(&header, raw);
	return (frame_decode(raw, max, out));
}

static void
limits_lengths(void)
{
	static const size_t limits[] = { 0, 1, CHANNEL_FROM_CHILD_MAX,
		CHANNEL_TO_CHILD_MAX };
	struct frame_header header = { .type = FRAME_LOG }, out;
	size_t i;

	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		header.length = (uint32_t)limits[i];
		ASSERT(decode(header, limits[i], &out) == NULL);
		header.length++;
		ASSERT_STR(decode(header, limits[i], &out),
		    "a frame with a payload above the limit");
	}
	header.length = UINT32_MAX;
	ASSERT(decode(header, CHANNEL_TO_CHILD_MAX, &out) != NULL);
}

static void
refuses_flags(void)
{
	struct frame_header header = { .type = FRAME_STOP }, out;
	unsigned bit;

	for (bit = 0; bit < 16; bit++) {
		header.flags = (uint16_t)(1u << bit);
		ASSERT_STR(decode(header, 100, &out),
		    "a frame with flags, which this version has none of");
	}
}

static void
knows_its_types(void)
{
	struct frame_header header = { 0 }, out;
	unsigned type;
	size_t i, known = 0;

	for (type = 0; type <= UINT16_MAX; type++) {
		header.type = (uint16_t)type;
		for (i = 0; i < NTYPES && types[i] != type; i++)
			continue;
		known += i < NTYPES;
		ASSERT_INT(decode(header, 0, &out) == NULL, i < NTYPES);
		ASSERT_INT(
		    strcmp(frame_name(type), "unknown") != 0, i < NTYPES);
	}
	ASSERT_INT(known, NTYPES);
	ASSERT_STR(frame_name(FRAME_TASK), "task");
	ASSERT_STR(frame_name(FRAME_LOG), "log");
	ASSERT_STR(frame_name(FRAME_PROGRESS), "progress");
	ASSERT_STR(frame_name(FRAME_EVENT), "event");
	ASSERT_STR(frame_name(FRAME_STATE), "state");
	ASSERT_STR(frame_name(FRAME_SPEAK), "speak");
	ASSERT_STR(frame_name(FRAME_COMMAND), "command");
	ASSERT_STR(frame_name(UINT16_MAX + 1 + FRAME_TASK), "unknown");
}

static void
leaves_the_header_alone(void)
{
	const struct frame_header bad = { .type = 99, .length = 5 };
	struct frame_header out = { .length = 7, .lease = 8 };

	ASSERT_STR(decode(bad, 100, &out), "a frame of unknown type");
	ASSERT_INT(out.length, 7);
	ASSERT_INT(out.lease, 8);
}

static const struct test tests[] = {
	{ "a header is little-endian, byte by byte", lays_out },
	{ "every type comes back as it was encoded", comes_back },
	{ "a payload may be as long as the limit, not longer", limits_lengths },
	{ "every flag is refused", refuses_flags },
	{ "the types are those of channel.h, and have names", knows_its_types },
	{ "nothing is stored on failure", leaves_the_header_alone },
};
TEST_MAIN(tests)
