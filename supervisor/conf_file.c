/* SPDX-License-Identifier: ISC */
/*
 * Files into blocks: libConfuse parses, callbacks collect. To libConfuse every
 * option is a string, and every section may come many times; what a value or
 * a repetition means is judged here and later, where the line is known.
 *
 * All options but lists store into one string of struct parse, its first
 * member, so that a callback finds the parse it belongs to; each section has
 * such an option. libConfuse keeps no section:
 * each is removed when it has ended. Included files are read when the file
 * that names them has been: freeing one parser resets libConfuse's scanner.
 */
#include <sys/stat.h>

#include <confuse.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/conf_block.h"
#include "supervisor/conf_problem.h"
#include "supervisor/conf_text.h"

#define DEPTH_MAX    16 /* of includes within includes */
#define FILES_MAX    1000 /* read for one configuration */
#define BLOCKS_MAX   10000 /* in all of them */
#define WHERE_MAX    (4096 + 16)
#define PARSER_BYTES ((size_t)1024 * 1024)

struct include {
	TAILQ_ENTRY(include) entry;
	char *pattern;
	int line;
};

/* What all files of one configuration share. */
struct totals {
	unsigned files;
	unsigned blocks;
};

/* One file while it is parsed. */
struct parse {
	char *value; /* libConfuse's; must be first */
	const char *path;
	const struct parse *parent; /* the file that includes this one */
	struct conf_text text;
	struct conf_blocks *blocks;
	struct conf_problems *problems;
	struct conf_block *block; /* the open one; NULL before its first key */
	size_t blocks_seen;
	TAILQ_HEAD(, include) includes;
	struct totals *totals;
	unsigned depth;
	bool reported; /* a problem that ends the parse was added */
};

static int read_file(
    const char *path, const struct parse *parent, struct parse *root);

static struct parse *
parse_of(const cfg_opt_t *opt)
{
	return ((struct parse *)(void *)opt->simple_value.string);
}

/* By the first option of a section, or of what is outside, that is no list. */
static struct parse *
parse_in(const cfg_t *cfg)
{
	const cfg_opt_t *opt = cfg->opts;

	while (opt->simple_value.string == NULL)
		opt++;
	return (parse_of(opt));
}

static void
where_at(const struct parse *p, int line, char *where)
{
	(void)snprintf(where, WHERE_MAX, "%s:%d", p->path, line);
}

static int
stop(struct parse *p, int line, const char *text)
{
	if (!p->reported)
		conf_problem_add(p->problems, "%s:%d: %s", p->path, line, text);
	p->reported = true;
	return (-1);
}

/* An unknown word where a block or key is expected. section is "root" outside
 * of blocks. */
static void
report_unknown(struct parse *p, int line, const char *section, const char *word)
{
	const bool inside = strcmp(section, "root") != 0;
	const char *home = conf_key_home(word), *nearest;
	struct conf_shown shown;
	char text[512];

	(void)conf_show(word, &shown);
	nearest = inside ? conf_key_nearest(section, word) :
			   conf_section_nearest(word);
	if (inside &&
	    (conf_section_find(word) != NULL || strcmp(word, "include") == 0))
		(void)snprintf(text, sizeof(text),
		    "%s cannot stand inside "
		    "block %s; is a \"}\" missing?",
		    shown.text, section);
	else if (nearest != NULL)
		(void)snprintf(text, sizeof(text),
		    "unknown %s %s%s%s; did you "
		    "mean \"%s\"?",
		    inside ? "key" : "block", shown.text,
		    inside ? " in block " : "", inside ? section : "", nearest);
	else if (home != NULL)
		(void)snprintf(text, sizeof(text),
		    "key %s belongs into a "
		    "block %s { }",
		    shown.text, home);
	else
		(void)snprintf(text, sizeof(text),
		    "unknown %s %s%s%s; "
		    "avtoworker.conf(5) lists all",
		    inside ? "key" : "block", shown.text,
		    inside ? " in block " : "", inside ? section : "");
	(void)stop(p, line, text);
}

