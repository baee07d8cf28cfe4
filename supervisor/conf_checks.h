/* SPDX-License-Identifier: ISC */
/* conf_checks.h: whether a text is one that a key may have; for the rows of the
 * table of keys. */
#ifndef AVTOWORKER_CONF_CHECKS_H
#define AVTOWORKER_CONF_CHECKS_H

#include <stdbool.h>

/* What titles and texts may be. */
bool conf_is_name(const char *); /* [A-Za-z0-9_.-]{1,64} */
bool conf_is_task_type(const char *); /* [A-Za-z0-9._:-]{1,128} */
bool conf_is_worker_id(const char *); /* not "ghost" */
bool conf_is_worker_type(const char *); /* printable, blanks too */
bool conf_is_token(const char *); /* printable, without blanks */
bool conf_is_task_key(const char *);
bool conf_is_path(const char *);
bool conf_is_absolute_path(const char *);
bool conf_is_word(const char *); /* of a command */
bool conf_is_setting(const char *); /* KEY=VALUE */
bool conf_is_file_setting(const char *); /* KEY=PATH */
bool conf_is_pairs(const char *); /* NAME=VALUE, NAME=VALUE ... */
bool conf_is_properties(const char *); /* the same, or a JSON object */
bool conf_is_devices(const char *); /* a JSON list */
bool conf_is_extra(const char *); /* NAME=VALUE */
bool conf_is_models(const char *); /* NAME, NAME=VERSION ... */
bool conf_is_cost(const char *); /* a decimal number */
bool conf_is_costs(const char *); /* TYPE=NUMBER, TYPE=NUMBER ... */
bool conf_is_python_name(const char *);
bool conf_is_version(const char *);
bool conf_is_log_destination(const char *);
bool conf_is_umask(const char *);
bool conf_is_address(const char *); /* IPv4 or IPv6 */

#endif
