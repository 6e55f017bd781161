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
#define WAIT_S      30
#define SAY_S       5

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

/* Wait for the child without losing its end: SIGCHLD is blocked and waited for. */
static int wait_child(const char *directory, pid_t pid, const sigset_t *signals)
{
	struct timespec tick = { .tv_sec = SAY_S };
	int status;

	for (int waited = 0; waited < WAIT_S; waited += SAY_S) {
		if (sigtimedwait(signals, NULL, &tick) == SIGCHLD || waitpid(pid, NULL, WNOHANG | WNOWAIT) == pid) {
			if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
				return WEXITSTATUS(status);
			return EIO;
		}
		say(directory, "writing back what is not stored yet ...");
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
