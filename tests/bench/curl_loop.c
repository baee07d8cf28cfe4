/* SPDX-License-Identifier: ISC */
/*
 * curl_loop: the least that libcurl can do for a task, as the yardstick for
 * avtoworkerd: in each of N slots poll, take the ids out of the reply, post a
 * result, poll again. No handler runs, nothing is checked or kept.
 *
 * Two ways to drive libcurl: "socket", curl_multi_socket_action() on libevent
 * with epoll's change list, as avtoworkerd does; "poll",
 * curl_multi_perform() and curl_multi_poll() in a loop.
 */
#include <sys/resource.h>

#include <err.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include <bsd/stdlib.h>
#include <curl/curl.h>
#include <event2/event.h>

#define MAX_SLOTS 256

/* One task at a time: its poll and its result take turns. */
struct slot {
	struct loop *loop;
	CURL *poll, *result; /* both point to this slot */
	char reply[4096];
	size_t reply_len;
	char body[1024]; /* of the result */
};

struct loop {
	CURLM *multi;
	struct event_base *base; /* NULL in "poll" mode */
	struct event *timer;
	struct curl_slist *headers;
	struct slot slots[MAX_SLOTS];
	const char *url;
	const char *token;
	const char *worker;
	unsigned nslots;
	unsigned long tasks; /* to be done */
	unsigned long done;
	bool classic : 1;
};

static size_t
on_data(char *p, size_t size, size_t n, void *arg)
{
	struct slot *slot = arg;

	if (size * n >= sizeof(slot->reply) - slot->reply_len)
		return (0); /* libcurl makes an error of it */
	memcpy(slot->reply + slot->reply_len, p, size * n);
	slot->reply_len += size * n;
	slot->reply[slot->reply_len] = '\0';
	return (size * n);
}

static void
start(struct slot *slot, CURL *easy)
{
	slot->reply_len = 0;
	slot->reply[0] = '\0';
	if (curl_multi_add_handle(slot->loop->multi, easy) != CURLM_OK)
		errx(EX_SOFTWARE, "curl_multi_add_handle");
}

/* The string member of that name; false when it is not there. */
static bool
find_string(const char *json, const char *name, int *len, const char **p)
{
	char key[32];
	const char *at, *end;

	(void)snprintf(key, sizeof(key), "\"%s\":\"", name);
	if ((at = strstr(json, key)) == NULL ||
	    (end = strchr(at + strlen(key), '"')) == NULL)
		return (false);
	*p = at + strlen(key);
	*len = (int)(end - *p);
	return (true);
}

/* A task has come: answers it. */
static void
answer(struct slot *slot)
{
	const struct loop *l = slot->loop;
	const char *job, *task;
	int job_len, task_len, n;

	if (!find_string(slot->reply, "job_id", &job_len, &job) ||
	    !find_string(slot->reply, "task_id", &task_len, &task))
		errx(EX_PROTOCOL, "a task without ids: %s", slot->reply);
	n = snprintf(slot->body, sizeof(slot->body),
	    "{\"job_id\":\"%.*s\",\"task_id\":\"%.*s\",\"worker_id\":\"%s\",%s",
	    job_len, job, task_len, task, l->worker,
	    l->classic ? "\"result\":{\"status\":\"success\",\"data\":{}}}" :
			 "\"status\":\"success\",\"data\":{}}");
	if (n < 0 || (size_t)n >= sizeof(slot->body))
		errx(EX_PROTOCOL, "ids too long");
	(void)curl_easy_setopt(slot->result, CURLOPT_POSTFIELDSIZE, (long)n);
	start(slot, slot->result);
}

