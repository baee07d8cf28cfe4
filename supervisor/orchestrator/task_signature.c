/* SPDX-License-Identifier: ISC */
#include <string.h>

#include <openssl/crypto.h>

#include "child/json_scan.h"
#include "supervisor/orchestrator/rxon_sign.h"
#include "supervisor/orchestrator/task_signature.h"

#define SIG       "sig"
#define OTHER_SIG "orchestrator_signature"

/* What the task says; "" when it cannot be one. False: it says nothing. */
static bool
read_signature(const char *body, size_t len, char text[RXON_SIGNATURE_SIZE])
{
	struct jscan_error error;
	struct jslice root, value;

	if (jscan_check(body, len, &jscan_payload_limits, &root, &error) ==
		-1 ||
	    (!jscan_get(&root, SIG, &value) &&
		!jscan_get(&root, OTHER_SIG, &value)) ||
	    value.type != JSCAN_STRING)
		return (false);
	/* What is longer has been cut. */
	if (jscan_string(&value, text, RXON_SIGNATURE_SIZE) !=
	    RXON_SIGNATURE_SIZE - 1)
		text[0] = '\0';
	return (true);
}

bool
task_signature_is_there(const char *body, size_t len)
{
	char text[RXON_SIGNATURE_SIZE];

	return (read_signature(body, len, text));
}

int
task_signature_check(
    const char *body, size_t len, const char *key, struct why *why)
{
	static const char *const unsigned_members[] = { SIG, OTHER_SIG,
		"_signature", NULL };
	char signature[RXON_SIGNATURE_SIZE] = "", wanted[RXON_SIGNATURE_SIZE];
	struct bytes canonical = { 0 };
	int rc = -1;

	if (!read_signature(body, len, signature)) {
		why_set(why, "the task is not signed by the orchestrator");
		return (-1);
	}
	if (rxon_canonical(body, len, unsigned_members, &canonical, why) == 0)
		rc = rxon_sign(key, &canonical, wanted, why);
	bytes_fini(&canonical);
	if (rc == -1)
		return (-1);
	if (CRYPTO_memcmp(signature, wanted, sizeof(wanted)) != 0) {
		why_set(
		    why, "the orchestrator's signature on the task is wrong");
		return (-1);
	}
	return (0);
}
