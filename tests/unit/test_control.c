/* SPDX-License-Identifier: ISC */
/* The control socket, as raw clients see it, and what it makes of a view. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>
#include <jansson.h>

#include "child/bytes.h"
#include "supervisor/base/clock.h"
#include "supervisor/edges/control.h"
#include "supervisor/edges/view.h"
#include "tests/test.h"

#define WAIT_MS 60000

struct server {
	struct event_base *base;
	struct control *control;
	struct view view;
	struct sockaddr_un sa;
	char folder[64];
	char done[64]; /* the last order */
	struct letters_asker asker; /* the last one */
	bool blind; /* memory is short */
};

static const struct view *
look(void *arg)
{
	struct server *s = arg;

	return (s->blind ? NULL : &s->view);
}

static bool
order(struct server *s, const char *what, const char *category)
{
	(void)snprintf(s->done, sizeof(s->done), "%s %s", what,
	    category != NULL ? category : "all");
	return (category == NULL || strcmp(category, "heavy") == 0);
}

static bool
fake_pause(const char *category, void *arg)
{
	return (order(arg, "pause", category));
}

static bool
fake_resume(const char *category, void *arg)
{
	return (order(arg, "resume", category));
}

static void
fake_drain(void *arg)
{
	(void)order(arg, "drain", NULL);
}

static void
fake_reload(void *arg)
{
	(void)order(arg, "reload", NULL);
}

static void
fake_results(
    void (*fn)(const struct result_view *, void *to), void *to, void *arg)
{
	(void)arg;
	fn(
	    &(const struct result_view){
		.id = 7,
		.task_id = "t-7",
		.job_id = "j-7",
		.status = "failure",
		.code = "TRANSIENT_ERROR",
		.url = "http://o",
		.finished_ms = clock_now_ms() - 3000,
		.on_disk = true,
	    },
	    to);
}

static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	(void)fd;
	(void)what;
	s->asker.answer(
	    &(const struct letters_answer){
		.list = "[{\"id\":5}]",
		.list_len = 10,
	    },
	    s->asker.ticket, s->asker.to);
}

/* A list comes later, everything else at once. */
static void
fake_letters(enum letters_order what, int64_t id,
    const struct letters_asker *asker, void *arg)
{
	const struct timeval now = { 0, 1000 };
	struct server *s = arg;

	s->asker = *asker;
	(void)snprintf(
	    s->done, sizeof(s->done), "letters %d %d", (int)what, (int)id);
	if (what == LETTERS_LIST)
		(void)event_base_once(
		    s->base, -1, EV_TIMEOUT, on_late, s, &now);
	else if (id == 404)
		asker->answer(&(const struct letters_answer){ .error = "none" },
		    asker->ticket, asker->to);
	else
		asker->answer(&(const struct letters_answer){ .count = 3 },
		    asker->ticket, asker->to);
}

static const struct view_ops ops = {
	.look = look,
	.results = fake_results,
	.letters = fake_letters,
	.pause = fake_pause,
	.resume = fake_resume,
	.drain = fake_drain,
	.reload = fake_reload,
};

static const struct category_view categories[] = {
	{ .name = "heavy", .min_children = 1, .max_children = 2, .busy = 1 },
	{ .name = "light", .failure = "exited with \"1\"" },
};

static void
server_init(struct server *s)
{
	memset(s, 0, sizeof(*s));
	(void)snprintf(
	    s->folder, sizeof(s->folder), "/tmp/avtoworker-control-XXXXXX");
	ASSERT(mkdtemp(s->folder) != NULL);
	s->sa.sun_family = AF_UNIX;
	(void)snprintf(s->sa.sun_path, sizeof(s->sa.sun_path),
	    "%s/" CONTROL_SOCKET, s->folder);
	ASSERT((s->base = event_base_new()) != NULL);
	s->view = (struct view){
		.version = "1.2",
		.worker_id = "me-1",
		.state = "running",
		.pid = 4711,
		.started_ms = clock_now_ms() - 5000,
		.generation = 1,
		.categories = categories,
		.categories_len = 2,
	};
}

static void
server_start(struct server *s)
{
	struct why why;

	server_init(s);
	if ((s->control = control_new(s->base, s->folder, &ops, s, &why)) ==
	    NULL)
		test_fail(__FILE__, __LINE__, "%s", why.text);
}

