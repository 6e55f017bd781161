// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * load.c - reading and asking the configuration
 *
 * Invariant: every value in a struct conf has passed its key's check, so the getters cannot fail. A getter that asks for a
 * key that the schema does not have is a mistake of ours and found by assert() in every test.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/conf.h"
#include "conf/value.h"

#define FILE_MAX (1u << 20)

struct value {
	const struct conf_key *key;
	size_t section; /* index into sections */
	char *text;
	uint64_t number;
};

struct section {
	char *name, *title;
};

struct conf {
	struct section *sections;
	size_t n_sections;
	struct value *values;
	size_t n_values;
};

struct parser {
	struct conf *conf;
	const char *name;
	unsigned int line;
	char *error;
	size_t error_size;
};

__attribute__((format(printf, 2, 3))) static int fail(struct parser *parser, const char *fmt, ...)
{
	int n = snprintf(parser->error, parser->error_size, "%s:%u: ", parser->name, parser->line);
	va_list args;

	if (n >= 0 && (size_t)n < parser->error_size) {
		va_start(args, fmt);
		vsnprintf(parser->error + n, parser->error_size - (size_t)n, fmt, args);
		va_end(args);
	}
	return -EINVAL;
}

/* Grow an array by one zeroed element. */
static void *append(void **array, size_t *n, size_t size)
{
	char *grown = realloc(*array, (*n + 1) * size);

	if (!grown)
		return NULL;
	*array = grown;
	memset(grown + *n * size, 0, size);
	return grown + (*n)++ * size;
}

static char *trim(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	*end = 0;
	return text;
}

static bool section_known(const char *name)
{
	for (const struct conf_key *key = conf_schema; key->section; key++)
		if (!strcmp(key->section, name))
			return true;
	return false;
}

static int parse_section(struct parser *parser, char *text)
{
	struct section *section;
	char *close = strchr(text, ']'), *title;

	if (!close || *trim(close + 1))
		return fail(parser, "a section is written as [name] or [name title]");
	*close = 0;
	text = trim(text + 1);
	title = text + strcspn(text, " \t");
	if (*title)
		*title++ = 0;
	if (!section_known(text))
		return fail(parser, "unknown section [%s]", text);
	section = append((void **)&parser->conf->sections, &parser->conf->n_sections, sizeof(*section));
	if (!section)
		return -ENOMEM;
	section->name = strdup(text);
	section->title = strdup(trim(title));
	return section->name && section->title ? 0 : -ENOMEM;
}

static const struct conf_key *find_key(const char *section, const char *name)
{
	for (const struct conf_key *key = conf_schema; key->section; key++)
		if (!strcmp(key->section, section) && !strcmp(key->name, name))
			return key;
	return NULL;
}

static int unknown_key(struct parser *parser, const char *section, const char *name)
{
	const struct conf_key *best = NULL;
	unsigned int distance = 3;

	for (const struct conf_key *key = conf_schema; key->section; key++) {
		unsigned int d;

		if (strcmp(key->section, section))
			continue;
		d = value_distance(name, key->name);
		if (d < distance) {
			distance = d;
			best = key;
		}
	}
	if (best)
		return fail(parser, "unknown key '%s' in [%s]; did you mean '%s'?", name, section, best->name);
	return fail(parser, "unknown key '%s' in [%s]", name, section);
}

static int parse_value(struct parser *parser, char *text)
{
	struct conf *conf = parser->conf;
	size_t section = conf->n_sections - 1;
	char *equals = strchr(text, '='), *name, why[160];
	const struct conf_key *key;
	struct value *value;
	uint64_t number;

	if (!equals)
		return fail(parser, "expected key = value, [section] or # comment");
	if (!conf->n_sections)
		return fail(parser, "a key stands before the first [section]");
	*equals = 0;
	name = trim(text);
	text = trim(equals + 1);
	key = find_key(conf->sections[section].name, name);
	if (!key)
		return unknown_key(parser, conf->sections[section].name, name);
	for (size_t i = 0; i < conf->n_values && !key->repeats; i++)
		if (conf->values[i].key == key &&
		    !strcmp(conf->sections[conf->values[i].section].title, conf->sections[section].title))
			return fail(parser, "'%s' was given before", name);
	if (!*text)
		return fail(parser, "'%s' has no value", name);
	if (value_check(key, text, &number, why, sizeof(why)))
		return fail(parser, "'%s = %s': %s", name, text, why);
	value = append((void **)&conf->values, &conf->n_values, sizeof(*value));
	if (!value)
		return -ENOMEM;
	*value = (struct value){ .key = key, .section = section, .text = strdup(text), .number = number };
	return value->text ? 0 : -ENOMEM;
}

