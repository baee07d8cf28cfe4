/* SPDX-License-Identifier: ISC */
/*
 * Reads a configuration file and checks its characters before libConfuse sees
 * them. libConfuse 3.3 parses on its own what is a problem to us:
 *  - a file that ends inside a block or a quote is taken for complete, or
 *    leaves the scanner inside the quote for the next file;
 *  - "*", "+" and bytes that it has no rule for are dropped without a word,
 *    and a NUL cuts the value;
 *  - every comment makes the line numbers that follow too high;
 *  - a directory ends the process;
 *  - arguments of a function that are followed by anything but "," and ")"
 *    are never freed;
 *  - ${NAME} is replaced from the environment, be it a secret or unset.
 * So comments are blanked, the rest is refused with the right line, and what
 * libConfuse gets is plain words, short strings and balanced braces.
 */
#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/conf_problem.h"
#include "supervisor/conf_text.h"

struct scan {
	const char *path;
	struct conf_problems *problems;
	struct conf_text *text;
	char *p; /* the next character */
	int line;
	size_t depth; /* open blocks */
	int open_line[2]; /* of the blocks open now, as deep as they can be */
	bool in_word;
	bool after_equals; /* a value is next; a "{" then opens a list */
	bool in_list;
	bool empty_list; /* it has no word yet */
	bool in_parens; /* the arguments of include() */
	bool has_argument;
	int paren_line; /* where they begin */
};

static int __attribute__((__format__(printf, 2, 3)))
refuse(const struct scan *s, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	conf_problem_add(s->problems, "%s:%d: %s", s->path, s->line, text);
	return (-1);
}

static void
blank(char *p)
{
	if (*p != '\n')
		*p = ' ';
}

static void
skip_line_comment(struct scan *s)
{
	while (*s->p != '\n' && *s->p != '\0')
		blank(s->p++);
}

static int
skip_block_comment(struct scan *s)
{
	char *end = strstr(s->p + 2, "*/");

	if (end == NULL)
		return (refuse(s, "this comment has no end; expected \"*/\""));
	for (end += 2; s->p < end; s->p++) {
		if (*s->p == '\n')
			s->line++;
		blank(s->p);
	}
	return (0);
}

static bool
is_secret_variable(const char *name, size_t len)
{
	size_t i;

	for (i = 0; conf_secret_variables[i] != NULL; i++)
		if (strlen(conf_secret_variables[i]) == len &&
		    memcmp(conf_secret_variables[i], name, len) == 0)
			return (true);
	return (false);
}

/* Steps over ${NAME} or ${NAME:-DEFAULT}, which libConfuse replaces. */
static int
skip_variable(struct scan *s)
{
	const char *name = s->p + 2;
	size_t len = 0, end;
	char copy[128];

	while (isalnum((unsigned char)name[len]) || name[len] == '_')
		len++;
	if (len == 0 || len >= sizeof(copy) || isdigit((unsigned char)*name))
		return (refuse(s,
		    "expected a variable's name after \"${\"; "
		    "write \"\\${\" in double quotes to mean "
		    "the characters"));
	memcpy(copy, name, len);
	copy[len] = '\0';
	if (is_secret_variable(name, len))
		return (refuse(s,
		    "${%s} is a secret and cannot be used in the "
		    "configuration",
		    copy));
	if (name[len] == '}') {
		if (getenv(copy) == NULL)
			return (refuse(s,
			    "the environment has no %s; set it, "
			    "or write ${%s:-DEFAULT}",
			    copy, copy));
		s->p += 2 + len + 1;
		return (0);
	}
	end = len + strcspn(name + len, "}\"'\\\n");
	if (strncmp(name + len, ":-", 2) != 0 || name[end] != '}')
		return (
		    refuse(s, "expected ${%s} or ${%s:-DEFAULT}", copy, copy));
	s->p += 2 + end + 1;
	return (0);
}

/* An escape inside double quotes. Those with letters and digits make control
 * characters, which no value has. */
static int
skip_escape(struct scan *s)
{
	const unsigned char next = (unsigned char)s->p[1];

	if (isalnum(next))
		return (refuse(s,
		    "\"\\%c\" means nothing; write \"\\\\\" for "
		    "a backslash",
		    next));
	if (next != '\n' && next != '\0')
		s->p++;
	s->p++;
	return (0);
}