static void
server_stop(struct server *s)
{
	control_free(s->control);
	event_base_free(s->base);
	(void)unlink(s->sa.sun_path);
	ASSERT(rmdir(s->folder) == 0);
}

static int
client(const struct server *s)
{
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ASSERT(fd != -1);
	if (connect(fd, (const struct sockaddr *)&s->sa, sizeof(s->sa)) == -1)
		test_fail(__FILE__, __LINE__, "connect: %s", strerror(errno));
	return (fd);
}

static void
turn(struct server *s)
{
	ASSERT(event_base_loop(s->base, EVLOOP_NONBLOCK) != -1);
}

/* Reads until the server closes; terminated; caller frees. */
static char *
hear(struct server *s, int fd)
{
	const int64_t end_ms = clock_now_ms() + WAIT_MS;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct bytes in = { 0 };
	char buf[4096];
	ssize_t n = 1;

	while (n > 0) {
		ASSERT(clock_now_ms() < end_ms);
		if (s->control != NULL)
			turn(s);
		if (poll(&p, 1, 5) != 1)
			continue;
		if ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
			bytes_append(&in, buf, (size_t)n);
	}
	bytes_append(&in, "", 1);
	(void)close(fd);
	return (in.p);
}

static char *
exchange(struct server *s, const char *request, size_t len)
{
	const int fd = client(s);
	size_t sent = 0;
	ssize_t n;

	/* As much as there is room for: the server may not want it all. */
	while (sent < len) {
		n = send(fd, request + sent, len - sent,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n == -1 && errno != EAGAIN)
			break;
		sent += n > 0 ? (size_t)n : 0;
		turn(s);
		if (n == -1)
			break;
	}
	(void)shutdown(fd, SHUT_WR);
	return (hear(s, fd));
}

static void
answers(struct server *s, const char *request, const char *want)
{
	char *got = exchange(s, request, strlen(request));

	if (strncmp(got, want, strlen(want)) != 0)
		test_fail(__FILE__, __LINE__, "%s: got %s, not %s", request,
		    got, want);
	free(got);
}

static json_t *
asks(struct server *s, const char *request)
{
	char *got = exchange(s, request, strlen(request));
	json_t *object = json_loads(got, JSON_REJECT_DUPLICATES, NULL);

	if (!json_is_true(json_object_get(object, "ok")))
		test_fail(__FILE__, __LINE__, "%s: %s", request, got);
	free(got);
	return (object);
}

static int64_t
number(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	if (!json_is_integer(value))
		test_fail(__FILE__, __LINE__, "no number %s", name);
	return (json_integer_value(value));
}

static const char *
text(const json_t *object, const char *name)
{
	return (json_string_value(json_object_get(object, name)));
}

static void
tells_the_status(void)
{
	struct server s;
	json_t *object;
	const json_t *row;

	server_start(&s);
	s.view.polls = 3;
	s.view.paused = true;
	object = asks(&s, "{\"command\":\"status\"}\n");
	ASSERT_STR(text(object, "worker_id"), "me-1");
	ASSERT_STR(text(object, "state"), "running");
	ASSERT(json_is_null(json_object_get(object, "name")));
	ASSERT_INT(number(object, "pid"), 4711);
	ASSERT_INT(number(object, "polls"), 3);
	ASSERT(number(object, "uptime_ms") >= 5000);
	ASSERT(json_is_true(json_object_get(object, "paused")));
	ASSERT(json_is_false(json_object_get(object, "registered")));
	row = json_array_get(json_object_get(object, "categories"), 0);
	ASSERT_STR(text(row, "name"), "heavy");
	ASSERT_INT(number(row, "busy"), 1);
	ASSERT_INT(number(row, "retry_in_ms"), 0);
	ASSERT_STR(text(row, "failure"), "");
	row = json_array_get(json_object_get(object, "categories"), 1);
	ASSERT_STR(text(row, "failure"), "exited with \"1\"");
	json_decref(object);
	server_stop(&s);
}

