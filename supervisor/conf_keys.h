/* SPDX-License-Identifier: ISC */
/*
 * conf_keys.h: the table that everything about the configuration follows
 * from: parsing, problems, -T, --help, and the check of avtoworker.conf(5).
 * A new key is a new row in one of the files conf_keys_*.c, a field in conf.h
 * and an entry in the man page.
 */
#ifndef AVTOWORKER_CONF_KEYS_H
#define AVTOWORKER_CONF_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum conf_type {
	CONF_TYPE_TEXT, /* char *, as check() allows */
	CONF_TYPE_URL, /* char *, without its trailing slashes */
	CONF_TYPE_WORDS, /* char **, NULL-terminated: {"a", "b"} or one word,
			    each as check() allows */
	CONF_TYPE_NUMBER, /* int64_t */
	CONF_TYPE_DECIMAL, /* int64_t, thousandths */
	CONF_TYPE_SIZE, /* int64_t, bytes */
	CONF_TYPE_TIME, /* int64_t, milliseconds */
	CONF_TYPE_FLAG, /* bool */
	CONF_TYPE_CHOICE, /* an enum, one of choices */
};

/* One word that a key may be; case is ignored. The first word of a value is
 * the one that is written back. An array of them ends with a NULL word. */
struct conf_choice {
	const char *word;
	unsigned value;
};

struct conf_key {
	const char *section;
	const char *name;
	enum conf_type type;
	size_t offset; /* of the field in the section's struct */
	const char *def; /* as it would be written; NULL: not set */
	const char *unset; /* what "not set" means; NULL without that case */
	int64_t min; /* of a number, in bytes, milliseconds or thousandths */
	int64_t max;
	bool (*check)(const char *);
	const char *expects; /* what check() wants, after "expected" */
	const struct conf_choice *choices;
	const char *environment; /* variable, or NULL */
	const char *environment_first; /* one that wins over it, or NULL */
	const char *file; /* of a secret: the key that names a file with it */
	const char *help;
	bool required : 1; /* a block without it is a problem */
	bool secret : 1; /* from the environment only, and never shown */
	bool restart : 1; /* a running worker cannot change it */
};

struct conf_section {
	const char *name;
	const char *title; /* what its title is, or NULL: there is one block */
	bool (*title_ok)(const char *);
	const char *title_expects;
	const char *help;
};

extern const struct conf_section conf_sections[];
extern const size_t conf_sections_len;
/* The keys, from 0 on; NULL behind the last. Those of one section stand
 * together. */
const struct conf_key *conf_key_at(size_t i);

/* The row of that name, or NULL. */
const struct conf_section *conf_section_find(const char *name);
const struct conf_key *conf_key_find(const char *section, const char *name);
/* The nearest name to a misspelt one, or NULL. */
const char *conf_section_nearest(const char *name);
const char *conf_key_nearest(const char *section, const char *name);
/* The section that has such a key, for one that stands in none; or NULL. */
const char *conf_key_home(const char *name);

/* What stands between the words of one value until it is judged; no word can
 * have it. */
#define CONF_WORDS_END '\x1f'

#endif