/* What libConfuse says, by its format, and what we say instead. */
static const struct {
	const char *theirs;
	const char *ours;
} wordings[] = {
	{ "missing equal sign after option '%s'", "expected \"=\" after %s" },
	{ "unexpected token '%s'",
	    "unexpected %s; values that contain such characters are quoted" },
	{ "missing title for section '%s'",
	    "expected a name between %s and \"{\"" },
	{ "missing opening brace for section '%s'",
	    "expected \"{\" to open block %s" },
	{ "missing parenthesis for function '%s'",
	    "expected %s followed by (\"FILE\")" },
	{ "syntax error in call of function '%s'",
	    "expected one file name or pattern in quotes: %s(\"FILE\")" },
	{ "no sub-section title/index for '%s'",
	    "a key must stand in its block, here %s" },
	{ "attempt to append to non-list option '%s'",
	    "expected \"=\" instead of \"+=\" after %s" },
};

/* libConfuse's own errors; the first one of a parse is the true one. */
static void
on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	struct parse *p = parse_in(cfg);
	struct conf_shown shown;
	char text[512];
	size_t i;

	if (p->reported)
		return;
	if (strcmp(fmt, "no such option '%s'") == 0) {
		report_unknown(p, cfg->line, cfg->name, va_arg(ap, char *));
		return;
	}
	if (strcmp(fmt, "premature end of file") == 0) {
		(void)stop(p, cfg->line,
		    "the file ends in the middle of a "
		    "setting");
		return;
	}
	for (i = 0; i < sizeof(wordings) / sizeof(wordings[0]); i++)
		if (strcmp(fmt, wordings[i].theirs) == 0)
			break;
	if (i < sizeof(wordings) / sizeof(wordings[0])) {
		(void)conf_show(va_arg(ap, char *), &shown);
		(void)snprintf(
		    text, sizeof(text), wordings[i].ours, shown.text);
	} else
		(void)vsnprintf(text, sizeof(text), fmt, ap);
	(void)stop(p, cfg->line, text);
}

/* The block that has been opened but not yet made: at its first key, or at
 * its end when it is empty. */
static int
make_block(struct parse *p, const cfg_t *sec)
{
	const struct conf_section *section = conf_section_find(sec->name);
	const struct conf_block *first;
	char where[WHERE_MAX];

	if (++p->totals->blocks > BLOCKS_MAX)
		return (stop(p, sec->line, "too many blocks"));
	where_at(p,
	    p->blocks_seen < p->text.opened_len ?
		p->text.opened[p->blocks_seen] :
		sec->line,
	    where);
	p->blocks_seen++;
	first = conf_block_find(p->blocks, section, sec->title);
	if (first != NULL)
		conf_problem_add(p->problems,
		    "%s: block %s%s%s stands here again; the first is at %s",
		    where, sec->name, sec->title != NULL ? " " : "",
		    sec->title != NULL ? sec->title : "", first->where);
	p->block = conf_block_add(p->blocks, section, sec->title, where);
	if (p->block == NULL)
		return (stop(p, sec->line, "out of memory"));
	return (0);
}

static int
on_key(cfg_t *cfg, cfg_opt_t *opt)
{
	struct parse *p = parse_in(cfg);
	const struct conf_key *key = conf_key_find(cfg->name, opt->name);
	char where[WHERE_MAX];

	/* libConfuse takes "log|level" for a path from outside the block. */
	if (key == NULL)
		return (stop(p, cfg->line, "a key must stand in its block"));
	if (p->block == NULL && make_block(p, cfg) == -1)
		return (-1);
	where_at(p, cfg->line, where);
	conf_block_set(p->block, key, p->value, where, key->name,
	    CONF_RANK_FILE, p->problems);
	if (key->secret)
		explicit_bzero(p->value, strlen(p->value));
	return (0);
}

/* Called for each word of a list, and once more at its end; with a new list
 * the count begins anew. */
static int
on_word(cfg_t *cfg, cfg_opt_t *opt)
{
	struct parse *p = parse_in(cfg);
	const struct conf_key *key = conf_key_find(cfg->name, opt->name);
	const unsigned n = cfg_opt_size(opt);
	const char *word = cfg_opt_getnstr(opt, n - 1);
	static const char seen[] = { CONF_WORDS_END, '\0' };
	char where[WHERE_MAX];

	if (key == NULL)
		return (stop(p, cfg->line, "a key must stand in its block"));
	if (strcmp(word, seen) == 0)
		return (0); /* the end of the list */
	if (p->block == NULL && make_block(p, cfg) == -1)
		return (-1);
	where_at(p, cfg->line, where);
	if (n == 1)
		conf_block_set(p->block, key, word, where, key->name,
		    CONF_RANK_FILE, p->problems);
	else
		conf_block_add_word(p->block, key, word, p->problems);
	if (cfg_opt_setnstr(opt, seen, n - 1) != CFG_SUCCESS)
		return (stop(p, cfg->line, "out of memory"));
	return (0);
}

