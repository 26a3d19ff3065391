/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 4096 /* of a script */

struct expansion {
	const struct options *options;
	const char *name; /* of the option that names a script */
	char letter;
	int depth;
	char **words;
	size_t count, capacity;
	struct err *err;
};

/* Where in a script. */
struct place {
	const char *path;
	int line;
	const char *at;
	enum option_word expects; /* what the word before asks for */
	bool is_script;		  /* that value names one */
	bool was_cut;		  /* the line of that word is over */
};

static int add_word(struct expansion *x, const char *prefix, const char *word)
{
	size_t capacity = x->capacity ? 2 * x->capacity : 64;
	char **grown;

	if (x->count == SCRIPT_WORDS_MAX)
		return err_set(x->err, E2BIG, "there are more than %d words of options",
			       SCRIPT_WORDS_MAX);
	if (x->count + 1 >= x->capacity) { /* a NULL goes behind the last */
		grown = reallocarray(x->words, capacity, sizeof(*grown));
		if (!grown)
			return err_set(x->err, ENOMEM, "not enough memory");
		x->words = grown;
		x->capacity = capacity;
	}
	if (asprintf(&x->words[x->count], "%s%s", prefix, word) < 0)
		return err_set(x->err, ENOMEM, "not enough memory");
	x->words[++x->count] = NULL;
	return 0;
}

static int expand_file(struct expansion *x, const char *path);

/* The value in "-fFILE", "--script-filename=FILE"; "" when the next word is it; NULL: another option. */
static const char *names_script(const struct expansion *x, const char *word)
{
	size_t len = strlen(x->name);

	if (word[0] == '-' && word[1] == x->letter)
		return word + 2;
	if (!strncmp(word, "--", 2) && !strncmp(word + 2, x->name, len) &&
	    (!word[2 + len] || word[2 + len] == '='))
		return word[2 + len] ? word + 3 + len : "";
	return NULL;
}

/* 1: a word, without its quotes; 0: the end. */
static int next_word(struct place *p, char word[WORD_MAX], struct err *err)
{
	size_t used = 0;
	char quote = 0;

	for (;; p->at++) {
		if (*p->at == '#')
			p->at += strcspn(p->at, "\n");
		if (*p->at == '\n')
			p->line++, p->was_cut = true;
		else if (!*p->at || !strchr(" \t\r", *p->at))
			break;
	}
	if (!*p->at)
		return 0;
	for (; *p->at && (quote || !strchr(" \t\r\n", *p->at)); p->at++) {
		if (*p->at == quote)
			quote = 0;
		else if (!quote && (*p->at == '\'' || *p->at == '"'))
			quote = *p->at;
		else if (*p->at == '\n' || used == WORD_MAX - 1)
			break;
		else
			word[used++] = *p->at;
	}
	word[used] = '\0';
	if (quote)
		return err_set(err, EINVAL, "%s:%d: a quote is not closed", p->path, p->line);
	if (used == WORD_MAX - 1)
		return err_set(err, EINVAL, "%s:%d: a word is longer than %d bytes", p->path,
			       p->line, WORD_MAX - 2);
	return 1;
}

/* The dashes that it lacks, "-", "--" or ""; NULL: no option is called that. */
static const char *missing_dashes(const struct expansion *x, const char *word)
{
	static const char *const dashes[] = { "", "-", "--" };
	size_t len = strcspn(word, "=");
	char with[WORD_MAX + 4];

	for (size_t i = 0; i < 3; i++) {
		/* "n 10" is -n, but "node" is no option -n with the value "ode" */
		if (i == 1 && (len != 1 || *word == '-'))
			continue;
		snprintf(with, sizeof(with), "%s%s", dashes[i], word);
		if (options_word(x->options, with) != OPTION_WORD_UNKNOWN)
			return dashes[i];
	}
	return NULL;
}

static bool is_value(const struct expansion *x, const struct place *p, const char *word)
{
	if (p->expects == OPTION_WORD_VALUE)
		return true;
	return p->expects == OPTION_WORD_PERHAPS && !p->was_cut && *word != '-' &&
	       !missing_dashes(x, word);
}

/* C=10us is -C 10us: behind a letter a value has no "=". */
static int add_option(struct expansion *x, struct place *p, const char *dashes, char *word)
{
	bool split = !strcmp(dashes, "-") && word[1] == '=';
	char option[WORD_MAX + 4];
	const char *script;
	int rc;

	if (split)
		word[1] = '\0';
	snprintf(option, sizeof(option), "%s%s", dashes, word);
	script = names_script(x, option);
	if (script && split)
		script = word + 2;
	if (script && *script)
		return expand_file(x, script);
	p->is_script = script;
	p->expects = split ? OPTION_WORD_WHOLE : options_word(x->options, option);
	p->was_cut = false;
	if (script)
		return 0;
	rc = add_word(x, dashes, word);
	return rc || !split ? rc : add_word(x, "", word + 2);
}

