// SPDX-License-Identifier: GPL-2.0-or-later
/* table.c - columns as wide as what stands in them, and numbers as people read them. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "weft.h"

#define COLUMNS_MAX 24

struct table {
	size_t columns, cells, size;
	bool right[COLUMNS_MAX];
	size_t width[COLUMNS_MAX];
	char **text; /* the head, then the rows */
};

/* Characters, not bytes: continuation bytes of UTF-8 take no place. */
static size_t shown_width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

void table_cell(struct table *table, const char *text)
{
	size_t column = table->cells % table->columns, width = shown_width(text);

	if (table->cells == table->size) {
		size_t size = table->size ? table->size * 2 : 64;
		char **grown = realloc(table->text, size * sizeof(*grown));

		if (!grown)
			abort();
		table->text = grown;
		table->size = size;
	}
	table->text[table->cells] = strdup(text);
	if (!table->text[table->cells])
		abort();
	table->cells++;
	if (width > table->width[column])
		table->width[column] = width;
}

void table_printf(struct table *table, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	table_cell(table, text);
}

struct table *table_new(const char *columns)
{
	struct table *table = calloc(1, sizeof(*table));
	char *copy = strdup(columns), *at = copy;

	if (!table || !copy)
		abort();
	for (const char *c = columns; *c; c++)
		table->columns += *c == '|';
	table->columns++;
	for (size_t i = 0; i < table->columns; i++) {
		char *name = strsep(&at, "|");

		table->right[i] = *name == '>';
		table_cell(table, name + table->right[i]);
	}
	free(copy);
	return table;
}

void table_print(struct table *table)
{
	for (size_t i = 0; i < table->cells; i++) {
		size_t column = i % table->columns;
		int pad = (int)(table->width[column] - shown_width(table->text[i]));
		bool last = column == table->columns - 1;

		if (table->right[column])
			printf("%*s%s", pad, "", table->text[i]);
		else
			printf("%s%*s", table->text[i], last ? 0 : pad, "");
		fputs(last ? "\n" : "  ", stdout);
		free(table->text[i]);
	}
	free(table->text);
	free(table);
}

const char *format_bytes(uint64_t bytes, char text[16])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1023.5 && unit < 6) {
		value /= 1024;
		unit++;
	}
	snprintf(text, 16, unit && value < 99.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return text;
}

const char *format_duration(uint64_t ms, char text[16])
{
	if (ms < 10000)
		snprintf(text, 16, "%.1f s", (double)ms / 1000);
	else if (ms < 600000)
		snprintf(text, 16, "%" PRIu64 " s", ms / 1000);
	else if (ms < 36000000)
		snprintf(text, 16, "%" PRIu64 " min", ms / 60000);
	else
		snprintf(text, 16, "%" PRIu64 " h", ms / 3600000);
	return text;
}

const char *json_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

int64_t json_number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

bool json_flag(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}
