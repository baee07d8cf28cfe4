/* SPDX-License-Identifier: ISC */
/* Every vector of tests/data/signing_vectors.jsonl, and what they leave out.
 * Each line there is one message with the canonical text and signature that a
 * server computed for it, or with its reason to refuse it. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "supervisor/orchestrator/rxon_sign.h"
#include "tests/test.h"

#define NVECTORS   90
#define IGNORE_MAX 4

static const char *
text_of(const json_t *vector, const char *name)
{
	return (json_string_value(json_object_get(vector, name)));
}

/* The vector's list of names, as rxon_canonical() wants it. */
static void
read_ignore(const json_t *vector, const char *ignore[IGNORE_MAX + 1])
{
	const json_t *names = json_object_get(vector, "ignore");
	size_t i;

	ASSERT(json_array_size(names) <= IGNORE_MAX);
	for (i = 0; i < json_array_size(names); i++)
		ignore[i] = json_string_value(json_array_get(names, i));
	ignore[i] = NULL;
}

static void
check_vector(const json_t *vector)
{
	const char *canonical = text_of(vector, "canonical");
	const char *name = text_of(vector, "name");
	const json_t *body = json_object_get(vector, "body");
	char signature[RXON_SIGNATURE_SIZE];
	const char *ignore[IGNORE_MAX + 1];
	struct bytes out = { 0 };
	struct why why;
	int status;

	read_ignore(vector, ignore);
	status = rxon_canonical(json_string_value(body),
	    json_string_length(body), ignore, &out, &why);
	if (status == 0)
		status =
		    rxon_sign(text_of(vector, "secret"), &out, signature, &why);
	test_same_int(__FILE__, __LINE__, name, status, canonical ? 0 : -1);
	if (canonical != NULL) {
		test_same_mem(__FILE__, __LINE__, name, out.p, out.len,
		    canonical, strlen(canonical));
		test_same_str(__FILE__, __LINE__, name, signature,
		    text_of(vector, "signature"));
	} else {
		ASSERT(strncmp(why.text, "cannot sign a message: ", 23) == 0);
		ASSERT(json_object_get(vector, "reject") != NULL);
	}
	bytes_fini(&out);
}

static FILE *
open_vectors(void)
{
	const char *top = getenv("top_srcdir");
	char path[PATH_MAX];
	FILE *fp;

	(void)snprintf(path, sizeof(path), "%s/tests/data/%s",
	    top != NULL ? top : ".", "signing_vectors.jsonl");
	if ((fp = fopen(path, "r")) == NULL)
		test_fail(__FILE__, __LINE__, "cannot open %s", path);
	return (fp);
}

static void
holds_every_vector(void)
{
	FILE *fp = open_vectors();
	size_t size = 0, count = 0;
	json_error_t error;
	char *line = NULL;
	json_t *vector;

	while (getline(&line, &size, fp) > 0) {
		vector = json_loads(line, JSON_ALLOW_NUL, &error);
		if (vector == NULL)
			test_fail(__FILE__, __LINE__, "line %zu: %s", count + 1,
			    error.text);
		check_vector(vector);
		json_decref(vector);
		count++;
	}
	ASSERT_INT(count, NVECTORS);
	free(line);
	(void)fclose(fp);
}

static void
check_canonical(const char *text, const char *want)
{
	struct bytes out = { 0 };
	struct why why;
	int status;

	bytes_puts(&out, "before");
	status = rxon_canonical(text, strlen(text), NULL, &out, &why);
	if (want == NULL) {
		ASSERT_INT(status, -1);
		ASSERT_MEM(out.p, out.len, "before", 6);
	} else {
		ASSERT_INT(status, 0);
		ASSERT_MEM(out.p + 6, out.len - 6, want, strlen(want));
	}
	bytes_fini(&out);
}