static void
tells_of_results(void)
{
	struct server s;
	json_t *object;
	const json_t *row;

	server_start(&s);
	object = asks(&s, "{\"command\":\"results\"}\n");
	row = json_array_get(json_object_get(object, "results"), 0);
	ASSERT_INT(number(row, "id"), 7);
	ASSERT_STR(text(row, "task_id"), "t-7");
	ASSERT_STR(text(row, "code"), "TRANSIENT_ERROR");
	ASSERT(number(row, "age_ms") >= 3000);
	ASSERT_INT(number(row, "retry_in_ms"), 0);
	ASSERT(json_is_true(json_object_get(row, "on_disk")));
	json_decref(object);
	server_stop(&s);
}

static void
handles_dead_letters(void)
{
#define LETTERS "{\"command\":\"dead-letters\""
	struct server s;

	server_start(&s);
	answers(&s, LETTERS ",\"order\":\"list\"}\n",
	    "{\"ok\":true,\"dead_letters\":[{\"id\":5}]}\n");
	answers(&s, LETTERS ",\"order\":\"resend\",\"id\":9}\n",
	    "{\"ok\":true,\"count\":3}\n");
	ASSERT_STR(s.done, "letters 2 9");
	answers(&s, LETTERS ",\"order\":\"drop\"}\n",
	    "{\"ok\":true,\"count\":3}\n");
	ASSERT_STR(s.done, "letters 3 0");
	answers(&s, LETTERS ",\"order\":\"show\",\"id\":404}\n",
	    "{\"error\":\"none\"}\n");
	answers(&s, LETTERS "}\n", "{\"error\":\"order must be");
	answers(&s, LETTERS ",\"order\":\"burn\"}\n", "{\"error\":\"order");
	answers(&s, LETTERS ",\"order\":\"show\"}\n", "{\"error\":\"show");
	answers(
	    &s, LETTERS ",\"order\":\"list\",\"id\":1}\n", "{\"error\":\"list");
	answers(&s, LETTERS ",\"order\":\"drop\",\"id\":\"x\"}\n",
	    "{\"error\":\"id");
	answers(
	    &s, LETTERS ",\"order\":\"drop\",\"id\":-1}\n", "{\"error\":\"id");
	server_stop(&s);
}

/* It is closed while its answer is on its way. */
static void
survives_a_client_that_does_not_wait(void)
{
	static const char request[] = LETTERS ",\"order\":\"list\"}\n";
	struct server s;
	int fd;

	server_start(&s);
	fd = client(&s);
	ASSERT(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0);
	while (s.asker.answer == NULL)
		turn(&s);
	(void)close(fd);
	answers(&s, LETTERS ",\"order\":\"list\"}\n", "{\"ok\":true");
	server_stop(&s);
}

static void
lists_many_children(void)
{
	struct child_view *children = calloc(2000, sizeof(*children));
	struct server s;
	const json_t *row;
	json_t *object;
	int i;

	ASSERT(children != NULL);
	for (i = 0; i < 2000; i++)
		children[i] = (struct child_view){
			.category = "heavy",
			.pid = 100 + i,
			.state = "busy",
			.since_ms = clock_now_ms() - 9000,
			.tasks = 7,
			.task_type = "resize",
			.task_id = "t-1",
			.job_id = "j-1",
		};
	children[1].task_type = children[1].task_id = NULL;
	server_start(&s);
	s.view.children = children;
	s.view.children_len = 2000;
	object = asks(&s, "{\"command\":\"ps\"}\n");
	ASSERT_INT(json_array_size(json_object_get(object, "children")), 2000);
	row = json_array_get(json_object_get(object, "children"), 0);
	ASSERT_INT(number(row, "pid"), 100);
	ASSERT(number(row, "in_state_ms") >= 9000);
	ASSERT_STR(text(row, "task_id"), "t-1");
	row = json_array_get(json_object_get(object, "children"), 1);
	ASSERT(json_is_null(json_object_get(row, "task_id")));
	json_decref(object);
	server_stop(&s);
	free(children);
}

