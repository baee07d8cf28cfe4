/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/base/text.h"
#include "supervisor/children/child.h"
#include "supervisor/children/environment.h"
#include "supervisor/children/program.h"
#include "supervisor/conf.h"
#include "supervisor/handler.h"

/* program, --parent PID, --category NAME, handlers, NULL */
static int
make_argv(struct program *p, const char *category,
    const struct handler_table *handlers, const struct child_env *env)
{
	struct handler *h = NULL;
	size_t n = 0;

	p->argv = calloc(handlers->count + 6, sizeof(*p->argv));
	if (p->argv == NULL)
		return (-1);
	if ((p->argv[n++] = strdup(env->program)) == NULL ||
	    (p->argv[n++] = strdup("--parent")) == NULL ||
	    (p->argv[n++] = text_format("%d", (int)getpid())) == NULL ||
	    (p->argv[n++] = strdup("--category")) == NULL ||
	    (p->argv[n++] = strdup(category)) == NULL)
		return (-1);
	while ((h = handler_next(handlers, h)) != NULL)
		if (strcmp(h->category, category) == 0 &&
		    (p->argv[n++] = text_format("%s=%s", h->type, h->file)) ==
			NULL)
			return (-1);
	return (0);
}

static bool
inherits(const struct conf_category *conf, bool automatic)
{
	if (conf->environment == CONF_ENVIRONMENT_AUTO)
		return (automatic);
	return (conf->environment == CONF_ENVIRONMENT_INHERIT);
}

int
program_init(struct program *p, const char *category,
    const struct conf_category *conf, const struct handler_table *handlers,
    const struct child_env *env, bool inherit, struct why *why)
{
	*p = (struct program){ 0 };
	p->envp = environment_inherited(
	    inherits(conf, inherit) ? env->inherited : env->clean);
	if (p->envp == NULL || make_argv(p, category, handlers, env) == -1) {
		why_errno(why, "category %s", category);
		program_fini(p);
		return (-1);
	}
	return (0);
}

void
program_fini(struct program *p)
{
	environment_free(p->envp);
	environment_free(p->argv);
	*p = (struct program){ 0 };
}