static int take_word(struct expansion *x, struct place *p, char *word)
{
	const char *dashes;

	if (is_value(x, p, word)) {
		p->expects = OPTION_WORD_WHOLE;
		if (!p->is_script)
			return add_word(x, "", word);
		p->is_script = false;
		return expand_file(x, word);
	}
	dashes = missing_dashes(x, word);
	if (!dashes)
		return err_set(x->err, EINVAL, "%s:%d: there is no option '%s'", p->path, p->line,
			       word);
	return add_option(x, p, dashes, word);
}

static int take_words(struct expansion *x, const char *path, const char *text)
{
	struct place p = { .path = path, .line = 1, .at = text, .expects = OPTION_WORD_WHOLE };
	char word[WORD_MAX];
	int rc;

	while ((rc = next_word(&p, word, x->err)) > 0) {
		rc = take_word(x, &p, word);
		if (rc)
			return rc;
	}
	if (!rc && p.expects == OPTION_WORD_VALUE)
		rc = err_set(x->err, EINVAL, "%s:%d: the last option lacks its value", path,
			     p.line);
	return rc;
}

/* Whole, and 0 behind it. */
static int read_file(const char *path, char *text, struct err *err)
{
	FILE *file = fopen(path, "re");
	size_t len;
	int code;

	if (!file)
		return err_errno(err, errno, "cannot open script '%s'", path);
	errno = 0;
	len = fread(text, 1, SCRIPT_BYTES_MAX + 1, file);
	code = ferror(file) ? errno ? errno : EIO : 0;
	fclose(file);
	if (code)
		return err_errno(err, code, "cannot read script '%s'", path);
	if (len > SCRIPT_BYTES_MAX)
		return err_set(err, EFBIG, "script '%s' is longer than %u bytes", path,
			       SCRIPT_BYTES_MAX);
	text[len] = '\0';
	if (strlen(text) != len)
		return err_set(err, EINVAL, "script '%s' is not text", path);
	return 0;
}

static int expand_file(struct expansion *x, const char *path)
{
	char *text;
	int rc;

	if (x->depth == SCRIPT_DEPTH_MAX)
		return err_set(x->err, ELOOP, "'%s': scripts that name scripts go %d deep at most",
			       path, SCRIPT_DEPTH_MAX);
	text = malloc(SCRIPT_BYTES_MAX + 2);
	if (!text)
		return err_set(x->err, ENOMEM, "not enough memory");
	x->depth++;
	rc = read_file(path, text, x->err);
	if (!rc)
		rc = take_words(x, path, text);
	x->depth--;
	free(text);
	return rc;
}

static int expand_words(struct expansion *x, int argc, char **argv)
{
	int rc = argc ? add_word(x, "", argv[0]) : 0;

	for (int i = 1; i < argc && !rc; i++) {
		const char *script = names_script(x, argv[i]);

		if (!strcmp(argv[i], "--"))
			script = NULL;
		if (!script) {
			bool pair = i + 1 < argc &&
				    options_word(x->options, argv[i]) == OPTION_WORD_VALUE;

			rc = add_word(x, "", argv[i]);
			if (!rc && pair)
				rc = add_word(x, "", argv[++i]);
		} else if (*script) {
			rc = expand_file(x, script);
		} else if (i + 1 < argc) {
			rc = expand_file(x, argv[++i]);
		} else {
			rc = add_word(x, "", argv[i]); /* options_parse() says what it lacks */
		}
	}
	return rc;
}

int script_expand(const struct options *options, const char *name, char letter, int argc,
		  char **argv, struct script *ret_script, struct err *err)
{
	struct expansion x = { .options = options, .name = name, .letter = letter, .err = err };
	int rc = expand_words(&x, argc, argv);
	struct script s = { calloc(x.count + 1, sizeof(*s.argv)), (int)x.count, x.words };

	if (!rc && !s.argv)
		rc = err_set(err, ENOMEM, "not enough memory");
	if (rc) {
		script_release(&s);
		return rc;
	}
	memcpy(s.argv, x.words, x.count * sizeof(*s.argv));
	*ret_script = s;
	return 0;
}

void script_release(struct script *s)
{
	if (!s)
		return;
	for (int i = 0; i < s->argc; i++)
		free(s->words[i]);
	free(s->words);
	free(s->argv);
	*s = (struct script){ 0 };
}
