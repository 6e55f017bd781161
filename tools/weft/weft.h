/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weft.h - the command line: one file a command, one walk for text and --json
 *
 * A command gets a JSON value, from the metadata server's administration socket or from the kernel, and either prints it as
 * it is (--json) or shows it to a person. Nothing is shown that --json does not have. Exit status: 0 done, 1 refused or
 * failed (one sentence on stderr), 2 wrong usage.
 *
 * Single-threaded.
 */
#ifndef WEFT_TOOL_H
#define WEFT_TOOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Options before or behind the command's name. */
struct options {
	bool json;
	const char *cluster; /* NULL: the only one there is */
	const char *socket;  /* NULL: RUN/CLUSTER/admin.sock */
	bool quiet;          /* a failure to connect is not said: the caller tries again */
};

struct command {
	const char *name;
	int (*run)(const struct options *options, int argc, char **argv);
	const char *usage;   /* what stands behind the name */
	const char *help;    /* a line */
};

extern const struct command cmd_up, cmd_down, cmd_status, cmd_ps, cmd_host, cmd_store, cmd_volume, cmd_group, cmd_session,
	cmd_monitor, cmd_chunk, cmd_key;

/* "weft: ..." on stderr; returns 1. */
__attribute__((format(printf, 1, 2))) int fail(const char *fmt, ...);
/* Usage of a command on stderr; returns 2. */
int usage_error(const struct command *command);

/* --- passphrase.c ------------------------------------------------------------------------------------------------------ */

/*
 * A line of a file, "-" for the standard input, or NULL for the terminal. Of sodium_malloc(), for sodium_free(). NULL after a
 * failure that was said.
 */
char *secret_read(const char *path, const char *prompt, size_t *len);

/* --- chunk_keys.c ------------------------------------------------------------------------------------------------------ */

struct chunk_keys;

/* The keys in a key file, which a passphrase opens: as secret_read() reads it. 0, or 1 after a failure that was said. */
int chunk_keys_read(const char *path, const char *secret_file, struct chunk_keys *keys);

/* --- admin.c: the metadata server's administration socket ------------------------------------------------------------ */

struct admin;

/* Connects; on failure says so on stderr and returns NULL. */
struct admin *admin_open(const struct options *options);
void admin_close(struct admin *admin);
/*
 * One command: args is an object (stolen) with "command" set to name. NULL after a failure that was said on stderr. The
 * answer is the caller's.
 */
json_t *admin_call(struct admin *admin, const char *name, json_t *args);
/* Open, call, print (--json) or show, close. */
int admin_show(const struct options *options, const char *name, json_t *args, int (*show)(const json_t *answer));
/* The path of a cluster's socket; -1 after a failure that was said. */
int admin_find_socket(const struct options *options, char *path, size_t size);

/* --- cmd_status.c ------------------------------------------------------------------------------------------------------- */

/*
 * Wait until `condition` ("stores=N": N stores are up; "whole": no chunk misses a shard) holds, at most timeout_s seconds.
 * 0; 1 after a failure that was said.
 */
int status_wait(const struct options *options, const char *condition, unsigned int timeout_s);

/* --- table.c ----------------------------------------------------------------------------------------------------------- */

struct table;

/* Columns: names separated by '|'; a name that begins with '>' is set to the right. */
struct table *table_new(const char *columns);
void table_cell(struct table *table, const char *text);
__attribute__((format(printf, 2, 3))) void table_printf(struct table *table, const char *fmt, ...);
/* Prints and frees. */
void table_print(struct table *table);

/* How a field of an object is shown. */
enum show { SHOW_TEXT, SHOW_NUMBER, SHOW_BYTES, SHOW_MS, SHOW_FLAG, SHOW_JOINED, SHOW_KM };

struct column {
	const char *title; /* with '>' in front: to the right */
	const char *field; /* SHOW_KM: not used, "k" and "m" are */
	enum show show;
};

/* A table of an array of objects; columns end with a NULL title. empty: what is said when there are none. */
void show_objects(const json_t *array, const struct column *columns, const char *empty);

/* "1.4 GiB" into a buffer that the caller brings. */
const char *format_bytes(uint64_t bytes, char text[16]);
const char *format_duration(uint64_t ms, char text[16]);

/* Fields of answers, with what stands for absent ones. */
const char *json_text(const json_t *object, const char *name);
int64_t json_number(const json_t *object, const char *name);
bool json_flag(const json_t *object, const char *name);

/* --- kernel.c: the module's lists by generic netlink --------------------------------------------------------------------- */

/* An array of objects: "requests" (what waits), "hosts", "mounts"; NULL after a failure that was said on stderr. */
json_t *kernel_list(uint8_t command);

/* What the module tells whoever listens: a read that failed, data that was dropped... */
struct kernel_events;

/* Listens from now on; NULL after a failure that was said on stderr. */
struct kernel_events *kernel_events_open(void);
void kernel_events_close(struct kernel_events *events);
/* What poll() waits for; -1 for NULL. */
int kernel_events_fd(const struct kernel_events *events);
/* An array of what has come since: "time_ms", "kind", "text" and what the event is about. Does not wait. */
json_t *kernel_events_read(struct kernel_events *events);

#endif
