// SPDX-License-Identifier: GPL-2.0-or-later
/* value.c - values of the configuration; pure. */
#include "conf/value.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/address.h"

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{ "T", 1ull << 40 }, { "G", 1ull << 30 }, { "M", 1ull << 20 }, { "K", 1ull << 10 }, { "", 1 }, { NULL, 0 },
};
static const struct unit duration_units[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "min", 60000 }, { "s", 1000 }, { "ms", 1 }, { NULL, 0 },
};
static const struct unit number_units[] = { { "", 1 }, { NULL, 0 } };
static const struct unit percent_units[] = { { "%", 1 }, { NULL, 0 } };

static const struct unit *units_of(enum conf_type type)
{
	switch (type) {
	case CONF_SIZE:
		return size_units;
	case CONF_DURATION:
		return duration_units;
	case CONF_PERCENT:
		return percent_units;
	default:
		return number_units;
	}
}

/* In the largest unit that divides it. */
static void format_number(const struct unit *units, uint64_t n, char *text, size_t size)
{
	const struct unit *unit = units;

	while (unit[1].name && (!n || n % unit->factor))
		unit++;
	snprintf(text, size, "%" PRIu64 "%s", n / unit->factor, unit->name);
}

static int parse_number(const struct unit *units, const char *text, uint64_t *number)
{
	unsigned long long n;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	for (; units->name; units++) {
		if (strcmp(end, units->name))
			continue;
		if (__builtin_mul_overflow((uint64_t)n, units->factor, number))
			return -ERANGE;
		return 0;
	}
	return -EINVAL;
}

static int check_number(const struct conf_key *key, const char *text, uint64_t *number, char *why, size_t why_size)
{
	static const char *const examples[] = {
		[CONF_NUMBER] = "a number", [CONF_SIZE] = "a size, such as 64M or 1T",
		[CONF_DURATION] = "a duration, such as 500ms, 10s or 5min", [CONF_PERCENT] = "a share, such as 5%",
	};
	const struct unit *units = units_of(key->type);
	uint64_t max = key->type == CONF_PERCENT ? 100 : key->max;
	char low[32], high[32];
	int ret = parse_number(units, text, number);

	if (ret == -EINVAL) {
		snprintf(why, why_size, "must be %s", examples[key->type]);
		return ret;
	}
	if (!ret && *number >= key->min && *number <= max)
		return 0;
	format_number(units, key->min, low, sizeof(low));
	format_number(units, max, high, sizeof(high));
	snprintf(why, why_size, "must be between %s and %s", low, high);
	return -ERANGE;
}

static int check_choice(const struct conf_key *key, const char *text, char *why, size_t why_size)
{
	size_t len = strlen(text);

	for (const char *at = key->choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
		if (len == strcspn(at, "|") && !strncmp(at, text, len))
			return 0;
	snprintf(why, why_size, "must be one of %s", key->choices);
	return -EINVAL;
}

int value_uuid(const char *text, uint8_t uuid[16])
{
	size_t digits = 0;

	for (; *text; text++) {
		int c = tolower((unsigned char)*text), digit;

		if (c == '-' && (digits == 8 || digits == 12 || digits == 16 || digits == 20))
			continue;
		if (!isxdigit(c) || digits == 32)
			return -EINVAL;
		digit = isdigit(c) ? c - '0' : c - 'a' + 10;
		uuid[digits / 2] = (uint8_t)(digits % 2 ? uuid[digits / 2] | digit : digit << 4);
		digits++;
	}
	return digits == 32 ? 0 : -EINVAL;
}

void value_uuid_format(const uint8_t uuid[16], char text[37])
{
	for (int i = 0; i < 16; i++)
		text += sprintf(text, "%02x%s", uuid[i], i == 3 || i == 5 || i == 7 || i == 9 ? "-" : "");
}

int value_check(const struct conf_key *key, const char *text, uint64_t *number, char *why, size_t why_size)
{
	struct address address;
	uint8_t uuid[16];
	int ret = 0;

	*number = 0;
	switch (key->type) {
	case CONF_TEXT:
		return 0;
	case CONF_BOOL:
		*number = !strcmp(text, "yes");
		ret = *number || !strcmp(text, "no") ? 0 : -EINVAL;
		snprintf(why, why_size, "must be yes or no");
		return ret;
	case CONF_NUMBER:
	case CONF_SIZE:
	case CONF_DURATION:
	case CONF_PERCENT:
		return check_number(key, text, number, why, why_size);
	case CONF_ADDRESS:
		ret = address_parse(text, &address);
		snprintf(why, why_size, "must be IP:PORT, [IP6]:PORT, NAME:PORT or unix:/path (of at most 107 bytes)");
		return ret;
	case CONF_PATH:
		snprintf(why, why_size, "must be a path from the root, such as /srv/weft");
		return *text == '/' ? 0 : -EINVAL;
	case CONF_CHOICE:
		return check_choice(key, text, why, why_size);
	case CONF_UUID:
		snprintf(why, why_size, "must be a UUID: 32 hexadecimal digits, with or without dashes");
		return value_uuid(text, uuid);
	}
	return -EINVAL;
}

/* Levenshtein's distance, one row at a time. */
unsigned int value_distance(const char *a, const char *b)
{
	unsigned int row[256], n = (unsigned int)strnlen(b, 255);

	for (unsigned int j = 0; j <= n; j++)
		row[j] = j;
	for (; *a; a++) {
		unsigned int diagonal = row[0]++;

		for (unsigned int j = 1; j <= n; j++) {
			unsigned int change = diagonal + (*a != b[j - 1]), best = row[j] + 1;

			diagonal = row[j];
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = change < best ? change : best;
		}
	}
	return row[n];
}
