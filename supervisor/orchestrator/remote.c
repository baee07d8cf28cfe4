/* SPDX-License-Identifier: ISC */
/* remote.c: what the requests to one orchestrator share: who we are, where it
 * is, the token, and how its replies are judged. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <bsd/string.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/base/text.h"
#include "supervisor/conf.h"
#include "supervisor/orchestrator/remote.h"
#include "supervisor/orchestrator/task_signature.h"
#include "supervisor/stats.h"

#define SECRET_MAX           4096
#define TOKEN_PART_MIN       4 /* bytes of it that are not to be shown */
/* What is sent has time to go through 64 kbit/s, besides its time limit. */
#define SLOWEST_BYTES_PER_MS 8

/* The first line of a file that holds a secret; key is what names it. NULL and
 * why. */
static char *
read_secret(const char *key, const char *path, struct why *why)
{
	char buf[SECRET_MAX];
	char *secret = NULL;
	ssize_t n;
	int fd;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) == -1 ||
	    (n = read(fd, buf, sizeof(buf) - 1)) == -1) {
		why_errno(why, "cannot read %s %s", key, path);
		if (fd != -1)
			(void)close(fd);
		return (NULL);
	}
	(void)close(fd);
	buf[n] = '\0';
	buf[strcspn(buf, "\r\n")] = '\0';
	if (buf[0] == '\0')
		why_set(why, "%s %s is empty", key, path);
	else if ((secret = strdup(buf)) == NULL)
		why_errno(why, "%s", key);
	explicit_bzero(buf, sizeof(buf));
	return (secret);
}