static void
carries_out_orders(void)
{
	struct server s;

	server_start(&s);
	answers(&s, "{\"command\":\"pause\"}\n", "{\"ok\":true}");
	ASSERT_STR(s.done, "pause all");
	answers(&s, "{\"command\":\"pause\",\"category\":\"heavy\"}\n",
	    "{\"ok\":true}");
	ASSERT_STR(s.done, "pause heavy");
	answers(&s, "{\"category\":null,\"command\":\"resume\"}\r\n",
	    "{\"ok\":true}");
	ASSERT_STR(s.done, "resume all");
	answers(&s, "{\"command\":\"resume\",\"category\":\"x\"}\n",
	    "{\"error\":\"there is no category x; there are: heavy light\"}");
	answers(&s, "{\"command\":\"reload\"}\n", "{\"ok\":true,\"message\":");
	ASSERT_STR(s.done, "reload all");
	answers(&s, "{\"command\":\"drain\"}\n", "{\"ok\":true,\"message\":");
	ASSERT_STR(s.done, "drain all");
	server_stop(&s);
}

static void
refuses_garbage(void)
{
	const char *const garbage[] = {
		"\n", "hello\n", "[]\n", "null\n", "{}\n", "{\"command\":1}\n",
		"{\"command\":\"frob\"}\n",
		"{\"command\":\"drain\",\"command\":\"drain\"}\n",
		"{\"command\":\"drain\",\"category\":\"heavy\"}\n",
		"{\"command\":\"pause\",\"category\":[]}\n",
		"{\"command\":\"drain\"} x\n", "{\"command\":\"dr\xff\"}\n",
		"{\"command\":\"drain\"", /* half a request */
	};
	struct server s;
	size_t i;

	server_start(&s);
	for (i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++)
		answers(&s, garbage[i], "{\"error\":\"");
	ASSERT_STR(s.done, "");
	s.blind = true;
	answers(&s, "{\"command\":\"ps\"}\n",
	    "{\"error\":\"the worker is out of memory\"}");
	server_stop(&s);
}

static void
refuses_more_than_it_can_hold(void)
{
	static char huge[CONTROL_REQUEST_MAX * 4];
	struct server s;
	char *got;

	server_start(&s);
	memset(huge, ' ', sizeof(huge));
	got = exchange(&s, huge, sizeof(huge));
	ASSERT_STR(
	    got, "{\"error\":\"the request is no line of at most 64 KiB\"}\n");
	free(got);
	/* Blanks before an object are fine, up to the limit. */
	(void)snprintf(huge + CONTROL_REQUEST_MAX - 40, 41, "%40s",
	    "{\"command\":\"pause\"}\n");
	got = exchange(&s, huge, CONTROL_REQUEST_MAX);
	ASSERT_STR(got, "{\"ok\":true}\n");
	free(got);
	server_stop(&s);
}

static void
says_nothing_to_the_silent(void)
{
	struct server s;
	char *got;

	server_start(&s);
	got = exchange(&s, "", 0);
	ASSERT_STR(got, "");
	free(got);
	server_stop(&s);
}

/* More clients than it serves: the first sixteen are ended for saying
 * nothing, and then the last one is answered. */
static void
is_not_held_up_by_the_silent(void)
{
	struct server s;
	int fds[20], i;

	server_start(&s);
	for (i = 0; i < 20; i++) {
		fds[i] = client(&s);
		turn(&s);
	}
	answers(&s, "{\"command\":\"pause\"}\n", "{\"ok\":true}");
	for (i = 0; i < 20; i++)
		(void)close(fds[i]);
	server_stop(&s);
}

static void
answers_an_order_that_ends_it(void)
{
	struct server s;
	int fd;
	char *got;

	server_start(&s);
	fd = client(&s);
	ASSERT(send(fd, "{\"command\":\"drain\"}\n", 20, 0) == 20);
	while (s.done[0] == '\0')
		turn(&s);
	control_free(s.control);
	s.control = NULL;
	got = hear(&s, fd);
	ASSERT(strncmp(got, "{\"ok\":true,", 11) == 0);
	free(got);
	server_stop(&s);
}

static void
is_private_from_the_first_moment(void)
{
	const mode_t before = umask(0);
	struct server s;
	struct stat st;

	server_start(&s);
	(void)umask(before);
	ASSERT(stat(s.sa.sun_path, &st) == 0);
	ASSERT_INT(st.st_mode & 07777, 0600);
	control_free(s.control);
	s.control = NULL;
	ASSERT(stat(s.sa.sun_path, &st) == -1 && errno == ENOENT);
	server_stop(&s);
}