static bool
is_control(char c)
{
	return ((unsigned char)c < 0x20 || c == 0x7f);
}

static int
skip_string(struct scan *s)
{
	const char quote = *s->p++;

	while (*s->p != quote) {
		if (*s->p == '\n' || *s->p == '\0')
			return (refuse(s,
			    "a quoted value must end on its "
			    "line; expected %c",
			    quote));
		if (is_control(*s->p) && *s->p != '\t')
			return (refuse(s,
			    "control character 0x%02x in a "
			    "quoted value",
			    *s->p));
		if (quote == '"' && strncmp(s->p, "${", 2) == 0) {
			if (skip_variable(s) == -1)
				return (-1);
		} else if (quote == '"' && *s->p == '\\') {
			if (skip_escape(s) == -1)
				return (-1);
		} else {
			if (*s->p == '\\' &&
			    (s->p[1] == '\'' || s->p[1] == '\\'))
				s->p++;
			s->p++;
		}
	}
	s->p++;
	s->in_word = s->after_equals = s->empty_list = false;
	return (0);
}

static int
note_brace(struct scan *s)
{
	struct conf_text *t = s->text;
	int *opened;

	if (*s->p == '{' && s->after_equals && s->depth == 1) {
		s->in_list = s->empty_list = true;
		return (0);
	}
	if (s->in_list && *s->p == '{')
		return (refuse(s, "a list has words, and no lists"));
	if (s->in_list && s->empty_list)
		return (refuse(s, "an empty list; expected {WORD, ...}"));
	if (s->in_list) {
		s->in_list = false;
		return (0);
	}
	if (*s->p == '}') {
		if (s->depth == 0)
			return (refuse(s,
			    "unexpected \"}\"; no block is "
			    "open here"));
		s->depth--;
		return (0);
	}
	if (s->depth == 1)
		return (refuse(s,
		    "a block cannot stand inside the block "
		    "opened in line %d; is a \"}\" missing?",
		    s->open_line[0]));
	s->open_line[s->depth++] = s->line;
	if (t->opened_len % 64 == 0) {
		opened = reallocarray(
		    t->opened, t->opened_len + 64, sizeof(*opened));
		if (opened == NULL)
			return (refuse(s, "out of memory"));
		t->opened = opened;
	}
	t->opened[t->opened_len++] = s->line;
	return (0);
}

/* Between parentheses stands one word or string. Looks at the next character,
 * which is part of no comment. */
static int
check_argument(struct scan *s)
{
	const bool breaks = strchr("\"'={}(+,", *s->p) != NULL;

	if (strchr(" \t\r\n", *s->p) != NULL || (s->in_word && !breaks))
		return (0);
	if (s->has_argument || (breaks && *s->p != '"' && *s->p != '\''))
		return (refuse(s,
		    "expected one file name or pattern in "
		    "quotes: include(\"FILE\")"));
	s->has_argument = true;
	return (0);
}

/* Anything outside of strings and comments. */
static int
skip_plain(struct scan *s)
{
	const char c = *s->p;

	if (strncmp(s->p, "${", 2) == 0) {
		if (s->in_word)
			return (refuse(s,
			    "\"${\" in the middle of a word; "
			    "put the value in double quotes"));
		return (skip_variable(s));
	}
	if (c == '*' || (c == '+' && s->p[1] != '='))
		return (refuse(s,
		    "unexpected \"%c\"; values that contain it "
		    "are quoted",
		    c));
	if ((c == '{' || c == '}') && note_brace(s) == -1)
		return (-1);
	if (is_control(c) && strchr("\t\n\r", c) == NULL)
		return (refuse(s, "unexpected control character 0x%02x", c));
	if (c == '\n')
		s->line++;
	if (c == '(') {
		s->in_parens = true;
		s->paren_line = s->line;
		s->has_argument = false;
	}
	s->in_word = strchr(" \t\n\r={}()+,", c) == NULL;
	if (s->in_word)
		s->empty_list = false;
	if (strchr(" \t\n\r", c) == NULL)
		s->after_equals = c == '=' || c == '+';
	s->p += c == '+' ? 2 : 1;
	return (0);
}