static int parse_line(struct parser *parser, const char *text, size_t len)
{
	char *line = strndup(text, len), *trimmed;
	int ret = 0;

	if (!line)
		return -ENOMEM;
	trimmed = trim(line);
	if (strlen(line) != len && memchr(text, 0, len))
		ret = fail(parser, "the line holds a NUL byte");
	else if (*trimmed == '[')
		ret = parse_section(parser, trimmed);
	else if (*trimmed && *trimmed != '#')
		ret = parse_value(parser, trimmed);
	free(line);
	return ret;
}

struct conf *conf_parse(const char *text, size_t len, const char *name, char *error, size_t error_size)
{
	struct parser parser = { .name = name, .error = error, .error_size = error_size };
	int ret = 0;

	parser.conf = calloc(1, sizeof(*parser.conf));
	if (!parser.conf)
		ret = -ENOMEM;
	while (!ret && len) {
		const char *newline = memchr(text, '\n', len);
		size_t n = newline ? (size_t)(newline - text) : len;

		parser.line++;
		ret = parse_line(&parser, text, n);
		n += newline ? 1 : 0;
		text += n;
		len -= n;
	}
	if (!ret)
		return parser.conf;
	if (ret == -ENOMEM)
		snprintf(error, error_size, "%s: out of memory", name);
	conf_free(parser.conf);
	errno = -ret;
	return NULL;
}

struct conf *conf_load(const char *path, char *error, size_t error_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct conf *conf = NULL;
	char *text = malloc(FILE_MAX + 1);
	ssize_t n = 0;
	size_t len = 0;

	if (fd < 0 || !text) {
		snprintf(error, error_size, "cannot read the configuration %s: %s", path, strerror(errno));
		goto out;
	}
	while (len <= FILE_MAX && (n = read(fd, text + len, FILE_MAX + 1 - len)) > 0)
		len += (size_t)n;
	if (n < 0) {
		snprintf(error, error_size, "cannot read the configuration %s: %s", path, strerror(errno));
	} else if (len > FILE_MAX) {
		errno = EFBIG;
		snprintf(error, error_size, "%s is longer than 1 MiB: that is no configuration", path);
	} else {
		conf = conf_parse(text, len, path, error, error_size);
	}
out:
	n = errno;
	free(text);
	if (fd >= 0)
		close(fd);
	errno = (int)n;
	return conf;
}

void conf_free(struct conf *conf)
{
	if (!conf)
		return;
	for (size_t i = 0; i < conf->n_values; i++)
		free(conf->values[i].text);
	for (size_t i = 0; i < conf->n_sections; i++) {
		free(conf->sections[i].name);
		free(conf->sections[i].title);
	}
	free(conf->values);
	free(conf->sections);
	free(conf);
}

static const struct value *find_value(const struct conf *conf, const struct conf_key *key, const char *title, size_t n)
{
	for (size_t i = 0; i < conf->n_values; i++) {
		const struct value *value = &conf->values[i];

		if (value->key == key && (!title || !strcmp(conf->sections[value->section].title, title)) && !n--)
			return value;
	}
	return NULL;
}

size_t conf_count(const struct conf *conf, const char *section, const char *title, const char *name)
{
	const struct conf_key *key = find_key(section, name);
	size_t n = 0;

	assert(key);
	while (find_value(conf, key, title, n))
		n++;
	return n;
}

const char *conf_text(const struct conf *conf, const char *section, const char *title, const char *name, size_t n)
{
	const struct conf_key *key = find_key(section, name);
	const struct value *value;

	assert(key);
	value = find_value(conf, key, title, n);
	if (value)
		return value->text;
	return n ? NULL : key->fallback;
}

uint64_t conf_number(const struct conf *conf, const char *section, const char *title, const char *name)
{
	const struct conf_key *key = find_key(section, name);
	const struct value *value;
	uint64_t number = 0;
	char why[160];

	assert(key);
	value = find_value(conf, key, title, 0);
	if (value)
		return value->number;
	if (key->fallback)
		value_check(key, key->fallback, &number, why, sizeof(why));
	return number;
}

bool conf_bool(const struct conf *conf, const char *section, const char *name)
{
	return conf_number(conf, section, NULL, name) != 0;
}

bool conf_uuid(const struct conf *conf, const char *section, const char *name, uint8_t uuid[16])
{
	const char *text = conf_text(conf, section, NULL, name, 0);

	return text && !value_uuid(text, uuid);
}

const char *conf_title(const struct conf *conf, const char *section, size_t n)
{
	for (size_t i = 0; i < conf->n_sections; i++)
		if (!strcmp(conf->sections[i].name, section) && !n--)
			return conf->sections[i].title;
	return NULL;
}
