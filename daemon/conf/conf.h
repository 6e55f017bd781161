/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conf.h - the configuration: sections of key = value, checked against a schema
 *
 *   # comment
 *   [cluster]
 *   name = demo
 *   [store /srv/weft/a]      a section may have a name of its own and then be repeated
 *   reserve = 5%
 *
 * Unknown sections, unknown keys, bad values, repeated keys that may not repeat: all are errors with file and line; nothing
 * is guessed. After conf_load() a configuration does not change, and any thread may read it.
 */
#ifndef WEFT_CONF_CONF_H
#define WEFT_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum conf_type {
	CONF_TEXT,
	CONF_BOOL,     /* yes, no */
	CONF_NUMBER,   /* within min .. max */
	CONF_SIZE,     /* bytes, with K, M, G, T (powers of 1024); within min .. max */
	CONF_DURATION, /* milliseconds, written with ms, s, min, h or d; within min .. max */
	CONF_PERCENT,  /* 0 .. 100, written with % */
	CONF_ADDRESS,  /* IP:PORT, NAME:PORT or unix:/path */
	CONF_PATH,     /* absolute */
	CONF_CHOICE,   /* one of .choices, separated by '|' */
	CONF_UUID,
};

struct conf_key {
	const char *section, *name;
	enum conf_type type;
	bool repeats;
	const char *fallback; /* NULL: none */
	uint64_t min, max;
	const char *choices;
	const char *help;     /* a sentence, for the manual */
};

/* All keys there are; ends with a NULL section. conf/schema.c. */
extern const struct conf_key conf_schema[];

struct conf;

/*
 * Read a file. On error: NULL, errno, and a sentence in error ("/etc/weft/weft.conf:12: unknown key 'naem' in [host];
 * did you mean 'name'?").
 */
struct conf *conf_load(const char *path, char *error, size_t error_size);
/* The same from memory; name stands for the file in messages. For tests and the fuzzer. */
struct conf *conf_parse(const char *text, size_t len, const char *name, char *error, size_t error_size);
void conf_free(struct conf *conf);

/*
 * How often a key was given in the sections of that name and of that title (NULL: any; "" the one without).
 * Values below: the n-th, or the fallback when n is 0 and it was not given; NULL or 0 when there is neither.
 */
size_t conf_count(const struct conf *conf, const char *section, const char *title, const char *key);
const char *conf_text(const struct conf *conf, const char *section, const char *title, const char *key, size_t n);
bool conf_bool(const struct conf *conf, const char *section, const char *key);
/* CONF_NUMBER, CONF_SIZE (bytes), CONF_DURATION (ms), CONF_PERCENT. */
uint64_t conf_number(const struct conf *conf, const char *section, const char *title, const char *key);
/* 16 bytes; false when not given. */
bool conf_uuid(const struct conf *conf, const char *section, const char *key, uint8_t uuid[16]);

/* The titles of the sections of that name, in the file's order: NULL behind the last. */
const char *conf_title(const struct conf *conf, const char *section, size_t n);

#endif
