/* SPDX-License-Identifier: ISC */
/* http_parts.h: what the files behind http.h share. */
#ifndef AVTOWORKER_HTTP_PARTS_H
#define AVTOWORKER_HTTP_PARTS_H

struct curl_slist;
struct http_headers;

/* As libcurl wants them, borrowed; NULL for NULL. */
struct curl_slist *http_headers_list(const struct http_headers *);

#endif
