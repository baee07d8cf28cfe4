/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>

#include "child/json_scan.h"
#include "supervisor/used.h"
#include "tests/test.h"

static int
take(const char *text, struct used *used, struct why *why)
{
	struct jscan_error error;
	struct jslice root;

	ASSERT_INT(jscan_check(text, strlen(text), &jscan_payload_limits, &root,
		       &error),
	    0);
	return (used_read(&root, used, why));
}

static struct used
read_good(const char *text)
{
	struct used used;
	struct why why;

	ASSERT_INT(take(text, &used, &why), 0);
	return (used);
}

static void
reads_what_is_said(void)
{
	struct used used =
	    read_good("{\"cpu_load_percent\":12.5,\"ram_used_gb\":3,"
		      "\"devices\":[{\"unit_id\":\"gpu-0\",\"load_percent\":40,"
		      "\"metrics\":{\"memory_used_gb\":2.5,\"name\":\"x\"}},"
		      "{\"unit_id\":\"\",\"load_percent\":0,\"metrics\":{}},"
		      "{\"unit_id\":\"n\",\"load_percent\":1,"
		      "\"metrics\":null}],\"more\":[]}");

	ASSERT(used.cpu_percent == 12.5 && used.memory_gb == 3);
	ASSERT_INT(used.devices_len, 3);
	ASSERT_STR(used.devices[0].id, "gpu-0");
	ASSERT(used.devices[0].load_percent == 40);
	ASSERT(used.devices[0].memory_gb == 2.5);
	ASSERT_STR(
	    used.devices[0].metrics, "{\"memory_used_gb\":2.5,\"name\":\"x\"}");
	ASSERT(used.devices[1].metrics == NULL);
	ASSERT(used.devices[2].metrics == NULL);
	used_fini(&used);
	ASSERT_INT(used.devices_len, 0);
	used = read_good("{}");
	ASSERT(used.cpu_percent == 0 && used.devices == NULL);
	used_free(NULL);
}

#define DEVICE(more) "{\"devices\":[{\"unit_id\":\"0\"," more "}]}"

static const struct {
	const char *text;
	const char *why;
} refused[] = {
	{ "[]", "no object" },
	{ "{\"cpu_load_percent\":\"7\"}", "no object whose" },
	{ "{\"ram_used_gb\":-1}", "no object whose" },
	{ "{\"ram_used_gb\":1e300}", "no object whose" },
	{ "{\"ram_used_gb\":1e400}", "no object whose" },
	{ "{\"devices\":{}}", "no list" },
	{ "{\"devices\":[7]}", "no unit_id" },
	{ "{\"devices\":[{\"load_percent\":1}]}", "no unit_id" },
	{ "{\"devices\":[{\"unit_id\":7,\"load_percent\":1}]}", "no unit_id" },
	{ DEVICE("\"load\":1"), "no load_percent" },
	{ DEVICE("\"load_percent\":\"1\""), "no load_percent" },
	{ DEVICE("\"load_percent\":1,\"metrics\":[]"), "metrics" },
	{ DEVICE("\"load_percent\":1,\"metrics\":{\"a\":[{\"b\":1e20}]}"),
	    "metrics" },
	{ DEVICE("\"load_percent\":1,\"metrics\":{\"a\":9007199254740994}"),
	    "metrics" },
};

static void
refuses_the_rest(void)
{
	char text[8192];
	struct used used = { 0 };
	struct why why;
	size_t i, len;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		ASSERT_INT(take(refused[i].text, &used, &why), -1);
		if (strstr(why.text, refused[i].why) == NULL)
			test_fail(__FILE__, __LINE__, "%s: %s", refused[i].text,
			    why.text);
	}
	(void)snprintf(text, sizeof(text),
	    DEVICE("\"load_percent\":1,\"metrics\":{\"a\":\"%05000d\"}"), 0);
	ASSERT_INT(take(text, &used, &why), -1);
	(void)snprintf(text, sizeof(text),
	    "{\"devices\":[{\"unit_id\":\"%0*d\",\"load_percent\":1}]}",
	    USED_ID_MAX + 1, 0);
	ASSERT_INT(take(text, &used, &why), -1);
	len = (size_t)snprintf(text, sizeof(text), "{\"devices\":[");
	for (i = 0; i <= USED_DEVICES_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "%s{\"unit_id\":\"%zu\",\"load_percent\":1}",
		    i > 0 ? "," : "", i);
	(void)snprintf(text + len, sizeof(text) - len, "]}");
	ASSERT_INT(take(text, &used, &why), -1);
	ASSERT(strstr(why.text, "more than 64 devices") != NULL);
	ASSERT(used.devices == NULL);
}

static void
adds_up(void)
{
	struct used sum = { 0 };
	struct used a =
	    read_good("{\"ram_used_gb\":1,\"devices\":[{\"unit_id\":"
		      "\"a\",\"load_percent\":1,\"metrics\":"
		      "{\"m\":1}}]}");
	struct used b =
	    read_good("{\"ram_used_gb\":2,\"cpu_load_percent\":5,\"devices\":"
		      "[{\"unit_id\":\"b\",\"load_percent\":2}]}");
	unsigned i;

	used_add(&sum, &a);
	used_add(&sum, &b);
	used_fini(&a);
	ASSERT(sum.memory_gb == 1 && sum.cpu_percent == 5);
	ASSERT_INT(sum.devices_len, 2);
	ASSERT_STR(sum.devices[0].metrics, "{\"m\":1}");
	ASSERT_STR(sum.devices[1].id, "b");
	for (i = 0; i < 2 * USED_DEVICES_MAX; i++)
		used_add(&sum, &b);
	ASSERT_INT(sum.devices_len, USED_DEVICES_MAX);
	used_fini(&sum);
	used_fini(&b);
}

static const struct {
	const char *now;
	bool differs; /* from one device, "0", 50 % and 10 GB */
} bands[] = {
	{ "[{\"unit_id\":\"0\",\"load_percent\":55,\"metrics\":"
	  "{\"memory_used_gb\":9.6}}]",
	    false },
	{ "[{\"unit_id\":\"0\",\"load_percent\":55.1,\"metrics\":"
	  "{\"memory_used_gb\":10}}]",
	    true },
	{ "[{\"unit_id\":\"0\",\"load_percent\":50,\"metrics\":"
	  "{\"memory_used_gb\":10.6}}]",
	    true },
	{ "[{\"unit_id\":\"1\",\"load_percent\":50,\"metrics\":"
	  "{\"memory_used_gb\":10}}]",
	    true },
	{ "[]", true },
};

static void
keeps_the_band(void)
{
	struct used told =
	    read_good("{\"devices\":[{\"unit_id\":\"0\",\"load_percent\":50,"
		      "\"metrics\":{\"memory_used_gb\":10}}]}");
	struct used now;
	char text[256];
	size_t i;

	for (i = 0; i < sizeof(bands) / sizeof(bands[0]); i++) {
		(void)snprintf(
		    text, sizeof(text), "{\"devices\":%s}", bands[i].now);
		now = read_good(text);
		if (used_devices_differ(&now, &told, 5) != bands[i].differs)
			test_fail(__FILE__, __LINE__, "%s", text);
		used_fini(&now);
	}
	used_fini(&told);
}

static const struct test tests[] = {
	{ "reads what a program says of the machine", reads_what_is_said },
	{ "refuses what is none, and what no signature could hold",
	    refuses_the_rest },
	{ "adds what several programs say, as far as there is room", adds_up },
	{ "devices are told anew when they leave the band", keeps_the_band },
};
TEST_MAIN(tests)
