// SPDX-License-Identifier: GPL-2.0-or-later
/* main.c - weft: finds the command and runs it. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "weft.h"

static const struct command *const commands[] = {
	&cmd_up, &cmd_down, &cmd_status, &cmd_ps, &cmd_host, &cmd_store, &cmd_volume, &cmd_group,
	&cmd_session, &cmd_monitor, &cmd_chunk, &cmd_key,
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

int fail(const char *fmt, ...)
{
	va_list args;

	fputs("weft: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return 1;
}

int usage_error(const struct command *command)
{
	fprintf(stderr, "usage: weft %s%s%s\n", command->name, *command->usage ? " " : "", command->usage);
	return 2;
}

static void usage(FILE *out)
{
	fputs("usage: weft [--json] [--cluster NAME | --socket PATH] COMMAND ...\n\n", out);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-8s %s\n", commands[i]->name, commands[i]->help);
	fputs("\nThe manual is weft(8).\n", out);
}

/* Takes an option of all commands out of argv; returns how many arguments it was, 0 if it is none, -1 if it is wrong. */
static int take_option(struct options *options, int argc, char **argv)
{
	if (!strcmp(argv[0], "--json")) {
		options->json = true;
		return 1;
	}
	if (strcmp(argv[0], "--cluster") && strcmp(argv[0], "--socket"))
		return 0;
	if (argc < 2) {
		fail("%s needs a value", argv[0]);
		return -1;
	}
	*(argv[0][2] == 'c' ? &options->cluster : &options->socket) = argv[1];
	return 2;
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	char **rest = calloc((size_t)argc + 1, sizeof(*rest));
	int n = 0, ret = 2;

	if (!rest)
		return fail("out of memory");
	for (int i = 1, taken; i < argc; i += taken ? taken : 1) {
		taken = take_option(&options, argc - i, argv + i);
		if (taken < 0)
			goto out;
		if (!taken)
			rest[n++] = argv[i];
	}
	if (n && (!strcmp(rest[0], "--help") || !strcmp(rest[0], "help"))) {
		usage(stdout);
		ret = 0;
		goto out;
	}
	if (n && !strcmp(rest[0], "--version")) {
		printf("weft %s\n", WEFT_VERSION);
		ret = 0;
		goto out;
	}
	for (size_t i = 0; n && i < N_COMMANDS; i++)
		if (!strcmp(commands[i]->name, rest[0])) {
			rest[0] = argv[0]; /* what getopt names in its messages */
			ret = commands[i]->run(&options, n, rest);
			goto out;
		}
	if (n)
		fail("unknown command '%s'", rest[0]);
	usage(stderr);
out:
	free(rest);
	return ret;
}
