/* SPDX-License-Identifier: ISC */
/* http_headers.c: header lines that requests share; some are secret. */
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "supervisor/orchestrator/http.h"
#include "supervisor/orchestrator/http_parts.h"

struct http_headers {
	struct curl_slist *list;
	struct http_headers *retired; /* calls may still use these */
};

struct curl_slist *
http_headers_list(const struct http_headers *headers)
{
	return (headers != NULL ? headers->list : NULL);
}

struct http_headers *
http_headers_new(void)
{
	struct http_headers *headers;

	if ((headers = calloc(1, sizeof(*headers))) == NULL)
		return (NULL);
	/* libcurl waits a second for "100 Continue" otherwise. */
	if ((headers->list = curl_slist_append(NULL, "Expect:")) == NULL) {
		free(headers);
		return (NULL);
	}
	return (headers);
}

int
http_headers_add(
    struct http_headers *headers, const char *name, const char *value)
{
	struct curl_slist *list;
	struct bytes line = { 0 };

	bytes_printf(&line, "%s: %s", name, value);
	bytes_append(&line, "", 1);
	if (bytes_failed(&line)) {
		bytes_fini(&line);
		return (-1);
	}
	list = curl_slist_append(headers->list, line.p);
	explicit_bzero(line.p, line.len);
	bytes_fini(&line);
	if (list == NULL)
		return (-1);
	headers->list = list;
	return (0);
}

void
http_headers_put(const struct http_headers *headers, struct bytes *out)
{
	const struct curl_slist *line;
	size_t len;

	for (line = headers->list; line != NULL; line = line->next) {
		len = strlen(line->data);
		/* "Expect:" tells libcurl what is not to be sent. */
		if (len == 0 || line->data[len - 1] == ':')
			continue;
		bytes_append(out, line->data, len);
		bytes_puts(out, "\r\n");
	}
}

void
http_headers_replace(struct http_headers *headers, struct http_headers *by)
{
	struct curl_slist *list = by->list;

	by->list = headers->list;
	headers->list = list;
	by->retired = headers->retired;
	headers->retired = by;
}

void
http_headers_free(struct http_headers *headers)
{
	struct curl_slist *line;

	if (headers == NULL)
		return;
	http_headers_free(headers->retired);
	for (line = headers->list; line != NULL; line = line->next)
		explicit_bzero(line->data, strlen(line->data));
	curl_slist_free_all(headers->list);
	free(headers);
}
