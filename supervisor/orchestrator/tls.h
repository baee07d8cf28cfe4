/* SPDX-License-Identifier: ISC */
/*
 * tls.h: HTTPS: whom we trust, and who we say we are. The server's certificate
 * and its host name are always verified; there is no switch for that.
 */
#ifndef AVTOWORKER_TLS_H
#define AVTOWORKER_TLS_H

#include <stdbool.h>

#include <curl/curl.h>

#include "supervisor/base/why.h"

/* Paths; borrowed while it is used. All NULL: the CAs of the system, and no
 * certificate of our own. */
struct tls {
	const char *ca_file; /* PEM, one or more; or a directory */
	const char *ca_path; /* directory with hashed names */
	const char *cert; /* PEM, ours, with what signed it */
	const char *key; /* PEM; NULL: it is in cert */
};

/* Has OpenSSL allocate with a reserve; before anything else of it is used. */
void tls_hold_memory(void);
/* Reads what there is to read, so that a wrong file is told at the start and
 * not by a handshake; -1 and why. A directory given as ca_file becomes
 * ca_path. */
int tls_check(struct tls *, struct why *);
/* Sets a request up; NULL as all NULL. */
CURLcode tls_apply(CURL *, const struct tls *);
/* What is wrong with a connection, as one clause that says what to do about
 * it, for libcurl's code and its own text; NULL: nothing about TLS. nameless:
 * we have shown no certificate of ours. */
const char *tls_explain(CURLcode, const char *text, bool nameless);

#endif
