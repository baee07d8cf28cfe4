/* SPDX-License-Identifier: ISC */
/*
 * avtoworker-devorch: an orchestrator for trying out and testing workers.
 * One process, one loop: server.c serves HTTP, api.c answers as the two
 * dialects do, work.c knows the jobs, fault.c breaks answers on purpose.
 */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>

#include <event2/event.h>

#include "tests/devorch/api.h"
#include "tests/devorch/fault.h"
#include "tests/devorch/ledger.h"
#include "tests/devorch/options.h"
#include "tests/devorch/resume.h"
#include "tests/devorch/spec.h"
#include "tests/devorch/stats.h"
#include "tests/devorch/work.h"

static void
on_end(evutil_socket_t signo, short what, void *arg)
{
	(void)signo;
	(void)what;
	(void)event_base_loopexit(arg, NULL);
}

static void
on_release(evutil_socket_t signo, short what, void *arg)
{
	(void)signo;
	(void)what;
	api_release(arg);
}

static void
on_close(evutil_socket_t signo, short what, void *arg)
{
	(void)signo;
	(void)what;
	api_close(arg);
}

/* Serves until it is over; -1 and why when it cannot. */
static int
serve(struct event_base *base, struct api *api, struct why *why)
{
	const struct {
		int signo;
		event_callback_fn act;
		void *arg;
	} signals[] = {
		{ SIGTERM, on_end, base },
		{ SIGINT, on_end, base },
		{ SIGUSR1, on_release, api },
		{ SIGUSR2, on_close, api },
	};
	struct event *events[sizeof(signals) / sizeof(signals[0])] = { 0 };
	size_t i;
	int result = 0;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		events[i] = evsignal_new(
		    base, signals[i].signo, signals[i].act, signals[i].arg);
		if (events[i] == NULL || event_add(events[i], NULL) == -1)
			result = -1;
	}
	if (result == -1)
		why_set(why, "cannot watch signals");
	else {
		printf("READY port=%u\n", api_port(api));
		(void)fflush(stdout);
		if ((result = event_base_dispatch(base)) == -1)
			why_set(why, "the event loop failed");
	}
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (events[i] != NULL)
			event_free(events[i]);
	return (result);
}

int
main(int argc, char **argv)
{
	struct event_base *base = NULL;
	struct api *api = NULL;
	struct faults *faults = NULL;
	struct specs specs = { 0 };
	struct stats stats = { 0 };
	struct work *work = NULL;
	struct options o;
	struct why why;
	int status;

	if ((status = options_read(&o, argc, argv)) != -1)
		goto done;
	status = EX_USAGE;
	if ((work = work_new(&o.work, &specs, &why)) == NULL ||
	    (faults = faults_new(&why)) == NULL ||
	    options_apply(&o, &specs, faults, &why) == -1) {
		warnx("%s", why.text);
		goto done;
	}
	status = EX_OSERR;
	if ((base = event_base_new()) == NULL) {
		warnx("cannot make an event loop");
		goto done;
	}
	if ((o.resume && resume(o.ledger, work, &why) == -1) ||
	    (o.ledger != NULL &&
		(o.api.polls.ledger = ledger_new(o.ledger, o.resume, &why)) ==
		    NULL)) {
		warnx("%s", why.text);
		goto done;
	}
	api = api_new(base, &o.api, work, faults, &stats, &why);
	if (api == NULL || serve(base, api, &why) == -1) {
		warnx("%s", why.text);
		goto done;
	}
	if (o.summary)
		stats_print(&stats, work, faults, o.json, stdout);
	status = EX_OK;

done:
	api_free(api);
	if (ledger_free(o.api.polls.ledger, &why) == -1) {
		warnx("%s", why.text);
		status = EX_IOERR;
	}
	if (base != NULL)
		event_base_free(base);
	stats_fini(&stats);
	faults_free(faults);
	work_free(work);
	specs_fini(&specs);
	options_fini(&o);
	return (status);
}
