// SPDX-License-Identifier: GPL-2.0-or-later
/* cmd_group.c - weft group list, show: where chunks go. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "weft.h"

static int show_list(const json_t *answer)
{
	static const struct column columns[] = {
		{ ">group", "group", SHOW_NUMBER }, { "volume", "volume", SHOW_TEXT }, { "coded", NULL, SHOW_KM },
		{ "open", "open", SHOW_FLAG }, { "narrow", "narrow", SHOW_FLAG }, { ">up", "up", SHOW_NUMBER },
		{ "stores", "stores", SHOW_JOINED }, { 0 },
	};

	show_objects(json_object_get(answer, "groups"), columns, "there are no groups: no volume, or too few stores");
	return 0;
}

static int show_one(const json_t *group)
{
	json_t *answer = json_pack("{s:[O]}", "groups", group);

	show_list(answer);
	json_decref(answer);
	printf("%" PRId64 " chunks\n", json_number(group, "chunks"));
	return 0;
}

static int run(const struct options *options, int argc, char **argv)
{
	char *end;
	long long id;

	if (argc == 2 && !strcmp(argv[1], "list"))
		return admin_show(options, "group list", NULL, show_list);
	if (argc != 3 || strcmp(argv[1], "show"))
		return usage_error(&cmd_group);
	id = strtoll(argv[2], &end, 10);
	if (*end || end == argv[2])
		return fail("group show %s: give the group's number, see 'weft group list'", argv[2]);
	return admin_show(options, "group show", json_pack("{s:I}", "group", (json_int_t)id), show_one);
}

const struct command cmd_group = {
	.name = "group", .run = run, .usage = "list | show NUMBER", .help = "the groups of stores that chunks are written to",
};
