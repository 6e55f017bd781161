// SPDX-License-Identifier: GPL-2.0-or-later
/* cmd_ps.c - weft ps: what waits in this host's kernel, and for whom. */
#include <inttypes.h>
#include <string.h>

#include "uapi/weft_netlink.h"
#include "uapi/weft_payload.h"
#include "weft.h"

static const char *op_name(int64_t op)
{
	static const char *const names[] = {
		[WEFT_REQ_MOUNT] = "mount", [WEFT_REQ_UMOUNT] = "umount", [WEFT_REQ_LOOKUP] = "lookup",
		[WEFT_REQ_GETATTR] = "getattr", [WEFT_REQ_SETATTR] = "setattr", [WEFT_REQ_CREATE] = "create",
		[WEFT_REQ_LINK] = "link", [WEFT_REQ_UNLINK] = "unlink", [WEFT_REQ_RENAME] = "rename",
		[WEFT_REQ_READDIR] = "readdir", [WEFT_REQ_READLINK] = "readlink", [WEFT_REQ_FORGET] = "forget",
		[WEFT_REQ_EXTENTS] = "extents", [WEFT_REQ_COMMIT] = "commit", [WEFT_REQ_GROUP] = "group",
		[WEFT_REQ_GROUP_WANT] = "group-want", [WEFT_REQ_HOST_WANT] = "host-want",
		[WEFT_REQ_HOST_FAILED] = "host-failed", [WEFT_REQ_SHARDS_STORED] = "shards-stored",
		[WEFT_REQ_SHARDS_MISSING] = "shards-missing", [WEFT_REQ_STATFS] = "statfs",
		[WEFT_REQ_CLONE] = "clone",
	};

	if (op <= 0 || (size_t)op >= sizeof(names) / sizeof(names[0]) || !names[op])
		return "?";
	return names[op];
}

static int run(const struct options *options, int argc, char **argv)
{
	struct table *table;
	json_t *list, *request;
	size_t i;

	(void)argv;
	if (argc > 1)
		return usage_error(&cmd_ps);
	list = kernel_list(WEFT_CMD_REQUEST_GET);
	if (!list)
		return 1;
	json_array_foreach(list, i, request)
		json_object_set_new(request, "operation", json_string(op_name(json_number(request, "op"))));
	if (options->json) {
		json_dumpf(list, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (!json_array_size(list)) {
		puts("nothing waits");
	} else {
		table = table_new(">age|>pid|operation|>inode|class|waits for");
		json_array_foreach(list, i, request) {
			const char *text = json_text(request, "text");
			char age[16];

			table_cell(table, format_duration((uint64_t)json_number(request, "age-ms"), age));
			table_printf(table, "%" PRId64, json_number(request, "pid"));
			table_cell(table, json_text(request, "operation"));
			table_printf(table, "%" PRIu64, (uint64_t)json_number(request, "inode"));
			table_printf(table, "%" PRId64, json_number(request, "class"));
			table_cell(table, *text ? text : "the daemon");
		}
		table_print(table);
	}
	json_decref(list);
	return 0;
}

const struct command cmd_ps = {
	.name = "ps", .run = run, .usage = "", .help = "what waits in this host's kernel, and for whom",
};
