// SPDX-License-Identifier: GPL-2.0-or-later
/* cmd_session.c - weft session list, end: who has volumes mounted. */
#include <string.h>

#include "weft.h"

static int show_list(const json_t *answer)
{
	static const struct column columns[] = {
		{ "session", "session", SHOW_TEXT }, { "volume", "volume", SHOW_TEXT }, { "host", "host", SHOW_TEXT },
		{ "read only", "read_only", SHOW_FLAG }, { ">heard", "silent_ms", SHOW_MS }, { 0 },
	};

	show_objects(json_object_get(answer, "sessions"), columns, "no volume is mounted");
	return 0;
}

static int show_ended(const json_t *answer)
{
	(void)answer;
	puts("the session is ended: its volume can be mounted by another host");
	return 0;
}

static bool is_hexadecimal(const char *text)
{
	return *text && strlen(text) <= 16 && strspn(text, "0123456789abcdefABCDEF") == strlen(text);
}

static int run(const struct options *options, int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "list"))
		return admin_show(options, "session list", NULL, show_list);
	if (argc != 3 || strcmp(argv[1], "end"))
		return usage_error(&cmd_session);
	if (!is_hexadecimal(argv[2]))
		return fail("session end %s: give the session as 'weft session list' shows it", argv[2]);
	return admin_show(options, "session end", json_pack("{s:s}", "session", argv[2]), show_ended);
}

const struct command cmd_session = {
	.name = "session", .run = run, .usage = "list | end SESSION",
	.help = "who has volumes mounted; end the session of a client that will not come back",
};
