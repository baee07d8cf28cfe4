/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "child/bytes.h"
#include "child/json_scan.h"
#include "supervisor/orchestrator/rxon_sign.h"
#include "tests/devorch/envelope.h"

#define WINDOW_S 60 /* how far clocks may be apart */

static int refuse(struct envelope_fault *, unsigned status, const char *fmt,
    ...) __attribute__((__format__(printf, 3, 4)));

static int
refuse(struct envelope_fault *fault, unsigned status, const char *fmt, ...)
{
	va_list ap;

	fault->status = status;
	va_start(ap, fmt);
	(void)vsnprintf(fault->text, sizeof(fault->text), fmt, ap);
	va_end(ap);
	return (-1);
}

static int
check_time(const struct jslice *root, struct envelope_fault *fault)
{
	struct jslice stamp;
	int64_t at, now = (int64_t)time(NULL);

	if (!jscan_get(root, "timestamp", &stamp) || stamp.type == JSCAN_NULL)
		return (refuse(fault, 403,
		    "Missing required timestamp for replay protection"));
	if (jscan_int64(&stamp, &at) == -1 ||
	    memchr(stamp.p, '.', stamp.len) != NULL)
		return (refuse(
		    fault, 400, "Invalid payload: timestamp is no integer"));
	if (at < now - WINDOW_S || at > now + WINDOW_S)
		return (refuse(fault, 403,
		    "Message timestamp expired (replay protection)"));
	return (0);
}

int
envelope_check(const char *text, size_t len, const struct jslice *root,
    const char *worker, const char *secret, const char *const *ignore,
    struct envelope_fault *fault)
{
	char given[RXON_SIGNATURE_SIZE + 1], right[RXON_SIGNATURE_SIZE];
	char signer[160];
	struct jslice security, value;
	struct bytes canonical = { 0 };
	struct why why;
	int signed_ok;

	if (check_time(root, fault) == -1)
		return (-1);
	if (!jscan_get(root, "security", &security))
		return (
		    refuse(fault, 403, "Missing required security context"));
	if (!jscan_get(&security, "signature", &value) ||
	    jscan_string(&value, given, sizeof(given)) == -1)
		return (refuse(
		    fault, 403, "Missing required cryptographic signature"));
	if (jscan_get(&security, "signer_id", &value) &&
	    jscan_string(&value, signer, sizeof(signer)) != -1 &&
	    strcmp(signer, worker) != 0)
		return (refuse(fault, 403,
		    "Message signer ID '%s' does not match worker ID '%s'",
		    signer, worker));
	if (rxon_canonical(text, len, ignore, &canonical, &why) == -1)
		return (refuse(fault, 500, "%s", why.text));
	signed_ok = rxon_sign(secret, &canonical, right, &why);
	bytes_fini(&canonical);
	if (signed_ok == -1)
		return (refuse(fault, 500, "%s", why.text));
	if (strcmp(given, right) != 0)
		return (refuse(fault, 403, "Invalid cryptographic signature"));
	return (0);
}
