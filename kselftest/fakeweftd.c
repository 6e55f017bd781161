// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fakeweftd: the fake daemon by itself, for shell tests and for trying the module by hand.
 *
 *	fakeweftd [COMMAND [ARGUMENT...]]
 *
 * Serves the volume fake:home from memory: while COMMAND runs, whose exit status is its own, or
 *until it is killed.
 */
#include "fake.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct fake_meta *meta = fake_meta_new();
	struct fake_server *server = fake_serve(meta, NULL, NULL);
	int status = 0;
	pid_t child;

	if (argc < 2) {
		puts("fakeweftd: serving fake:home");
		fflush(stdout);
		pause();
		return 0;
	}
	child = fork();
	if (!child) {
		execvp(argv[1], argv + 1);
		perror(argv[1]);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) != child) {
		perror("fakeweftd");
		return 1;
	}
	fake_serve_end(server);
	fake_meta_free(meta);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
