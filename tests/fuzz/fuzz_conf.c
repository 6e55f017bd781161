// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The configuration: any text. What is refused is refused with file and line; what is accepted can be asked for every key
 * of every section, and all values lie within what the schema says.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"

#define require(what) do { if (!(what)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned int lines(const uint8_t *data, size_t size)
{
	unsigned int n = 0;

	for (size_t i = 0; i < size; i++)
		n += i == 0 || data[i - 1] == '\n';
	return n;
}

static void refused(const char *error, unsigned int n)
{
	unsigned int line = 0;
	int at = 0;

	require(errno == EINVAL && sscanf(error, "a file:%u: %n", &line, &at) == 1);
	require(line >= 1 && line <= n && at && error[at]);
}

static void ask(const struct conf *conf, const struct conf_key *key, const char *title)
{
	size_t n = conf_count(conf, key->section, title, key->name);
	uint64_t number = conf_number(conf, key->section, title, key->name);
	const char *text;
	uint8_t uuid[16];

	for (size_t i = 0; i < n; i++) {
		text = conf_text(conf, key->section, title, key->name, i);
		require(text && *text);
	}
	require(n <= 1 || key->repeats || !title);
	require(!conf_text(conf, key->section, title, key->name, n ? n : 1));
	if (key->type == CONF_NUMBER || key->type == CONF_SIZE || key->type == CONF_DURATION)
		require((!n && !key->fallback) || (number >= key->min && number <= key->max));
	if (key->type == CONF_PERCENT)
		require(number <= 100);
	if (key->type == CONF_BOOL)
		require(number <= 1);
	if (key->type == CONF_UUID && !title)
		require(conf_uuid(conf, key->section, key->name, uuid) == (n > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[300] = "";
	struct conf *conf = conf_parse((const char *)data, size, "a file", error, sizeof(error));

	if (!conf) {
		refused(error, lines(data, size));
		return 0;
	}
	for (const struct conf_key *key = conf_schema; key->section; key++) {
		ask(conf, key, NULL);
		for (size_t i = 0; conf_title(conf, key->section, i); i++)
			ask(conf, key, conf_title(conf, key->section, i));
	}
	conf_free(conf);
	return 0;
}
