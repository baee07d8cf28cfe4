/* SPDX-License-Identifier: ISC */
/*
 * weather: asks a service over HTTP; shows a secret that never leaves the
 * process by another way, and a transfer that ends when the task is to stop.
 *
 *	fetch_weather	params	{"city": "Oslo", "api_key": "..." (may be missing)}
 *			data	{"city": "Oslo", "temperature": 4.5, "conditions": "rain"}
 *
 * The key is the one of the params, else WEATHER_API_KEY of the environment.
 * It is part of the address, so no address is ever logged or reported.
 * WEATHER_URL names another service with the same answers:
 * {"temp": NUMBER, "conditions": STRING}.
 */
#define _GNU_SOURCE /* asprintf */
#include <avtoworker/handler.h>

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_URL  "https://api.weather.com/v1/current"
#define TIMEOUT_S    30L
#define ANSWER_MAX   ((size_t)1024 * 1024) /* bytes */
#define HTTP_OK_CODE 200L

struct answer {
	struct aw_task *task; /* that waits for it */
	char *text;
	size_t len;
};

/* One handle for all tasks of this process keeps the connection open. */
static int
init(void **state, struct aw_error *error)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
	    (*state = curl_easy_init()) == NULL)
		return (aw_error_set(error, "cannot start libcurl"));
	return (0);
}

static void
fini(void *state)
{
	curl_easy_cleanup(state);
	curl_global_cleanup();
}

static size_t
take(char *bytes, size_t one, size_t n, void *arg)
{
	struct answer *a = arg;
	char *text;

	(void)one; /* always 1 */
	if (n > ANSWER_MAX - a->len ||
	    (text = realloc(a->text, a->len + n)) == NULL)
		return (0); /* ends the transfer */
	memcpy(text + a->len, bytes, n);
	a->text = text;
	a->len += n;
	return (n);
}

static int
look_up(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct answer *answer = arg;

	(void)a, (void)b, (void)c, (void)d;
	return (aw_cancelled(answer->task) ? 1 : 0);
}

/* The address to ask, with the key in it; caller frees. */
static char *
address(CURL *curl, const char *city, const char *key)
{
	const char *base = getenv("WEATHER_URL");
	char *city_part = curl_easy_escape(curl, city, 0);
	char *key_part = curl_easy_escape(curl, key, 0);
	char *url = NULL;

	if (city_part != NULL && key_part != NULL &&
	    asprintf(&url, "%s?city=%s&key=%s",
		base != NULL ? base : DEFAULT_URL, city_part, key_part) == -1)
		url = NULL;
	curl_free(city_part);
	curl_free(key_part);
	return (url);
}

/* What the service has said, into the data. */
static void
report(struct aw_task *task, const char *city, const struct answer *answer)
{
	const char *conditions;
	json_error_t error;
	json_t *root;
	double temperature;

	root = json_loadb(
	    answer->text != NULL ? answer->text : "", answer->len, 0, &error);
	if (json_unpack(root, "{s:F, s:s}", "temp", &temperature, "conditions",
		&conditions) == -1)
		aw_retry(task, "API_ERROR",
		    "the weather service's answer cannot be read");
	else {
		aw_json_string(aw_data(task), "city", city);
		aw_json_double(aw_data(task), "temperature", temperature);
		aw_json_string(aw_data(task), "conditions", conditions);
		aw_success_data(task);
	}
	json_decref(root);
}

static void
fetch(struct aw_task *task, CURL *curl, const char *city, const char *url)
{
	struct answer answer = { .task = task };
	CURLcode code;
	long status = 0;

	curl_easy_reset(curl); /* keeps the connection */
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_up);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &answer);
	code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_ABORTED_BY_CALLBACK)
		aw_retry(task, "INTERRUPTED", "the task was asked to stop");
	else if (code != CURLE_OK) /* its own words never hold the address */
		aw_retry(task, "API_ERROR",
		    "cannot ask the weather service: %s",
		    curl_easy_strerror(code));
	else if (status != HTTP_OK_CODE)
		aw_retry(task, "API_ERROR", "Weather API returned %ld", status);
	else
		report(task, city, &answer);
	free(answer.text);
}

static void
run(struct aw_task *task, void *state)
{
	const char *city, *key;
	enum aw_got got;
	char *url;

	if ((got = aw_get_string(task, "city", &city, NULL)) != AW_GOT) {
		aw_invalid_input(
		    task, "\"city\" %s: a string is needed", aw_got_text(got));
		return;
	}
	got = aw_get_string(task, "api_key", &key, NULL);
	if (got == AW_MISSING)
		key = getenv("WEATHER_API_KEY");
	if (got == AW_WRONG_TYPE || key == NULL) {
		aw_invalid_input(task,
		    "there is no key: give \"api_key\", a string, or set "
		    "WEATHER_API_KEY for the worker");
		return;
	}
	if ((url = address(state, city, key)) == NULL) {
		aw_retry(task, "RESOURCE_EXHAUSTED_ERROR", "out of memory");
		return;
	}
	fetch(task, state, city, url);
	explicit_bzero(url, strlen(url));
	free(url);
}

static const struct aw_handler fetch_weather = {
	.size = sizeof(struct aw_handler),
	.type = "fetch_weather",
	.init = init,
	.run = run,
	.fini = fini,
};

AW_MODULE(&fetch_weather);
