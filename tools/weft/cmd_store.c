// SPDX-License-Identifier: GPL-2.0-or-later
/* cmd_store.c - weft store list. */
#include <string.h>

#include "weft.h"

static int show_list(const json_t *answer)
{
	static const struct column columns[] = {
		{ ">store", "store", SHOW_NUMBER }, { "host", "host", SHOW_TEXT },
		{ "state", "state", SHOW_TEXT }, { ">capacity", "capacity", SHOW_BYTES },
		{ ">free", "free", SHOW_BYTES }, { ">shards", "shards", SHOW_NUMBER },
		{ ">slots", "slots", SHOW_NUMBER }, { ">errors", "errors", SHOW_NUMBER },
		{ ">usec", "usec", SHOW_NUMBER }, { "disk", "status", SHOW_TEXT },
		{ "path", "path", SHOW_TEXT }, { 0 },
	};

	show_objects(json_object_get(answer, "stores"), columns, "no store has registered yet");
	return 0;
}

static int run(const struct options *options, int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "list"))
		return admin_show(options, "store list", NULL, show_list);
	return usage_error(&cmd_store);
}

const struct command cmd_store = {
	.name = "store", .run = run, .usage = "list", .help = "the stores and how full they are",
};