static int
on_block_end(cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *sec = cfg_opt_getnsec(opt, 0);
	struct parse *p = parse_in(cfg);

	if (p->block == NULL && make_block(p, sec) == -1)
		return (-1);
	p->block = NULL;
	(void)cfg_opt_rmnsec(opt, 0);
	return (0);
}

static int
on_include(cfg_t *cfg, cfg_opt_t *opt, int argc, const char **argv)
{
	struct parse *p = parse_of(opt);
	struct include *inc;

	if (argc != 1 || argv[0][0] == '\0')
		return (stop(p, cfg->line,
		    "expected one file name or pattern "
		    "in quotes: include(\"FILE\")"));
	if ((inc = calloc(1, sizeof(*inc))) == NULL ||
	    (inc->pattern = strdup(argv[0])) == NULL) {
		free(inc);
		return (stop(p, cfg->line, "out of memory"));
	}
	inc->line = cfg->line;
	TAILQ_INSERT_TAIL(&p->includes, inc, entry);
	return (0);
}

/* The options of one section, or with NULL those outside; ends with a zero.
 * Casts drop const where libConfuse's struct has none but never writes. */
static cfg_opt_t *
section_options(struct parse *p, const char *section)
{
	const struct conf_key *key;
	cfg_opt_t *opts, *o;
	size_t i, n = 0;

	while (conf_key_at(n) != NULL)
		n++;
	if ((opts = calloc(n + 1, sizeof(*opts))) == NULL)
		return (NULL);
	for (i = 0, o = opts; (key = conf_key_at(i)) != NULL; i++) {
		if (strcmp(key->section, section) != 0)
			continue;
		if (key->type == CONF_TYPE_WORDS) {
			*o =
			    (cfg_opt_t)CFG_STR_LIST(key->name, NULL, CFGF_NONE);
			o->validcb = on_word;
		} else {
			*o = (cfg_opt_t)CFG_SIMPLE_STR(key->name, &p->value);
			o->validcb = on_key;
		}
		o++;
	}
	return (opts);
}

static void
options_free(cfg_opt_t *opts)
{
	size_t i;

	for (i = 0; opts != NULL && opts[i].name != NULL; i++)
		free(opts[i].subopts);
	free(opts);
}

static cfg_opt_t *
root_options(struct parse *p)
{
	cfg_opt_t *opts;
	size_t i;

	if ((opts = calloc(conf_sections_len + 2, sizeof(*opts))) == NULL)
		return (NULL);
	opts[0] = (cfg_opt_t)CFG_FUNC("include", on_include);
	opts[0].simple_value.string = &p->value; /* for parse_of() alone */
	for (i = 0; i < conf_sections_len; i++) {
		cfg_opt_t *subopts;

		if ((subopts = section_options(p, conf_sections[i].name)) ==
		    NULL) {
			options_free(opts);
			return (NULL);
		}
		opts[i + 1] = (cfg_opt_t)CFG_SEC(conf_sections[i].name, subopts,
		    CFGF_MULTI |
			(conf_sections[i].title != NULL ? CFGF_TITLE : 0));
		opts[i + 1].validcb = on_block_end;
	}
	return (opts);
}

/* libConfuse ends the process when it gets no memory, which a worker that reads
 * its file again would not like. So it is not called unless there is plenty,
 * also for a list of short words, which takes forty times the text. */
static bool
has_memory(const struct conf_text *text)
{
	void *volatile plenty = malloc(PARSER_BYTES + 64 * text->len);
	const bool there = plenty != NULL;

	free(plenty);
	return (there);
}

/* Gives the text of one file to libConfuse. */
static int
parse_text(struct parse *p)
{
	cfg_opt_t *opts;
	cfg_t *cfg;
	int status;

	opts = has_memory(&p->text) ? root_options(p) : NULL;
	cfg = opts != NULL ? cfg_init(opts, CFGF_NONE) : NULL;
	options_free(opts); /* cfg_init() has copied them */
	if (cfg == NULL) {
		conf_problem_memory(p->problems);
		return (-1);
	}
	(void)cfg_set_error_function(cfg, on_error);
	status = cfg_parse_buf(cfg, p->text.bytes);
	/* An empty name, for one, is refused without a word. */
	if (status != CFG_SUCCESS)
		(void)stop(p, cfg->line,
		    "syntax error; expected a block or a "
		    "key");
	(void)cfg_free(cfg);
	return (status == CFG_SUCCESS ? 0 : -1);
}