static void
takes_the_place_of_a_dead_one(void)
{
	struct server s;
	struct why why;
	int fd;

	server_init(&s);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ASSERT(bind(fd, (struct sockaddr *)&s.sa, sizeof(s.sa)) == 0);
	ASSERT(listen(fd, 1) == 0);
	/* While somebody serves it, it stays his. */
	ASSERT(control_new(s.base, s.folder, &ops, &s, &why) == NULL);
	ASSERT(strstr(why.text, "Address already in use") != NULL);
	(void)close(fd);
	s.control = control_new(s.base, s.folder, &ops, &s, &why);
	ASSERT(s.control != NULL);
	answers(&s, "{\"command\":\"pause\"}\n", "{\"ok\":true}");
	server_stop(&s);
}

static void
removes_nothing_but_sockets(void)
{
	struct server s;
	struct stat st;
	struct why why;
	int fd;

	server_init(&s);
	fd = open(s.sa.sun_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	(void)close(fd);
	ASSERT(control_new(s.base, s.folder, &ops, &s, &why) == NULL);
	ASSERT(stat(s.sa.sun_path, &st) == 0);
	server_stop(&s);
}

static void
says_when_the_path_is_too_long(void)
{
	struct server s;
	struct why why;
	char folder[200];

	server_init(&s);
	memset(folder, 'x', sizeof(folder) - 1);
	folder[sizeof(folder) - 1] = '\0';
	ASSERT(control_new(s.base, folder, &ops, &s, &why) == NULL);
	ASSERT(strstr(why.text, "at most 107 are possible") != NULL);
	ASSERT(strstr(why.text, "worker.state_dir") != NULL);
	server_stop(&s);
}

/* In a process of another user: even an open socket does not let him in. */
static int
as_somebody_else(const struct server *s)
{
	char byte;
	int fd;

	if (setresgid(65534, 65534, 65534) == -1 ||
	    setresuid(65534, 65534, 65534) == -1)
		return (3);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (const struct sockaddr *)&s->sa, sizeof(s->sa)) == -1)
		return (4);
	(void)send(fd, "{\"command\":\"drain\"}\n", 20, MSG_NOSIGNAL);
	return (recv(fd, &byte, 1, 0) <= 0 ? 0 : 5);
}

static void
refuses_another_user(void)
{
	const int64_t end_ms = clock_now_ms() + WAIT_MS;
	struct server s;
	int status;
	pid_t pid;

	server_start(&s);
	if (geteuid() != 0) { /* then it cannot be tried */
		server_stop(&s);
		return;
	}
	/* As if the modes of file and folder had been changed. */
	ASSERT(chmod(s.folder, 0755) == 0 && chmod(s.sa.sun_path, 0666) == 0);
	expect_log("user 65534 may not use the control socket");
	if ((pid = fork()) == 0)
		_exit(as_somebody_else(&s));
	while (waitpid(pid, &status, WNOHANG) == 0) {
		ASSERT(clock_now_ms() < end_ms);
		turn(&s);
		(void)poll(NULL, 0, 1);
	}
	ASSERT(WIFEXITED(status));
	ASSERT_INT(WEXITSTATUS(status), 0);
	ASSERT_STR(s.done, "");
	server_stop(&s);
}

static const struct test tests[] = {
	{ "tells the status", tells_the_status },
	{ "tells of results that wait", tells_of_results },
	{ "handles dead letters", handles_dead_letters },
	{ "survives a client that does not wait",
	    survives_a_client_that_does_not_wait },
	{ "lists many children", lists_many_children },
	{ "carries out orders", carries_out_orders },
	{ "refuses garbage", refuses_garbage },
	{ "refuses more than it can hold", refuses_more_than_it_can_hold },
	{ "says nothing to the silent", says_nothing_to_the_silent },
	{ "is not held up by silent clients", is_not_held_up_by_the_silent },
	{ "answers an order that ends it", answers_an_order_that_ends_it },
	{ "is private from the first moment",
	    is_private_from_the_first_moment },
	{ "takes the place of a dead one", takes_the_place_of_a_dead_one },
	{ "removes nothing but sockets", removes_nothing_but_sockets },
	{ "says when the path is too long", says_when_the_path_is_too_long },
	{ "refuses another user", refuses_another_user },
};

TEST_MAIN(tests)