static void
free_secret(char *secret)
{
	if (secret != NULL)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

static struct http_headers *
make_headers(const struct remote *r, const char *token, struct why *why)
{
	struct http_headers *headers;

	if ((headers = http_headers_new()) == NULL ||
	    http_headers_add(headers, "Content-Type", "application/json") ==
		-1 ||
	    http_headers_add(headers, HEADER_TOKEN, token) == -1 ||
	    http_headers_add(headers, HEADER_WORKER_ID, r->facts.id) == -1 ||
	    http_headers_add(headers, HEADER_RXON, RXON_VERSION) == -1) {
		why_set(why, "no memory for headers");
		http_headers_free(headers);
		return (NULL);
	}
	return (headers);
}

/* Reads the token (again) and makes the headers that carry it. */
static int
load_token(struct remote *r, struct why *why)
{
	struct http_headers *headers;
	char *token;

	if (r->conf->token == NULL)
		token = read_secret("token_file", r->conf->token_file, why);
	else if ((token = strdup(r->conf->token)) == NULL)
		why_errno(why, "token");
	if (token == NULL)
		return (-1);
	if (r->token != NULL && strcmp(token, r->token) == 0) {
		free_secret(token);
		return (0);
	}
	if ((headers = make_headers(r, token, why)) == NULL) {
		free_secret(token);
		return (-1);
	}
	free_secret(r->token);
	r->token = token;
	r->facts.token = token;
	if (r->headers == NULL)
		r->headers = headers;
	else
		http_headers_replace(r->headers, headers);
	return (0);
}

/* Reads the key by which tasks are verified (again), if there is to be one. */
static int
load_task_key(struct remote *r, struct why *why)
{
	char *key;

	if (r->conf->task_key == NULL && r->conf->task_key_file == NULL)
		return (0);
	if (r->conf->task_key == NULL)
		key = read_secret("task_key_file", r->conf->task_key_file, why);
	else if ((key = strdup(r->conf->task_key)) == NULL)
		why_errno(why, "task_key");
	if (key == NULL)
		return (-1);
	free_secret(r->task_key);
	r->task_key = key;
	return (0);
}

int
remote_verify(struct remote *r, const struct http_reply *reply, struct why *why)
{
	struct why reading;

	if (r->task_key == NULL ||
	    (!r->conf->require_signature &&
		!task_signature_is_there(reply->body, reply->body_len)) ||
	    task_signature_check(
		reply->body, reply->body_len, r->task_key, why) == 0)
		return (0);
	if (r->conf->task_key != NULL)
		return (-1);
	/* The key may have been changed since. */
	if (load_task_key(r, &reading) == -1) {
		log_warn("%s", reading.text);
		return (-1);
	}
	return (task_signature_check(
	    reply->body, reply->body_len, r->task_key, why));
}

static enum rate_kind
kind_of(const struct remote *r, const char *url)
{
	return (url == r->url_register ? RATE_REGISTER :
		url == r->url_worker   ? RATE_HEARTBEAT :
		url == r->url_poll     ? RATE_POLL :
		url == r->url_result   ? RATE_RESULT :
					 RATE_EVENT);
}

struct http_call *
remote_request(struct remote *r, enum http_method method, const char *url,
    struct bytes *body, int64_t timeout_ms, http_done done, void *arg,
    struct why *why)
{
	const enum rate_kind kind = kind_of(r, url);
	struct http_request request = {
		.method = method,
		.url = url,
		.headers = r->headers,
		.tls = &r->tls,
		.timeout_ms = timeout_ms,
		.kind = rate_kind_names[kind],
		.once = method == HTTP_POST && r->dialect->acts_on_copies,
	};

	if (body != NULL) {
		request.body = bytes_take(body);
		request.timeout_ms +=
		    (int64_t)request.body.len / SLOWEST_BYTES_PER_MS;
	}
	manners_sent(r, kind);
	return (http_start(r->http, &request, done, arg, why));
}

/* The token, or its beginning where the text has been cut. */
static bool
holds_token(const struct remote *r, const char *text)
{
	const char *p;

	if (strstr(text, r->token) != NULL)
		return (true);
	for (p = text; strlen(p) >= TOKEN_PART_MIN; p++)
		if (strncmp(p, r->token, strlen(p)) == 0)
			return (true);
	return (false);
}

/* Takes one character of a text in which some are escaped as JSON has it; 0 at
 * the end, which may have cut an escape. */
static char
take_plain(const char **text)
{
	const char *p = *text;
	unsigned long code;
	char digits[5];

	if (p[0] != '\\') {
		*text += p[0] != '\0';
		return (p[0]);
	}
	if (p[1] != 'u') {
		*text += p[1] != '\0' ? 2 : 1;
		return (p[1]);
	}
	if (strlcpy(digits, p + 2, sizeof(digits)) < 4)
		return ('\0');
	*text += 6;
	code = strtoul(digits, NULL, 16);
	return (code > 0 && code < 0x80 ? (char)code : '?');
}

/* As it is, or escaped as JSON may be. */
static bool
shows_token(const struct remote *r, const char *text)
{
	char plain[sizeof(((struct why *)0)->text)];
	size_t n = 0;
	char c;

	if (holds_token(r, text))
		return (true);
	while (n + 1 < sizeof(plain) && (c = take_plain(&text)) != '\0')
		plain[n++] = c;
	plain[n] = '\0';
	return (holds_token(r, plain));
}

void
remote_redact_text(const struct remote *r, struct why *why)
{
	if (shows_token(r, why->text))
		why_set(why, "a text that repeats the token");
}

void
remote_redact(
    const struct remote *r, const struct http_reply *reply, struct why *why)
{
	/* The text may end before it, or within its first few bytes. */
	if (memmem(reply->body, reply->body_len, r->token, strlen(r->token)) !=
		NULL ||
	    shows_token(r, why->text))
		why_set(why, "HTTP %ld with a text that repeats the token",
		    reply->status);
}

static const char *
outcome_of(enum verdict verdict, const struct http_reply *reply)
{
	if (reply->status == 0)
		return (reply->timed_out ? "timeout" : "no_reply");
	switch (verdict) {
	case VERDICT_DONE:
		return (reply->status == 204 ? "empty" : "ok");
	case VERDICT_UNKNOWN:
		return ("unknown");
	case VERDICT_REFUSED:
		return ("refused");
	case VERDICT_DENIED:
		return ("denied");
	case VERDICT_LIMITED:
		return ("limited");
	case VERDICT_LATER:
		break;
	}
	return ("error");
}

static enum verdict
counted(struct remote *r, enum verdict verdict, const struct http_reply *reply)
{
	stats_request(
	    r->stats, reply->kind, outcome_of(verdict, reply), reply->took_ms);
	manners_answered(r, verdict, reply);
	if (reply->status != 0)
		r->heard_ms = clock_now_ms();
	return (verdict);
}

static enum verdict
judge(struct remote *r, const struct http_reply *reply, struct why *why)
{
	enum verdict verdict;
	struct why reading;

	if (reply->status == 0) {
		why_set(why, "%s", reply->error);
		return (VERDICT_LATER);
	}
	verdict =
	    dialect_judge(reply->status, reply->body, reply->body_len, why);
	if (verdict != VERDICT_DONE)
		remote_redact(r, reply, why);
	if (verdict == VERDICT_DENIED && r->conf->token == NULL &&
	    load_token(r, &reading) == -1)
		log_warn("%s", reading.text);
	return (verdict);
}

enum verdict
remote_judge(struct remote *r, const struct http_reply *reply, struct why *why)
{
	return (counted(r, judge(r, reply, why), reply));
}

enum verdict
remote_judge_object(
    struct remote *r, const struct http_reply *reply, struct why *why)
{
	enum verdict verdict = judge(r, reply, why);

	if (verdict == VERDICT_DONE &&
	    (reply->body_len == 0 || reply->body[0] != '{')) {
		why_set(why, "the reply is %s, not an orchestrator's",
		    reply->body_len == 0 ? "empty" : "no JSON object");
		verdict = VERDICT_LATER;
	}
	return (counted(r, verdict, reply));
}

void
remote_complain(const struct remote *r, const char *what, const struct why *why,
    int64_t delay_ms)
{
	log_warn("%s at %s: %s; trying again in %lld.%lld s", what,
	    r->conf->url, why->text, (long long)(delay_ms / 1000),
	    (long long)(delay_ms % 1000 / 100));
}

void
remote_resume(struct remote *r)
{
	polling_resume(r);
	posting_resume(r);
}

int64_t
remote_delay_ms(enum verdict verdict, const struct http_reply *reply,
    struct backoff *backoff)
{
	const int64_t delay = backoff_next_ms(backoff);
	const int64_t wanted =
	    reply->status != 0 ? http_reply_retry_after_ms(reply) : -1;

	if (wanted > delay)
		return (wanted);
	if (verdict == VERDICT_LIMITED && wanted < 0)
		return (REMOTE_SILENCE_MS);
	return (delay);
}

static void
offer(struct orchestrator *o, const struct offered *offered)
{
	struct why why;

	if (registration_offer((struct remote *)o, offered, &why) == -1)
		log_err("%s; the offer stays as it was", why.text);
}

static void
touch(struct orchestrator *o)
{
	heartbeat_touch((struct remote *)o);
}

static bool
goodbye(struct orchestrator *o)
{
	const bool said = heartbeat_goodbye((struct remote *)o);

	return (websocket_goodbye((struct remote *)o) && said);
}

static void
leased(struct orchestrator *o, struct lease *l)
{
	struct remote *r = (struct remote *)o;

	outbox_leased(r->outbox, &r->posting.client, l);
}

static void
deliver(struct orchestrator *o, struct lease *l)
{
	struct remote *r = (struct remote *)o;

	outbox_finished(r->outbox, l);
	posting_add(r, l);
}

static void
drain(struct orchestrator *o)
{
	((struct remote *)o)->polling.draining = true;
	heartbeat_part((struct remote *)o);
	posting_hurry((struct remote *)o);
}

static bool
tried(const struct orchestrator *o)
{
	return (((const struct remote *)o)->registration.tried);
}

static bool
registered(const struct orchestrator *o)
{
	return (((const struct remote *)o)->registration.registered);
}

static unsigned
polls(const struct orchestrator *o)
{
	return (((const struct remote *)o)->polling.in_flight);
}

static unsigned
undelivered(const struct orchestrator *o)
{
	const struct remote *r = (const struct remote *)o;

	return (r->posting.waiting_count + r->posting.in_flight);
}

static bool
is_gone(const struct orchestrator *o)
{
	return (undelivered(o) == 0 ||
	    posting_is_unheard((const struct remote *)o));
}

static void
abandon_polls(struct orchestrator *o)
{
	polling_abandon((struct remote *)o);
	posting_hurry((struct remote *)o);
}

static void
tell_event(
    struct orchestrator *o, struct lease *l, const struct task_event *event)
{
	events_add((struct remote *)o, l, event);
}

static bool
facts(const struct orchestrator *o, size_t i, struct orchestrator_facts *out)
{
	const struct remote *r = (const struct remote *)o;

	*out = (struct orchestrator_facts){
		.name = r->conf->name,
		.url = r->conf->url,
		.worker_id = r->facts.id,
		.dialect = r->dialect != NULL ? r->dialect->name : NULL,
		.registered = registered(o),
		.websocket = websocket_is_open(r),
		.polls = polls(o),
		.undelivered = undelivered(o),
	};
	return (i == 0);
}

static void
remote_free(struct orchestrator *o)
{
	struct remote *r = (struct remote *)o;

	registration_fini(r);
	heartbeat_fini(r);
	polling_fini(r);
	posting_fini(r);
	events_fini(r);
	websocket_fini(r);
	http_headers_free(r->headers);
	free_secret(r->token);
	free_secret(r->task_key);
	free((char *)r->facts.hostname);
	free((char *)r->facts.address);
	free(r->url_register);
	free(r->url_worker);
	free(r->url_poll);
	free(r->url_result);
	free(r->url_event);
	free(r->url_websocket);
	free(r);
}

static const struct orchestrator_driver driver = {
	.offer = offer,
	.touch = touch,
	.goodbye = goodbye,
	.leased = leased,
	.deliver = deliver,
	.event = tell_event,
	.drain = drain,
	.tried = tried,
	.registered = registered,
	.polls = polls,
	.undelivered = undelivered,
	.is_gone = is_gone,
	.abandon_polls = abandon_polls,
	.facts = facts,
	.free = remote_free,
};

static char *
own_hostname(void)
{
	char name[256];

	if (gethostname(name, sizeof(name)) == -1)
		return (strdup("localhost"));
	name[sizeof(name) - 1] = '\0';
	return (strdup(name));
}

/* Writes an address that others may reach us at; false for any other. */
static bool
show_address(const struct ifaddrs *i, int family, char *text, socklen_t size)
{
	struct sockaddr_in6 six;
	struct sockaddr_in four;

	if (i->ifa_addr == NULL || i->ifa_addr->sa_family != family ||
	    (i->ifa_flags & IFF_LOOPBACK) || !(i->ifa_flags & IFF_UP))
		return (false);
	if (family == AF_INET) {
		memcpy(&four, i->ifa_addr, sizeof(four));
		return (inet_ntop(family, &four.sin_addr, text, size) != NULL);
	}
	memcpy(&six, i->ifa_addr, sizeof(six));
	return (!IN6_IS_ADDR_LINKLOCAL(&six.sin6_addr) &&
	    inet_ntop(family, &six.sin6_addr, text, size) != NULL);
}

/* The first of them, IPv4 before IPv6. */
static char *
own_address(void)
{
	char text[INET6_ADDRSTRLEN] = "127.0.0.1";
	const struct ifaddrs *i;
	struct ifaddrs *all;

	if (getifaddrs(&all) == -1)
		return (strdup(text));
	for (i = all; i != NULL; i = i->ifa_next)
		if (show_address(i, AF_INET, text, sizeof(text)))
			break;
	if (i == NULL)
		for (i = all; i != NULL; i = i->ifa_next)
			if (show_address(i, AF_INET6, text, sizeof(text)))
				break;
	freeifaddrs(all);
	return (strdup(text));
}

struct remote *
remote_new(const struct remote_settings *set,
    const struct orchestrator_ops *ops, void *arg, struct why *why)
{
	const char *url = set->conf->url;
	struct remote *r;

	if ((r = calloc(1, sizeof(*r))) == NULL) {
		why_errno(why, "orchestrator %s", set->conf->name);
		return (NULL);
	}
	r->base = (struct orchestrator){ &driver, ops, arg };
	r->conf = set->conf;
	r->fleet = set->fleet;
	r->loop = set->loop;
	r->http = set->http;
	r->outbox = set->outbox;
	r->stats = set->stats;
	r->heartbeat_interval_ms = set->worker->heartbeat_interval_ms;
	r->poll_interval_ms = set->worker->poll_interval_ms;
	r->heartbeat.debounce_ms = set->worker->heartbeat_debounce_ms;
	r->heartbeat.cooldown_ms = set->worker->heartbeat_cooldown_ms;
	r->heartbeat.usage_interval_ms = set->worker->usage_interval_ms;
	r->heartbeat.usage_deadband =
	    (double)set->worker->usage_deadband_milli / 1000;
	r->facts = (struct worker_facts){
		.id = set->worker_id,
		.type = set->worker->type,
		.hostname = own_hostname(),
		.address = own_address(),
		.resources = set->resources,
		.storage = set->storage,
		.report_stderr = (size_t)set->conf->report_stderr,
		.retry_passthrough =
		    set->conf->retry_status == CONF_RETRY_PASSTHROUGH,
	};
	r->url_register = text_format("%s" PATH_REGISTER, url);
	r->url_worker = text_format("%s" PATH_WORKER, url, set->worker_id);
	r->url_poll = text_format("%s" PATH_POLL, url, set->worker_id);
	r->url_result = text_format("%s" PATH_RESULT, url);
	r->url_event = text_format("%s" PATH_EVENT, url);
	r->url_websocket =
	    text_format("%s" PATH_WEBSOCKET, url, set->worker_id);
	if (r->facts.hostname == NULL || r->facts.address == NULL ||
	    r->url_register == NULL || r->url_worker == NULL ||
	    r->url_poll == NULL || r->url_result == NULL ||
	    r->url_event == NULL || r->url_websocket == NULL ||
	    registration_init(r) == -1 || heartbeat_init(r) == -1 ||
	    polling_init(r) == -1 || posting_init(r) == -1 ||
	    events_init(r) == -1 || websocket_init(r) == -1) {
		why_set(why, "no memory for orchestrator %s", set->conf->name);
		remote_free(&r->base);
		return (NULL);
	}
	if (manners_init(r, why) == -1 || load_token(r, why) == -1 ||
	    load_task_key(r, why) == -1) {
		remote_free(&r->base);
		return (NULL);
	}
	posting_join(r);
	return (r);
}
