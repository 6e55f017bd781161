// SPDX-License-Identifier: GPL-2.0-or-later
/* cmd_monitor.c - weft monitor: what happens, line by line, until it is interrupted. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "weft.h"

#define ASK_AGAIN_MS 500

static void show_event(const struct options *options, const json_t *event)
{
	int64_t ms = json_number(event, "time_ms");
	time_t seconds = (time_t)(ms / 1000);
	char text[32];
	struct tm tm;

	if (options->json) {
		json_dumpf(event, stdout, JSON_COMPACT);
		putchar('\n');
		return;
	}
	localtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	printf("%s.%03d  %-10s %s\n", text, (int)(ms % 1000), json_text(event, "kind"), json_text(event, "text"));
}

static int run(const struct options *options, int argc, char **argv)
{
	struct timespec pause = { .tv_nsec = ASK_AGAIN_MS * 1000000 };
	bool once = argc == 2 && !strcmp(argv[1], "--once");
	json_t *answer, *event;
	struct admin *admin;
	int64_t after = 0;
	size_t i;

	if (argc > 2 || (argc == 2 && !once))
		return usage_error(&cmd_monitor);
	admin = admin_open(options);
	if (!admin)
		return 1;
	while ((answer = admin_call(admin, "monitor", json_pack("{s:I}", "after", (json_int_t)after)))) {
		if (json_number(answer, "lost") && !options->json)
			printf("... %" PRId64 " events are no longer kept\n", json_number(answer, "lost"));
		json_array_foreach(json_object_get(answer, "events"), i, event)
			show_event(options, event);
		after = json_number(answer, "next");
		json_decref(answer);
		fflush(stdout);
		if (once)
			break;
		nanosleep(&pause, NULL);
	}
	admin_close(admin);
	return !once;
}

const struct command cmd_monitor = {
	.name = "monitor", .run = run, .usage = "[--once]", .help = "what happens in the cluster, line by line",
};
