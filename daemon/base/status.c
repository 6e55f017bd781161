// SPDX-License-Identifier: GPL-2.0-or-later
/* status.c - names, texts and errnos of the status table; nothing here is written by hand but the way back from errno. */
#include <errno.h>
#include <stddef.h>

#include "base/log.h"
#include "uapi/weft_status.h"

static const struct {
	unsigned int number;
	int err;
	const char *name, *text;
} table[] = {
#define ROW(name, number, err, text) { number, err, #name, text },
	WEFT_STATUS_TABLE(ROW)
#undef ROW
};

static int find(unsigned int status)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].number == status)
			return (int)i;
	return -1;
}

const char *status_text(unsigned int status)
{
	int i = find(status);

	return i < 0 ? "unknown status" : table[i].text;
}

const char *status_name(unsigned int status)
{
	int i = find(status);

	return i < 0 ? "UNKNOWN" : table[i].name;
}

int status_errno(unsigned int status)
{
	int i = find(status);

	return i < 0 ? -EPROTO : -table[i].err;
}

/* The first line of the table with that errno: the table's order puts the plain meaning first. */
unsigned int status_from_errno(int err)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (-table[i].err == err)
			return table[i].number;
	return WEFT_ST_IO;
}
