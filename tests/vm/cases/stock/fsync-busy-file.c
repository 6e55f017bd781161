// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fsync() of a file that another process writes without pause: it ends although there is always something to commit, and what
 * it has promised is there.
 * weft-vm: timeout=300
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FILE_SIZE (32 << 20)
#define BLOCK     4096
#define ROUNDS    8
#define LIMIT_S   60.0

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Every other block, so that each becomes a run of its own; writeback is started but not waited for. */
static void write_busily(int fd)
{
	static uint8_t block[BLOCK];
	unsigned int n = 0;

	for (;;) {
		memset(block, (int)++n, sizeof(block));
		for (int i = 0; i < 32; i++)
			if (pwrite(fd, block, BLOCK, BLOCK * (off_t)(2 * (rand() % (FILE_SIZE / BLOCK / 2)))) != BLOCK)
				exit(1);
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	}
}

int main(void)
{
	int fd = open("busy", O_CREAT | O_RDWR, 0600);
	double longest = 0;
	pid_t writer;

	if (fd < 0 || pwrite(fd, "end", 3, FILE_SIZE) != 3 || fsync(fd))
		die("busy");
	writer = fork();
	if (!writer)
		write_busily(fd);
	for (int i = 0; i < ROUNDS; i++) {
		double start = now();

		if (pwrite(fd, &i, sizeof(i), FILE_SIZE + BLOCK + 16 * i) != sizeof(i) || fsync(fd))
			die("fsync");
		start = now() - start;
		longest = start > longest ? start : longest;
		if (start > LIMIT_S) {
			printf("fsync number %d took %.1f s beside a busy writer\n", i, start);
			kill(writer, SIGKILL);
			return 1;
		}
	}
	printf("the longest of %d fsyncs beside a busy writer took %.1f s\n", ROUNDS, longest);
	if (waitpid(writer, NULL, WNOHANG) != 0) {
		printf("the writer ended\n");
		return 1;
	}
	kill(writer, SIGKILL);
	waitpid(writer, NULL, 0);
	return 0;
}
