// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_monitor.c - weft monitor: what happens, line by line, until it is interrupted
 *
 * Two sources: the metadata service, which keeps its last events, and this host's kernel, which tells of what it cannot read,
 * write or keep as it happens. Each goes on without the other.
 */
#include <inttypes.h>
#include <poll.h>
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

static void show_events(const struct options *options, json_t *events)
{
	json_t *event;
	size_t i;

	json_array_foreach(events, i, event)
		show_event(options, event);
	fflush(stdout);
}

/* What the metadata service has behind a cursor; 1 when it has gone. */
static int show_service(const struct options *options, struct admin *admin, int64_t *after)
{
	json_t *answer = admin_call(admin, "monitor", json_pack("{s:I}", "after", (json_int_t)*after));

	if (!answer)
		return 1;
	if (json_number(answer, "lost") && !options->json)
		printf("... %" PRId64 " events are no longer kept\n", json_number(answer, "lost"));
	show_events(options, json_object_get(answer, "events"));
	*after = json_number(answer, "next");
	json_decref(answer);
	return 0;
}

/* Both sources until it is interrupted. One that is missing was said; without any there is nothing to wait for. */
static int follow(const struct options *options, struct admin *admin, struct kernel_events *kernel)
{
	struct options quiet = *options;
	struct pollfd wait = { .fd = kernel_events_fd(kernel), .events = POLLIN };
	int64_t after = 0;

	quiet.quiet = true;
	while (admin || kernel) {
		if (admin && show_service(options, admin, &after)) {
			admin_close(admin);
			admin = NULL;
			continue;
		}
		if (poll(&wait, 1, ASK_AGAIN_MS) > 0) {
			json_t *events = kernel_events_read(kernel);

			show_events(options, events);
			json_decref(events);
		}
		if (!admin)
			admin = admin_open(&quiet);
	}
	kernel_events_close(kernel);
	return 1;
}

static int run(const struct options *options, int argc, char **argv)
{
	bool once = argc == 2 && !strcmp(argv[1], "--once");
	struct kernel_events *kernel;
	struct admin *admin;
	int64_t after = 0;
	int ret;

	if (argc > 2 || (argc == 2 && !once))
		return usage_error(&cmd_monitor);
	if (!once) {
		/* The kernel keeps no events: it is listened to before what the service has kept is shown. */
		kernel = kernel_events_open();
		return follow(options, admin_open(options), kernel);
	}
	admin = admin_open(options);
	ret = admin ? show_service(options, admin, &after) : 1;
	admin_close(admin);
	return ret;
}

const struct command cmd_monitor = {
	.name = "monitor", .run = run, .usage = "[--once]", .help = "what happens in the cluster, line by line",
};
