/* SPDX-License-Identifier: ISC */
/* curl_set.h: options of a transfer, one after the other. */
#ifndef AVTOWORKER_CURL_SET_H
#define AVTOWORKER_CURL_SET_H

#include <curl/curl.h>

/* Sets an option of the CURL * unless an earlier one has failed: rc, a CURLcode
 * variable, tells. */
#define CURL_SET(rc, easy, option, value) \
	do { \
		if ((rc) == CURLE_OK) \
			(rc) = curl_easy_setopt(easy, option, value); \
	} while (0)

#endif
