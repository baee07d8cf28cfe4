/* SPDX-License-Identifier: ISC */
/*
 * users: two handlers over one table of a PostgreSQL database; show a
 * connection that each child opens once and opens again when it has dropped.
 *
 *	save_user	params	{"name": "Ann", "email": "ann@example.org"}
 *			data	{"user_id": 1}
 *	get_user	params	{"user_id": 1}
 *			data	the row: {"id": 1, "name": "Ann", ...}
 *
 * The database is the one that libpq's own variables name (PGHOST, PGDATABASE,
 * PGPASSFILE ...), or DATABASE_URL:
 *
 *	CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL,
 *	    email text NOT NULL UNIQUE);
 *
 * A user that does not exist is NOT_FOUND and an address that is taken is
 * ALREADY_EXISTS. Orchestrators try codes that they do not know again, which
 * is of no use here: final_codes = { NOT_FOUND, ALREADY_EXISTS } in the blocks
 * of these handlers fails the job at once.
 */
#include <avtoworker/handler.h>

#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT  "10" /* seconds */

/* Types of columns, from the catalogue of the server: they never change. */
#define OID_BOOL         16
#define OID_INT8         20
#define OID_INT2         21
#define OID_INT4         23
#define OID_FLOAT4       700
#define OID_FLOAT8       701

#define UNIQUE_VIOLATION "23505"

/* Of the process; both handlers use it, one task at a time. */
static PGconn *connection;
static unsigned users; /* handlers that have been started */

/* A message of libpq's without its newline. */
static const char *
first_line(char *text)
{
	text[strcspn(text, "\n")] = '\0';
	return (text);
}

static PGconn *
dial(void)
{
	const char *url = getenv("DATABASE_URL");
	const char *const names[] = { "dbname", "connect_timeout", NULL };
	const char *const values[] = { url, CONNECT_TIMEOUT, NULL };

	if (url == NULL || *url == '\0') /* as the PG* variables say */
		return (PQconnectdbParams(names + 1, values + 1, 0));
	return (PQconnectdbParams(names, values, 1));
}

static int
init(void **state, struct aw_error *error)
{
	(void)state;
	if (users++ > 0)
		return (0);
	if ((connection = dial()) == NULL)
		return (aw_error_set(error, "out of memory"));
	if (PQstatus(connection) != CONNECTION_OK)
		return (aw_error_set(error, "cannot reach the database: %s",
		    first_line(PQerrorMessage(connection))));
	return (0);
}

static void
fini(void *state)
{
	(void)state;
	if (--users > 0)
		return;
	PQfinish(connection);
	connection = NULL;
}

/* A connection that was lost while nothing was going on is seen by reading
 * from it, before a statement is sent into the void: then nobody has to guess
 * whether it was carried out. Sets the result and returns false when the
 * database cannot be reached. */
static bool
is_connected(struct aw_task *task)
{
	struct pollfd socket = { .fd = PQsocket(connection), .events = POLLIN };

	while (socket.fd != -1 && poll(&socket, 1, 0) == 1 &&
	    PQconsumeInput(connection) == 1)
		;
	if (PQstatus(connection) == CONNECTION_OK)
		return (true);
	PQreset(connection);
	if (PQstatus(connection) == CONNECTION_OK)
		return (true);
	aw_retry(task, "DATABASE_ERROR", "cannot reach the database: %s",
	    first_line(PQerrorMessage(connection)));
	return (false);
}

/* Takes the answer; sets the result of a task whose statement failed. */
static void
fail(struct aw_task *task, PGresult *answer)
{
	const char *state = PQresultErrorField(answer, PG_DIAG_SQLSTATE);
	const char *what = PQresultErrorField(answer, PG_DIAG_MESSAGE_PRIMARY);

	if (state != NULL && strcmp(state, UNIQUE_VIOLATION) == 0)
		aw_failure(task, "ALREADY_EXISTS", "%s", what);
	else
		aw_retry(task, "DATABASE_ERROR", "%s",
		    what != NULL ? what :
				   first_line(PQerrorMessage(connection)));
	PQclear(answer);
}

/* A parameter that is a string. Sets the result and returns NULL when it is
 * not. */
static const char *
get_text(struct aw_task *task, const char *name)
{
	const char *text;
	enum aw_got got;

	if ((got = aw_get_string(task, name, &text, NULL)) == AW_GOT)
		return (text);
	aw_invalid_input(
	    task, "\"%s\" %s: a string is needed", name, aw_got_text(got));
	return (NULL);
}

static void
save_user_run(struct aw_task *task, void *state)
{
	const char *values[2];
	PGresult *answer;

	(void)state;
	if ((values[0] = get_text(task, "name")) == NULL ||
	    (values[1] = get_text(task, "email")) == NULL ||
	    !is_connected(task))
		return;
	answer = PQexecParams(connection,
	    "INSERT INTO users (name, email) VALUES ($1, $2) RETURNING id", 2,
	    NULL, values, NULL, NULL, 0);
	if (PQresultStatus(answer) != PGRES_TUPLES_OK) {
		fail(task, answer);
		return;
	}
	aw_json_int64(aw_data(task), "user_id",
	    strtoll(PQgetvalue(answer, 0, 0), NULL, 10));
	aw_success_data(task);
	PQclear(answer);
}

/* One column of the first row. */
static void
put_column(struct aw_json *json, const PGresult *answer, int column)
{
	const char *name = PQfname(answer, column);
	const char *value = PQgetvalue(answer, 0, column);

	if (PQgetisnull(answer, 0, column)) {
		aw_json_null(json, name);
		return;
	}
	switch (PQftype(answer, column)) {
	case OID_BOOL:
		aw_json_bool(json, name, *value == 't');
		break;
	case OID_INT2:
	case OID_INT4:
	case OID_INT8:
		aw_json_int64(json, name, strtoll(value, NULL, 10));
		break;
	case OID_FLOAT4:
	case OID_FLOAT8:
		aw_json_double(json, name, strtod(value, NULL));
		break;
	default:
		aw_json_string(json, name, value);
		break;
	}
}

static void
get_user_run(struct aw_task *task, void *state)
{
	char id[32];
	const char *const values[1] = { id };
	PGresult *answer;
	int64_t user_id;
	enum aw_got got;
	int i;

	(void)state;
	if ((got = aw_get_int64(task, "user_id", &user_id)) != AW_GOT) {
		aw_invalid_input(task, "\"user_id\" %s: an integer is needed",
		    aw_got_text(got));
		return;
	}
	if (!is_connected(task))
		return;
	(void)snprintf(id, sizeof(id), "%" PRId64, user_id);
	answer = PQexecParams(connection,
	    "SELECT * FROM users WHERE id = $1::bigint", 1, NULL, values, NULL,
	    NULL, 0);
	if (PQresultStatus(answer) != PGRES_TUPLES_OK) {
		fail(task, answer);
		return;
	}
	if (PQntuples(answer) == 0)
		aw_failure(task, "NOT_FOUND", "User not found");
	else {
		for (i = 0; i < PQnfields(answer); i++)
			put_column(aw_data(task), answer, i);
		aw_success_data(task);
	}
	PQclear(answer);
}

static const struct aw_handler save_user = {
	.size = sizeof(struct aw_handler),
	.type = "save_user",
	.init = init,
	.run = save_user_run,
	.fini = fini,
};

static const struct aw_handler get_user = {
	.size = sizeof(struct aw_handler),
	.type = "get_user",
	.init = init,
	.run = get_user_run,
	.fini = fini,
};

AW_MODULE(&save_user, &get_user);
