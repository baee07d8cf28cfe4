/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "supervisor/base/reserve.h"
#include "supervisor/orchestrator/curl_set.h"
#include "supervisor/orchestrator/tls.h"

static void *
crypto_malloc(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return (size > 0 ? reserve_malloc(size) : NULL);
}

static void *
crypto_realloc(void *p, size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	if (size > 0)
		return (reserve_realloc(p, size));
	free(p);
	return (NULL);
}

static void
crypto_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	free(p);
}

void
tls_hold_memory(void)
{
	(void)CRYPTO_set_mem_functions(
	    crypto_malloc, crypto_realloc, crypto_free);
}

/* libcurl reads the CAs once in so many seconds: when they are changed, the
 * worker need not be restarted. */
#define CA_CACHE_S 60L

/* What libcurl or OpenSSL says, and what we say. The first that is found. */
static const struct {
	const char *words;
	const char *clause;
} explanations[] = {
	{ "certificate has expired",
	    "its TLS certificate has expired; have it renewed" },
	{ "certificate is not yet valid",
	    "its TLS certificate is not valid yet; compare the clocks" },
	{ "self-signed certificate",
	    "its TLS certificate is signed by itself and not trusted here; "
	    "set tls_ca_file" },
	{ "self signed certificate",
	    "its TLS certificate is signed by itself and not trusted here; "
	    "set tls_ca_file" },
	{ "unable to get local issuer certificate",
	    "its TLS certificate is from a CA that is not trusted here; set "
	    "tls_ca_file" },
	{ "unable to get issuer certificate",
	    "its TLS certificate is from a CA that is not trusted here; set "
	    "tls_ca_file" },
	{ "subject name",
	    "its TLS certificate is for another host name than that in url" },
	{ "certificate required",
	    "it wants a client certificate; set tls_cert and tls_key" },
	{ "handshake failure",
	    "it refuses the TLS handshake; it may want a client certificate "
	    "(tls_cert, tls_key)" },
	{ "alert unknown ca",
	    "it does not trust the CA of our client certificate (tls_cert)" },
	{ "alert certificate expired",
	    "our client certificate has expired; renew tls_cert" },
	{ "alert bad certificate",
	    "it does not accept our client certificate (tls_cert)" },
	{ "key values mismatch",
	    "tls_key does not belong to the certificate in tls_cert" },
	{ "wrong version number",
	    "it does not speak TLS there; should url begin with http://?" },
	{ "unsupported protocol", "it speaks no TLS newer than 1.1" },
	{ "alert protocol version", "it speaks no TLS newer than 1.1" },
};

/* A key with a passphrase must not ask at a terminal. */
static int
no_passphrase(char *buf, int size, int writing, void *arg)
{
	bool *asked = arg;

	(void)buf;
	(void)size;
	(void)writing;
	*asked = true;
	return (-1);
}

static FILE *
open_pem(const char *key, const char *path, struct why *why)
{
	FILE *f;

	if ((f = fopen(path, "re")) == NULL)
		why_errno(why, "cannot read %s %s", key, path);
	return (f);
}

static X509 *
read_cert(const char *key, const char *path, struct why *why)
{
	X509 *cert;
	FILE *f;

	if ((f = open_pem(key, path, why)) == NULL)
		return (NULL);
	if ((cert = PEM_read_X509(f, NULL, NULL, NULL)) == NULL)
		why_set(
		    why, "%s %s holds no certificate in PEM format", key, path);
	(void)fclose(f);
	return (cert);
}

static EVP_PKEY *
read_key(const char *name, const char *path, struct why *why)
{
	bool asked = false;
	EVP_PKEY *key;
	FILE *f;

	if ((f = open_pem(name, path, why)) == NULL)
		return (NULL);
	key = PEM_read_PrivateKey(f, NULL, no_passphrase, &asked);
	if (key == NULL && asked)
		why_set(why, "%s %s has a passphrase; give it one without",
		    name, path);
	else if (key == NULL)
		why_set(why, "%s %s holds no private key in PEM format", name,
		    path);
	(void)fclose(f);
	return (key);
}

