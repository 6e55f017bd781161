// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * log.c - log lines
 *
 * Invariant: one line is one write(2) of at most LINE_MAX_BYTES bytes, control characters replaced, so that nothing a peer
 * sent can forge a line.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static struct {
	int fd;
	const char *part;
	_Atomic int level;
	atomic_ulong dropped;
} logger = { .fd = STDERR_FILENO, .part = "weft", .level = LOG_INFO };

static const char *const level_names[] = { "error", "warn", "info", "debug" };

void log_init(int fd, const char *part, enum log_level level, bool may_block)
{
	logger.fd = fd;
	logger.part = part;
	logger.level = level;
	if (!may_block) {
		int flags = fcntl(fd, F_GETFL);

		if (flags >= 0)
			fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	}
}

void log_set_level(enum log_level level)
{
	logger.level = level;
}

int log_level_parse(const char *text)
{
	for (int i = LOG_ERROR; i <= LOG_DEBUG; i++)
		if (!strcmp(text, level_names[i]))
			return i;
	return -EINVAL;
}

static size_t format_head(char *line, size_t size, enum log_level level)
{
	struct timespec now;
	struct tm tm;
	size_t len;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	len = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &tm);
	len += (size_t)snprintf(line + len, size - len, ".%03ldZ %s %s: ", now.tv_nsec / 1000000, level_names[level],
				logger.part);
	return len;
}

static void write_line(const char *line, size_t len)
{
	ssize_t n;

	do {
		n = write(logger.fd, line, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		atomic_fetch_add(&logger.dropped, 1);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	size_t head, len;
	unsigned long dropped;
	va_list args;
	int saved = errno, n;

	if ((int)level > logger.level)
		return;
	head = format_head(line, sizeof(line), level);
	errno = saved;
	va_start(args, fmt);
	n = vsnprintf(line + head, sizeof(line) - head - 1, fmt, args);
	va_end(args);
	len = head + (n < 0 ? 0 : (size_t)n);
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	for (size_t i = head; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[len++] = '\n';
	write_line(line, len);

	dropped = atomic_exchange(&logger.dropped, 0);
	if (dropped > 1) { /* one may be the line above itself */
		char note[128];
		size_t note_len = format_head(note, sizeof(note), LOG_WARN);

		note_len += (size_t)snprintf(note + note_len, sizeof(note) - note_len,
					     "%lu log lines were dropped because nobody read them in time\n", dropped);
		write_line(note, note_len);
	}
	errno = saved;
}

bool log_limit(struct log_limit *limit, unsigned int burst, unsigned int seconds)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (limit->passed == 0 || now.tv_sec - limit->since >= (long)seconds) {
		limit->since = now.tv_sec;
		limit->passed = 0;
	}
	return limit->passed++ < burst;
}
