// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * umount.weft - what umount(8) calls for a weft mount
 *
 * A file system cannot refuse umount(2), and what it cannot write by then is lost. So data is written first, and when that
 * does not work nothing is unmounted: the sentence says what is left and what to do. `umount -f` throws it away. Exit status:
 * 0 done, 1 wrong call, 32 failed or refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXIT_USAGE  1
#define EXIT_FAILED 32
#define WAIT_MS     30000
#define SAY_MS      5000
#define PARAMETER   "/sys/module/weft/parameters/umount_timeout_ms"

static void say(const char *directory, const char *text)
{
	fprintf(stderr, "umount.weft: %s: %s\n", directory, text);
}

/* In a child, because a sync that cannot end must not keep us: 0, or an errno. */
static int sync_child(const char *directory)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	return syncfs(fd) ? errno : 0;
}

/* How long nothing may be committed before it is given up: what the module does with a bare umount(2). */
static long wait_ms(void)
{
	FILE *file = fopen(PARAMETER, "re");
	long ms = 0;

	if (file && fscanf(file, "%ld", &ms) != 1)
		ms = 0;
	if (file)
		fclose(file);
	return ms > 0 ? ms : WAIT_MS;
}

/* How many COMMITs of the mount have been answered; -1: unknown. */
static long long commits(const char *directory)
{
	char mounted[4200], line[4600];
	FILE *file = fopen("/proc/self/mountstats", "re");
	long long n = -1;
	bool ours = false;

	if (!file)
		return -1;
	snprintf(mounted, sizeof(mounted), " mounted on %s with fstype weft", directory);
	while (fgets(line, sizeof(line), file)) {
		if (!strncmp(line, "device ", 7))
			ours = strstr(line, mounted);
		else if (ours && sscanf(line, " COMMITS: %lld", &n) == 1)
			break;
	}
	fclose(file);
	return n;
}

/* Wait for the child without losing its end: SIGCHLD is blocked and waited for. */
static int wait_child(const char *directory, pid_t pid, const sigset_t *signals)
{
	long limit = wait_ms(), tick_ms = limit < SAY_MS ? limit : SAY_MS;
	struct timespec tick = { .tv_sec = tick_ms / 1000, .tv_nsec = tick_ms % 1000 * 1000000 };
	long long seen = commits(directory), now;
	int status;

	for (long waited = 0; waited < limit; waited += tick_ms) {
		if (sigtimedwait(signals, NULL, &tick) == SIGCHLD || waitpid(pid, NULL, WNOHANG | WNOWAIT) == pid) {
			if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
				return WEXITSTATUS(status);
			return EIO;
		}
		say(directory, "writing back what is not stored yet ...");
		now = commits(directory);
		if (now != seen)
			waited = -tick_ms;
		seen = now;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return ETIMEDOUT;
}

static int write_back(const char *directory)
{
	sigset_t signals;
	pid_t pid;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	pid = fork();
	if (pid < 0)
		return errno;
	if (!pid)
		_exit(sync_child(directory));
	return wait_child(directory, pid, &signals);
}

int main(int argc, char **argv)
{
	const char *directory;
	int flags = 0, opt, err;

	/* umount(8) calls: umount.weft DIRECTORY [-flnrv] [-N namespace] [-t type.subtype] */
	while ((opt = getopt(argc, argv, "flnrvN:t:")) != -1) {
		if (opt == 'f')
			flags |= MNT_FORCE;
		else if (opt == 'l')
			flags |= MNT_DETACH;
		else if (opt == '?')
			return EXIT_USAGE;
	}
	if (argc - optind != 1) {
		fprintf(stderr, "usage: umount.weft DIRECTORY [-flnrv]\n");
		return EXIT_USAGE;
	}
	directory = argv[optind];
	if (!(flags & MNT_FORCE)) {
		err = write_back(directory);
		if (err == ETIMEDOUT) {
			say(directory, "not unmounted: data that programs wrote cannot be stored now; 'weft status' says what is "
				       "missing, 'weft ps' what waits, and 'umount -f' throws the data away");
			return EXIT_FAILED;
		}
		if (err) {
			fprintf(stderr, "umount.weft: %s: not unmounted: writing back failed: %s; 'umount -f' throws away what is "
					"not stored\n", directory, strerror(err));
			return EXIT_FAILED;
		}
	}
	if (umount2(directory, flags)) {
		fprintf(stderr, "umount.weft: %s: %s\n", directory,
			errno == EBUSY ? "in use: 'fuser -vm' shows by whom" : strerror(errno));
		return EXIT_FAILED;
	}
	return 0;
}