static void
finished(struct loop *l, CURL *easy, CURLcode code)
{
	struct slot *slot;
	long status;

	(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &slot);
	(void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_multi_remove_handle(l->multi, easy);
	if (code != CURLE_OK)
		errx(EX_UNAVAILABLE, "%s", curl_easy_strerror(code));
	if (easy == slot->poll && status == 204)
		start(slot, slot->poll);
	else if (status != 200)
		errx(EX_PROTOCOL, "HTTP status %ld: %s", status, slot->reply);
	else if (easy == slot->poll)
		answer(slot);
	else if (++l->done < l->tasks)
		start(slot, slot->poll);
	else if (l->base != NULL)
		(void)event_base_loopbreak(l->base);
}

static void
take_finished(struct loop *l)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(l->multi, &left)) != NULL)
		if (message->msg == CURLMSG_DONE)
			finished(l, message->easy_handle, message->data.result);
}

/* ---- libevent ---- */

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	int running, flags = 0;

	if (what & EV_READ)
		flags |= CURL_CSELECT_IN;
	if (what & EV_WRITE)
		flags |= CURL_CSELECT_OUT;
	if (what & EV_TIMEOUT)
		fd = CURL_SOCKET_TIMEOUT;
	(void)curl_multi_socket_action(l->multi, fd, flags, &running);
	take_finished(l);
}

static int
on_timer(CURLM *multi, long ms, void *arg)
{
	struct loop *l = arg;
	const struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	(void)multi;
	if (ms < 0)
		(void)event_del(l->timer);
	else
		(void)event_add(l->timer, &tv);
	return (0);
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *data)
{
	struct loop *l = arg;
	struct event *event = data;
	short flags = EV_PERSIST;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (event != NULL)
			event_free(event);
		(void)curl_multi_assign(l->multi, fd, NULL);
		return (0);
	}
	if (what & CURL_POLL_IN)
		flags |= EV_READ;
	if (what & CURL_POLL_OUT)
		flags |= EV_WRITE;
	if (event == NULL) {
		event = event_new(l->base, fd, flags, on_event, l);
		(void)curl_multi_assign(l->multi, fd, event);
	} else {
		(void)event_del(event);
		(void)event_assign(event, l->base, fd, flags, on_event, l);
	}
	return (event == NULL || event_add(event, NULL) == -1 ? -1 : 0);
}

static void
prepare_socket_mode(struct loop *l)
{
	struct event_config *config = event_config_new();

	if (config == NULL ||
	    event_config_set_flag(
		config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) == -1 ||
	    (l->base = event_base_new_with_config(config)) == NULL ||
	    (l->timer = evtimer_new(l->base, on_event, l)) == NULL)
		errx(EX_OSERR, "cannot make an event loop");
	event_config_free(config);
	(void)curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	(void)curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
	(void)curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	(void)curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
}

static void
run(struct loop *l)
{
	int running;

	if (l->base != NULL) {
		(void)event_base_dispatch(l->base);
		return;
	}
	while (l->done < l->tasks) {
		(void)curl_multi_perform(l->multi, &running);
		take_finished(l);
		if (l->done < l->tasks)
			(void)curl_multi_poll(l->multi, NULL, 0, 1000, NULL);
	}
}

/* ---- set-up ---- */

static CURL *
new_easy(struct slot *slot, const char *path)
{
	struct loop *l = slot->loop;
	CURL *easy = curl_easy_init();
	char url[512];

	if (easy == NULL)
		errx(EX_OSERR, "curl_easy_init");
	(void)snprintf(url, sizeof(url), "%s%s", l->url, path);
	(void)curl_easy_setopt(easy, CURLOPT_URL, url);
	(void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, l->headers);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
	(void)curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_TIMEOUT, 60L);
	return (easy);
}

static void
add_header(struct loop *l, const char *text)
{
	struct curl_slist *list = curl_slist_append(l->headers, text);

	if (list == NULL)
		errx(EX_OSERR, "out of memory");
	l->headers = list;
}