/* Our certificate and its key belong together. */
static int
check_ours(const struct tls *tls, struct why *why)
{
	const char *path = tls->key != NULL ? tls->key : tls->cert;
	EVP_PKEY *key;
	X509 *cert;
	int rc = -1;

	if (tls->cert == NULL) {
		if (tls->key == NULL)
			return (0);
		why_set(why, "tls_key is set, but tls_cert is not");
		return (-1);
	}
	if ((cert = read_cert("tls_cert", tls->cert, why)) == NULL)
		return (-1);
	key = read_key(tls->key != NULL ? "tls_key" : "tls_cert", path, why);
	if (key != NULL && X509_check_private_key(cert, key) == 1)
		rc = 0;
	else if (key != NULL)
		why_set(why, "tls_key %s does not belong to tls_cert %s", path,
		    tls->cert);
	EVP_PKEY_free(key);
	X509_free(cert);
	return (rc);
}

static int
check_directory(const char *path, struct why *why)
{
	struct stat st;

	if (stat(path, &st) == -1) {
		why_errno(why, "cannot read tls_ca_path %s", path);
		return (-1);
	}
	if (!S_ISDIR(st.st_mode)) {
		why_set(why, "tls_ca_path %s is no directory; use tls_ca_file",
		    path);
		return (-1);
	}
	return (0);
}

int
tls_check(struct tls *tls, struct why *why)
{
	struct stat st;
	X509 *cert;
	int rc;

	if (tls->ca_file != NULL && tls->ca_path == NULL &&
	    stat(tls->ca_file, &st) == 0 && S_ISDIR(st.st_mode)) {
		tls->ca_path = tls->ca_file;
		tls->ca_file = NULL;
	}
	if (tls->ca_file != NULL) {
		cert = read_cert("tls_ca_file", tls->ca_file, why);
		if (cert == NULL)
			return (-1);
		X509_free(cert);
	}
	if (tls->ca_path != NULL && check_directory(tls->ca_path, why) == -1)
		return (-1);
	rc = check_ours(tls, why);
	/* What was found out is told; libcurl must not find it again. */
	ERR_clear_error();
	return (rc);
}

CURLcode
tls_apply(CURL *e, const struct tls *tls)
{
	static const struct tls none;
	const curl_version_info_data *built_in =
	    curl_version_info(CURLVERSION_NOW);
	CURLcode rc = CURLE_OK;
	bool own_ca;

	if (tls == NULL)
		tls = &none;
	own_ca = tls->ca_file != NULL || tls->ca_path != NULL;
	CURL_SET(rc, e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	CURL_SET(rc, e, CURLOPT_SSL_VERIFYPEER, 1L);
	CURL_SET(rc, e, CURLOPT_SSL_VERIFYHOST, 2L);
	/* What is configured is trusted alone, not the system's CAs as well. */
	CURL_SET(
	    rc, e, CURLOPT_CAINFO, own_ca ? tls->ca_file : built_in->cainfo);
	CURL_SET(
	    rc, e, CURLOPT_CAPATH, own_ca ? tls->ca_path : built_in->capath);
	CURL_SET(rc, e, CURLOPT_CA_CACHE_TIMEOUT, CA_CACHE_S);
	CURL_SET(rc, e, CURLOPT_SSLCERT, tls->cert);
	CURL_SET(rc, e, CURLOPT_SSLKEY, tls->key);
	/* Without it OpenSSL would ask for a passphrase at the terminal. */
	CURL_SET(rc, e, CURLOPT_KEYPASSWD, "");
	return (rc);
}

static bool
is_about_tls(CURLcode code)
{
	switch (code) {
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_SHUTDOWN_FAILED:
	case CURLE_SSL_CLIENTCERT:
		return (true);
	default:
		return (false);
	}
}

/* With TLS 1.3 a server may refuse us when the handshake is over; its reason
 * comes too late as often as not, when we are writing already. */
static bool
was_cut_off(CURLcode code)
{
	return (code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR);
}

const char *
tls_explain(CURLcode code, const char *text, bool nameless)
{
	size_t i;

	if (!is_about_tls(code) && !was_cut_off(code))
		return (NULL);
	for (i = 0; i < sizeof(explanations) / sizeof(explanations[0]); i++)
		if (strcasestr(text, explanations[i].words) != NULL)
			return (explanations[i].clause);
	if (was_cut_off(code))
		return (nameless ?
			"it has cut the TLS connection off; it may want a "
			"client certificate (tls_cert, tls_key)" :
			"it has cut the TLS connection off; it may not trust "
			"our client certificate (tls_cert)");
	return (*text != '\0' ? text : NULL);
}