/* Steps over one thing: a comment, a string, or a character. */
static int
step(struct scan *s)
{
	if (*s->p == '#' || (!s->in_word && strncmp(s->p, "//", 2) == 0)) {
		skip_line_comment(s);
		return (0);
	}
	if (!s->in_word && strncmp(s->p, "/*", 2) == 0)
		return (skip_block_comment(s));
	if (*s->p == ')')
		s->in_parens = false;
	if (s->in_parens && check_argument(s) == -1)
		return (-1);
	if (*s->p == '"' || *s->p == '\'')
		return (skip_string(s));
	return (skip_plain(s));
}

static int
scan(struct scan *s)
{
	while (*s->p != '\0')
		if (step(s) == -1)
			return (-1);
	if (s->in_parens) {
		s->line = s->paren_line;
		return (refuse(s, "the \"(\" here has no end; expected \")\""));
	}
	if (s->depth > 0) {
		s->line = s->open_line[0];
		return (refuse(s,
		    "the block opened here has no end; expected "
		    "\"}\""));
	}
	return (0);
}

/* Reads a regular file of at most CONF_TEXT_MAX bytes. */
static int
read_all(const char *path, int fd, struct conf_text *t,
    struct conf_problems *problems)
{
	ssize_t n;

	if ((t->bytes = malloc(CONF_TEXT_MAX + 2)) == NULL) {
		conf_problem_memory(problems);
		return (-1);
	}
	while (t->len <= CONF_TEXT_MAX) {
		n = read(fd, t->bytes + t->len, CONF_TEXT_MAX + 1 - t->len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			conf_problem_add(problems, "%s: cannot be read: %s",
			    path, strerror(errno));
			return (-1);
		}
		if (n == 0)
			break;
		t->len += (size_t)n;
	}
	if (t->len > CONF_TEXT_MAX) {
		conf_problem_add(problems,
		    "%s: too large for a configuration; expected at most "
		    "%d KiB",
		    path, CONF_TEXT_MAX / 1024);
		return (-1);
	}
	t->bytes[t->len] = '\0';
	return (0);
}

/* Never waits: a FIFO opens at once and is then refused. */
static int
open_and_read(
    const char *path, struct conf_text *t, struct conf_problems *problems)
{
	struct stat st;
	int fd, status;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) ==
		-1 ||
	    fstat(fd, &st) == -1) {
		conf_problem_add(problems, "%s: cannot be opened: %s", path,
		    strerror(errno));
		if (fd != -1)
			close(fd);
		return (-1);
	}
	if (!S_ISREG(st.st_mode)) {
		conf_problem_add(problems, "%s: is %s; expected a file", path,
		    S_ISDIR(st.st_mode) ? "a directory" : "not a regular file");
		close(fd);
		return (-1);
	}
	t->dev = st.st_dev;
	t->ino = st.st_ino;
	status = read_all(path, fd, t, problems);
	close(fd);
	return (status);
}

int
conf_text_read(
    const char *path, struct conf_text *text, struct conf_problems *problems)
{
	struct scan s = {
		.path = path, .problems = problems, .text = text, .line = 1
	};
	char *nul;

	memset(text, 0, sizeof(*text));
	if (open_and_read(path, text, problems) == -1)
		goto fail;
	if ((nul = memchr(text->bytes, '\0', text->len)) != NULL) {
		for (s.p = text->bytes; s.p < nul; s.p++)
			s.line += *s.p == '\n';
		(void)refuse(&s, "NUL byte; expected text");
		goto fail;
	}
	/* The mark that some editors begin a UTF-8 file with. */
	if (strncmp(text->bytes, "\xef\xbb\xbf", 3) == 0)
		memset(text->bytes, ' ', 3);
	s.p = text->bytes;
	if (scan(&s) == -1)
		goto fail;
	return (0);

fail:
	conf_text_fini(text);
	return (-1);
}

void
conf_text_fini(struct conf_text *text)
{
	free(text->bytes);
	free(text->opened);
	memset(text, 0, sizeof(*text));
}