static void
prepare(struct loop *l)
{
	char text[256];
	struct slot *slot;
	unsigned i;

	(void)snprintf(text, sizeof(text), "X-Worker-Token: %s", l->token);
	add_header(l, text);
	(void)snprintf(text, sizeof(text), "X-Worker-ID: %s", l->worker);
	add_header(l, text);
	add_header(l, "Content-Type: application/json");
	add_header(l, "Expect:");
	(void)curl_multi_setopt(
	    l->multi, CURLMOPT_MAXCONNECTS, (long)MAX_SLOTS);
	(void)snprintf(
	    text, sizeof(text), "/_worker/workers/%s/tasks/next", l->worker);
	for (i = 0; i < l->nslots; i++) {
		slot = &l->slots[i];
		slot->loop = l;
		slot->poll = new_easy(slot, text);
		slot->result = new_easy(slot, "/_worker/tasks/result");
		(void)curl_easy_setopt(slot->result, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(
		    slot->result, CURLOPT_POSTFIELDS, slot->body);
		start(slot, slot->poll);
	}
}

static void
clean_up(struct loop *l)
{
	unsigned i;

	for (i = 0; i < l->nslots; i++) {
		(void)curl_multi_remove_handle(l->multi, l->slots[i].poll);
		(void)curl_multi_remove_handle(l->multi, l->slots[i].result);
		curl_easy_cleanup(l->slots[i].poll);
		curl_easy_cleanup(l->slots[i].result);
	}
	(void)curl_multi_cleanup(l->multi);
	curl_slist_free_all(l->headers);
	if (l->timer != NULL)
		event_free(l->timer);
	if (l->base != NULL)
		event_base_free(l->base);
}

static double
now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((double)ts.tv_sec + (double)ts.tv_nsec / 1e9);
}

static double
cpu_seconds(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return ((double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	    (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
}

static void
usage(void)
{
	fprintf(stderr,
	    "usage: curl_loop --url URL --tasks N [--slots N] "
	    "[--mode socket|poll]\n\t[--dialect classic|rxon] "
	    "[--token TOKEN] [--worker ID]\n");
	exit(EX_USAGE);
}

static unsigned long
number(const char *text, long long max)
{
	const char *bad;
	const long long n = strtonum(text, 1, max, &bad);

	if (bad != NULL)
		errx(EX_USAGE, "%s is %s", text, bad);
	return ((unsigned long)n);
}

/* Reads argv into the loop; true for "socket" mode. */
static bool
read_options(struct loop *l, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "url", required_argument, NULL, 'u' },
		{ "tasks", required_argument, NULL, 'n' },
		{ "slots", required_argument, NULL, 's' },
		{ "mode", required_argument, NULL, 'm' },
		{ "dialect", required_argument, NULL, 'd' },
		{ "token", required_argument, NULL, 't' },
		{ "worker", required_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	bool socket_mode = true;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		switch (c) {
		case 'u':
			l->url = optarg;
			break;
		case 'n':
			l->tasks = number(optarg, 1000000000);
			break;
		case 's':
			l->nslots = (unsigned)number(optarg, MAX_SLOTS);
			break;
		case 'm':
			socket_mode = strcmp(optarg, "poll") != 0;
			break;
		case 'd':
			l->classic = strcmp(optarg, "classic") == 0;
			break;
		case 't':
			l->token = optarg;
			break;
		case 'w':
			l->worker = optarg;
			break;
		default:
			usage();
		}
	if (optind < argc || l->url == NULL || l->tasks == 0)
		usage();
	return (socket_mode);
}

int
main(int argc, char **argv)
{
	struct loop *l = calloc(1, sizeof(*l));
	double began, took;

	if (l == NULL)
		err(EX_OSERR, "loop");
	l->nslots = 16;
	l->token = "token";
	l->worker = "curl-loop";
	if (curl_global_init(CURL_GLOBAL_ALL) != 0)
		errx(EX_SOFTWARE, "curl_global_init");
	if ((l->multi = curl_multi_init()) == NULL)
		errx(EX_OSERR, "curl_multi_init");
	if (read_options(l, argc, argv))
		prepare_socket_mode(l);
	began = now();
	prepare(l);
	run(l);
	took = now() - began;
	printf("{\"tasks\":%lu,\"seconds\":%.6f,\"tasks_per_second\":%.1f,"
	       "\"cpu_seconds\":%.6f}\n",
	    l->done, took, (double)l->done / took, cpu_seconds());
	clean_up(l);
	curl_global_cleanup();
	free(l);
	return (0);
}