static const struct {
	const char *text;
	const char *want; /* NULL: refused, and the output is as before */
} cases[] = {
	{ "{\"a\":-0}", "{\"a\":0}" },
	{ "{\"a\":-0.0e-5}", "{\"a\":0}" },
	{ "{\"a\":-9223372036854775808}", "{\"a\":-9223372036854775808}" },
	{ "{\"a\":9007199254740993.0}", "{\"a\":9007199254740992}" },
	{ "{\"a\":5.684341886080802e-14}", "{\"a\":5.684341886080802e-14}" },
	{ "{\"a\":9.5367431640625e-7}", "{\"a\":9.5367431640625e-7}" },
	{ "{\"a\":2.2250738585072014e-308}",
	    "{\"a\":2.2250738585072014e-308}" },
	{ "{\"a\":1.5e-323}", "{\"a\":1.5e-323}" },
	{ "{\"a\":0.1e1}", "{\"a\":1}" },
	{ "{\"a\":99999.99999999999}", "{\"a\":99999.99999999999}" },
	{ "{\"\\u0061\\\"\":1,\"a!\":2}", "{\"a!\":2,\"a\\\"\":1}" },
	{ "{\"\\u0073ecurity\":1,\"b\":2}", "{\"b\":2}" },
	{ "{\"a\":[null,{\"security\":null}]}", "{\"a\":[null,{}]}" },
	{ "{\"a\":1,\"\\u0061\":2}", NULL },
	{ "[1]", NULL },
	{ "", NULL },
	{ "{\"a\":1}x", NULL },
	{ "{\"a\":18446744073709551616}", NULL },
	{ "{\"a\":-1e400}", NULL },
};

static void
holds_what_the_vectors_leave_out(void)
{
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_canonical(cases[i].text, cases[i].want);
}

static void
leaves_out_the_named_members_at_the_top_only(void)
{
	static const char *const ignore[] = { "sig", "chain", NULL };
	const char *text = "{\"chain\":[],\"in\":{\"sig\":1},\"sig\":\"x\"}";
	struct bytes out = { 0 };
	struct why why;

	ASSERT_INT(rxon_canonical(text, strlen(text), ignore, &out, &why), 0);
	ASSERT_MEM(out.p, out.len, "{\"in\":{\"sig\":1}}", 16);
	bytes_fini(&out);
}

static void
says_where_a_message_is_wrong(void)
{
	struct bytes out = { 0 };
	struct why why;

	ASSERT_INT(rxon_canonical("{\"a\":01}", 8, NULL, &out, &why), -1);
	ASSERT_STR(why.text,
	    "cannot sign a message: unexpected character (at byte 6)");
	bytes_fini(&out);
}

static void
refuses_an_empty_secret(void)
{
	char signature[RXON_SIGNATURE_SIZE];
	struct bytes none = { 0 };
	struct why why;

	ASSERT_INT(rxon_sign("", &none, signature, &why), -1);
	ASSERT_STR(why.text, "cannot sign a message: the secret is empty");
}

static void
refuses_bytes_that_ran_out_of_memory(void)
{
	struct bytes broken = { .failed = true };
	char text[RXON_SIGNATURE_SIZE];
	struct why why;

	ASSERT_INT(rxon_sign("k", &broken, text, &why), -1);
	ASSERT_INT(rxon_digest(&broken, text, &why), -1);
	ASSERT_INT(rxon_canonical("{}", 2, NULL, &broken, &why), -1);
}

static void
digests_with_sha256(void)
{
	char digest[RXON_SIGNATURE_SIZE];
	struct bytes data = { 0 };
	struct why why;

	ASSERT_INT(rxon_digest(&data, digest, &why), 0);
	ASSERT_STR(digest,
	    "e3b0c44298fc1c149afbf4c8996fb924"
	    "27ae41e4649b934ca495991b7852b855");
	bytes_puts(&data, "abc");
	ASSERT_INT(rxon_digest(&data, digest, &why), 0);
	ASSERT_STR(digest,
	    "ba7816bf8f01cfea414140de5dae2223"
	    "b00361a396177a9cb410ff61f20015ad");
	bytes_fini(&data);
}

static const struct test tests[] = {
	{ "every signing vector holds", holds_every_vector },
	{ "canonical texts that no vector has",
	    holds_what_the_vectors_leave_out },
	{ "named members are left out at the top only",
	    leaves_out_the_named_members_at_the_top_only },
	{ "a refusal says what is wrong and where",
	    says_where_a_message_is_wrong },
	{ "an empty secret is refused", refuses_an_empty_secret },
	{ "bytes that ran out of memory are refused",
	    refuses_bytes_that_ran_out_of_memory },
	{ "a digest is SHA-256 in lower-case hex", digests_with_sha256 },
};
TEST_MAIN(tests)
