// SPDX-License-Identifier: GPL-2.0-or-later
/* cmd_host.c - weft host list, and this kernel's view of hosts: weft host counters. */
#include <string.h>

#include "uapi/weft_netlink.h"
#include "weft.h"

static int show_list(const json_t *answer)
{
	static const struct column columns[] = {
		{ ">host", "host", SHOW_NUMBER }, { "name", "name", SHOW_TEXT },
		{ "state", "state", SHOW_TEXT }, { "region", "region", SHOW_TEXT },
		{ "datacenter", "datacenter", SHOW_TEXT }, { "rack", "rack", SHOW_TEXT },
		{ "stores", "stores", SHOW_JOINED }, { ">heard", "silent_ms", SHOW_MS },
		{ "addresses", "addresses", SHOW_JOINED }, { 0 },
	};

	show_objects(json_object_get(answer, "hosts"), columns, "no host has registered yet");
	return 0;
}

/* What this host's kernel counted on its connections to the others. */
static int run_counters(const struct options *options)
{
	static const struct column columns[] = {
		{ ">host", "host", SHOW_NUMBER }, { "name", "name", SHOW_TEXT },
		{ ">puts", "puts", SHOW_NUMBER }, { ">sent", "put-bytes", SHOW_BYTES },
		{ ">gets", "gets", SHOW_NUMBER }, { ">received", "get-bytes", SHOW_BYTES },
		{ ">late", "get-late", SHOW_NUMBER }, { ">corrupt", "get-corrupt", SHOW_NUMBER },
		{ ">put errors", "put-errors", SHOW_NUMBER }, { ">get errors", "get-errors", SHOW_NUMBER },
		{ ">usec", "latency-usec", SHOW_NUMBER }, { 0 },
	};
	json_t *list = kernel_list(WEFT_CMD_HOST_GET), *host;
	size_t i;

	if (!list)
		return 1;
	if (options->json) {
		json_dumpf(list, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		json_array_foreach(list, i, host)
			json_object_update_missing(host, json_object_get(host, "counters"));
		show_objects(list, columns, "this kernel knows no hosts: no bridge is bound");
	}
	json_decref(list);
	return 0;
}

static int run(const struct options *options, int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "list"))
		return admin_show(options, "host list", NULL, show_list);
	if (argc == 2 && !strcmp(argv[1], "counters"))
		return run_counters(options);
	return usage_error(&cmd_host);
}

const struct command cmd_host = {
	.name = "host", .run = run, .usage = "list | counters",
	.help = "the hosts of the cluster; what this kernel counted on its connections to them",
};
