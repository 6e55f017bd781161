// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Invariant 3 with a store that is stopped: its machine is up, its connections stand, it answers nothing. Files are written and
 * synced while it stops, and read from cold while it is stopped and after it goes on. The longest stalls are printed; how long
 * they may be is not asserted beyond what shows that somebody waited for the store, an emulated machine is late by nature.
 * weft-vm: timeout=300
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PID_FILE   "/run/weft-vm/store5.pid"
#define PIECE      (512 << 10)
#define PIECES     48
#define STOP_AT    12 /* pieces are written before the store stops */
#define SMALL      24
#define SMALL_SIZE 5000
#define STALL_S    20.0

static pid_t store;
static double longest;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void go_on(void)
{
	kill(-store, SIGCONT);
}

static void die(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	exit(1);
}

static void took(double start)
{
	double time = now() - start;

	longest = time > longest ? time : longest;
}

static void tell(const char *what)
{
	printf("%s: the longest stall was %.2f s\n", what, longest);
	fflush(stdout);
	if (longest > STALL_S) {
		printf("somebody waited for the stopped store\n");
		exit(1);
	}
	longest = 0;
}

/* The content of piece n of file: different everywhere, the same each time. */
static void fill(uint8_t *bytes, size_t len, unsigned int file, unsigned int n)
{
	uint32_t x = file * 7919 + n * 104729 + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(x >> 24);
	}
}

static const char *name_of(unsigned int file)
{
	static char name[16];

	snprintf(name, sizeof(name), "file%u", file);
	return name;
}

/* One piece: written and synced. */
static void piece_write(unsigned int file, unsigned int n, size_t len)
{
	static uint8_t bytes[PIECE];
	int fd = open(name_of(file), O_CREAT | O_WRONLY, 0600);
	double start;

	fill(bytes, len, file, n);
	start = now();
	if (fd < 0 || pwrite(fd, bytes, len, (off_t)n * PIECE) != (ssize_t)len || fsync(fd))
		die(name_of(file));
	took(start);
	close(fd);
}

static void piece_check(unsigned int file, unsigned int n, size_t len)
{
	static uint8_t bytes[PIECE], wanted[PIECE];
	int fd = open(name_of(file), O_RDONLY);
	double start = now();

	if (fd < 0 || pread(fd, bytes, len, (off_t)n * PIECE) != (ssize_t)len)
		die(name_of(file));
	took(start);
	close(fd);
	fill(wanted, len, file, n);
	if (memcmp(bytes, wanted, len)) {
		printf("%s, piece %u: other bytes than were written\n", name_of(file), n);
		exit(1);
	}
}

static void check_cold(const char *what)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	sync();
	if (fd < 0 || write(fd, "3", 1) != 1)
		die("drop_caches");
	close(fd);
	for (unsigned int n = 0; n < PIECES; n++)
		piece_check(0, n, PIECE);
	for (unsigned int file = 1; file <= SMALL; file++)
		piece_check(file, 0, SMALL_SIZE);
	tell(what);
}

int main(void)
{
	FILE *file = fopen(PID_FILE, "r");

	if (!file || fscanf(file, "%d", &store) != 1 || store <= 1)
		die(PID_FILE);
	fclose(file);
	atexit(go_on);
	for (unsigned int n = 0; n < STOP_AT; n++)
		piece_write(0, n, PIECE);
	tell("writing to stores that all answer");
	if (kill(-store, SIGSTOP))
		die("SIGSTOP");
	for (unsigned int n = STOP_AT; n < PIECES; n++)
		piece_write(0, n, PIECE);
	for (unsigned int small = 1; small <= SMALL; small++)
		piece_write(small, 0, SMALL_SIZE);
	tell("writing with a store stopped");
	check_cold("reading from cold with a store stopped");
	go_on();
	check_cold("reading from cold when it goes on");
	return 0;
}