/* A name or pattern is relative to the file it stands in. Within a pattern
 * that file's own directory is none, whatever characters it has. Caller
 * frees. */
static char *
path_beside(const struct parse *p, const char *pattern, bool wild)
{
	const char *slash = strrchr(p->path, '/');
	const bool beside = pattern[0] != '/' && slash != NULL;
	const size_t dir_len = beside ? (size_t)(slash - p->path) + 1 : 0;
	char *full;
	size_t i, n = 0;

	full = malloc(dir_len * 2 + strlen(pattern) + 1);
	if (full == NULL)
		return (NULL);
	for (i = 0; i < dir_len; i++) {
		if (wild && strchr("*?[]\\", p->path[i]) != NULL)
			full[n++] = '\\';
		full[n++] = p->path[i];
	}
	memcpy(full + n, pattern, strlen(pattern) + 1);
	return (full);
}

/* Tells glob(3) to stop at a directory that is there but cannot be read. */
static int
on_glob_error(const char *path, int error)
{
	(void)path;
	return (error != ENOENT && error != ENOTDIR);
}

/* Every match of a pattern, sorted; none is fine. */
static int
read_matches(struct parse *p, const struct include *inc, const char *pattern)
{
	glob_t found = { 0 };
	struct conf_shown shown;
	char text[256];
	size_t i;
	int rc, status = 0;

	rc = glob(pattern, 0, on_glob_error, &found);
	if (rc != 0 && rc != GLOB_NOMATCH) {
		(void)snprintf(text, sizeof(text),
		    "include(%s): a directory of it cannot be read",
		    conf_show(inc->pattern, &shown));
		status = stop(p, inc->line, text);
	}
	for (i = 0; status == 0 && i < found.gl_pathc; i++)
		status = read_file(found.gl_pathv[i], p, p);
	globfree(&found);
	return (status);
}

static int
read_include(struct parse *p, const struct include *inc)
{
	const bool wild = strpbrk(inc->pattern, "*?[") != NULL;
	char *path;
	int status;

	if ((path = path_beside(p, inc->pattern, wild)) == NULL)
		return (stop(p, inc->line, "out of memory"));
	status = wild ? read_matches(p, inc, path) : read_file(path, p, p);
	free(path);
	return (status);
}

/* A file that is being read already would include itself for ever. */
static int
check_loop(struct parse *p)
{
	const struct parse *up;

	for (up = p->parent; up != NULL; up = up->parent) {
		if (up->text.dev != p->text.dev || up->text.ino != p->text.ino)
			continue;
		conf_problem_add(p->problems,
		    "%s: includes itself, by way of %s", p->path,
		    p->parent->path);
		return (-1);
	}
	return (0);
}

static int
read_file(const char *path, const struct parse *parent, struct parse *root)
{
	struct parse p = { .path = path,
		.parent = parent,
		.blocks = root->blocks,
		.problems = root->problems,
		.totals = root->totals,
		.depth = root->depth + 1 };
	struct include *inc;
	int status = -1;

	TAILQ_INIT(&p.includes);
	if (++p.totals->files > FILES_MAX || p.depth > DEPTH_MAX) {
		conf_problem_add(p.problems,
		    "%s: too many included files; "
		    "expected at most %d, and %d within each other",
		    path, FILES_MAX, DEPTH_MAX);
		return (-1);
	}
	if (conf_text_read(path, &p.text, p.problems) == -1)
		return (-1);
	if (check_loop(&p) == 0)
		status = parse_text(&p);
	while ((inc = TAILQ_FIRST(&p.includes)) != NULL) {
		if (status == 0)
			status = read_include(&p, inc);
		TAILQ_REMOVE(&p.includes, inc, entry);
		free(inc->pattern);
		free(inc);
	}
	free(p.value);
	conf_text_fini(&p.text);
	return (status);
}

int
conf_file_read(const char *path, struct conf_blocks *blocks,
    struct conf_problems *problems)
{
	struct totals totals = { 0, 0 };
	struct parse root = {
		.blocks = blocks, .problems = problems, .totals = &totals
	};

	return (read_file(path, NULL, &root));
}
