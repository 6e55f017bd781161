/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.h - one line an event: when, how bad, which part, a sentence, then key=value pairs for programs
 *
 *   2026-01-31T12:00:00.123Z warn store: shard 7:3 does not match its checksums  file=/srv/a/shards/1/7.3 group=9
 *
 * Threading: any thread at any time. A line is formatted on the caller's stack and written by one write(2), so lines never
 * mix. Writing never blocks for good: the descriptor of a process that must not wait (the bridge) is made non-blocking by
 * log_init() and lines that do not fit are counted and dropped; the next line that fits says how many.
 */
#ifndef WEFT_BASE_LOG_H
#define WEFT_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/*
 * Start logging to descriptor fd. part: the role, shown in each line; kept, not copied. may_block: false for processes that
 * must never wait for whoever reads the log.
 */
void log_init(int fd, const char *part, enum log_level level, bool may_block);

void log_set_level(enum log_level level);

/* "error", "warn", "info" or "debug"; -EINVAL for anything else. */
int log_level_parse(const char *text);

__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *fmt, ...);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/* True at most burst times in each second_s seconds of monotonic time; for lines that a peer can provoke. Zero-initialize. */
struct log_limit {
	long since;
	unsigned int passed;
};
bool log_limit(struct log_limit *limit, unsigned int burst, unsigned int seconds);

/* The table of uapi/weft_status.h: never NULL. */
const char *status_text(unsigned int status);
const char *status_name(unsigned int status);
/* Negative errno of a status (0 for OK, -EPROTO for an unknown one). */
int status_errno(unsigned int status);
/* The status that tells best what a negative errno of our own means. */
unsigned int status_from_errno(int err);

#endif
