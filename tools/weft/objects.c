// SPDX-License-Identifier: GPL-2.0-or-later
/* objects.c - arrays of objects as tables. */
#include <inttypes.h>
#include <string.h>

#include "weft.h"

static void show_joined(struct table *table, const json_t *array)
{
	char text[1024] = "";
	json_t *value;
	size_t i, len = 0;

	json_array_foreach(array, i, value) {
		int n;

		if (json_is_string(value))
			n = snprintf(text + len, sizeof(text) - len, "%s%s", i ? " " : "", json_string_value(value));
		else
			n = snprintf(text + len, sizeof(text) - len, "%s%" JSON_INTEGER_FORMAT, i ? " " : "",
				     json_integer_value(value));
		if (n < 0 || (size_t)n >= sizeof(text) - len)
			break;
		len += (size_t)n;
	}
	table_cell(table, text);
}

static void show_field(struct table *table, const json_t *object, const struct column *column)
{
	const json_t *value = json_object_get(object, column->field);
	char text[16];

	switch (column->show) {
	case SHOW_TEXT:
		table_cell(table, json_text(object, column->field));
		break;
	case SHOW_NUMBER:
		table_printf(table, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case SHOW_BYTES:
		table_cell(table, format_bytes((uint64_t)json_integer_value(value), text));
		break;
	case SHOW_MS:
		table_cell(table, value ? format_duration((uint64_t)json_integer_value(value), text) : "-");
		break;
	case SHOW_FLAG:
		table_cell(table, json_is_true(value) ? "yes" : "no");
		break;
	case SHOW_JOINED:
		show_joined(table, value);
		break;
	case SHOW_KM:
		table_printf(table, "%" PRId64 "+%" PRId64, json_number(object, "k"), json_number(object, "m"));
		break;
	}
}

void show_objects(const json_t *array, const struct column *columns, const char *empty)
{
	char titles[512] = "";
	struct table *table;
	json_t *object;
	size_t i;

	if (!json_array_size(array)) {
		puts(empty);
		return;
	}
	for (const struct column *c = columns; c->title; c++) {
		size_t len = strlen(titles);

		snprintf(titles + len, sizeof(titles) - len, "%s%s", len ? "|" : "", c->title);
	}
	table = table_new(titles);
	json_array_foreach(array, i, object)
		for (const struct column *c = columns; c->title; c++)
			show_field(table, object, c);
	table_print(table);
}
