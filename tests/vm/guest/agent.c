// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs the command of a test machine and carries its output and exit status to the host.
 *
 *	agent run RUN TIMEOUT	RUN/command, RUN/environment, RUN/folder say what; TIMEOUT in seconds, 0 for none
 *	agent boot RELEASE RUN OUT	boot.c
 *	agent reset		ends the machine at once
 *
 * The command writes into pipes and not into the channels themselves: a channel can be opened only once at a time, a
 * pipe as often as the command likes (/dev/stdout). When the command has ended, what it wrote is in the pipes:
 * they are emptied without waiting, so a process that it left behind and that holds them delays nothing.
 * What it left behind in its process group is then killed. Single thread; blocking writes to the channels, whose
 * speed is the reader's.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "agent.h"

enum { OUT, ERR, STREAMS };

struct stream {
	int pipe;	/* our end of what the command writes; -1: the command closed it */
	int channel;
};

void agent_die(const char *what)
{
	fprintf(stderr, "agent: %s: %s\n", what, strerror(errno));
	exit(125);
}

static int channel_open(const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/virtio-ports/weft.%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		agent_die(path);
	return fd;
}

static void report(const char *text)
{
	int fd = channel_open("status");

	if (write(fd, text, strlen(text)) < 0)
		agent_die("status");
	close(fd);
}

/* The whole of RUN/NAME and a NUL; the caller keeps it to the end. */
static char *file_read(const char *run, const char *name, size_t *size)
{
	char path[4096];
	char *text = NULL;
	size_t space = 0, used = 0, got;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", run, name);
	file = fopen(path, "re");
	if (!file)
		agent_die(path);
	do {
		if (space - used < 4096) {
			space = space * 2 + 8192;
			text = realloc(text, space);
			if (!text)
				agent_die(path);
		}
		got = fread(text + used, 1, space - used - 1, file);
		used += got;
	} while (got);
	fclose(file);
	text[used] = '\0';
	*size = used;
	return text;
}

/* Splits NUL-terminated strings into an array that ends with NULL. */
static char **strings_split(char *text, size_t size)
{
	size_t count = 0, i, n = 0;
	char **strings;

	for (i = 0; i < size; i++)
		count += text[i] == '\0';
	strings = calloc(count + 1, sizeof(*strings));
	if (!strings)
		agent_die("strings");
	for (i = 0; i < size; i += strlen(text + i) + 1)
		strings[n++] = text + i;
	return strings;
}

static void command_exec(const char *run, const int *ends)
{
	char **argv, **envp;
	char *folder, *text;
	sigset_t none;
	size_t size;
	int fd, saved;

	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	folder = file_read(run, "folder", &size);
	folder[strcspn(folder, "\n")] = '\0';
	text = file_read(run, "command", &size);
	argv = strings_split(text, size);
	text = file_read(run, "environment", &size);
	envp = strings_split(text, size);

	fd = open("/dev/null", O_RDONLY);
	dup2(fd, STDIN_FILENO);
	dup2(ends[OUT], STDOUT_FILENO);
	dup2(ends[ERR], STDERR_FILENO);
	if (chdir(folder)) {
		fprintf(stderr, "%s: %s\n", folder, strerror(errno));
		_exit(126);
	}
	environ = envp;
	execvp(argv[0], argv);
	saved = errno;
	fprintf(stderr, "%s: %s\n", argv[0], strerror(saved));
	_exit(saved == ENOENT ? 127 : 126);
}

static void channel_write(int channel, const char *text, size_t size)
{
	while (size) {
		ssize_t wrote = write(channel, text, size);

		if (wrote < 0 && errno != EINTR && errno != EAGAIN)
			agent_die("channel");
		if (wrote > 0) {
			text += wrote;
			size -= wrote;
		}
	}
}

/* Moves what there is; false when there is nothing now. */
static bool stream_pump(struct stream *stream)
{
	char buffer[65536];
	ssize_t got;

	if (stream->pipe < 0)
		return false;
	got = read(stream->pipe, buffer, sizeof(buffer));
	if (got > 0) {
		channel_write(stream->channel, buffer, got);
		return true;
	}
	if (got == 0) {
		close(stream->pipe);
		stream->pipe = -1;
	}
	return false;
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Shows in the kernel log where everybody stands. */
static void tasks_show(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (write(fd, "w", 1) < 0)
			perror("agent: sysrq");
		close(fd);
	}
}

/* Until the command has ended; returns its wait status, *late says that the time limit ended it. */
static int command_await(pid_t command, struct stream *streams, int children, long long deadline, bool *late)
{
	struct signalfd_siginfo info;
	struct pollfd polls[STREAMS + 1];
	int i, status;

	*late = false;
	for (;;) {
		long long left = deadline ? deadline - now_ms() : -1;

		for (i = 0; i < STREAMS; i++)
			polls[i] = (struct pollfd){ .fd = streams[i].pipe, .events = POLLIN };
		polls[STREAMS] = (struct pollfd){ .fd = children, .events = POLLIN };
		if (deadline && left <= 0) {
			*late = true;
			deadline = 0;
			tasks_show();
			kill(-command, SIGKILL);
			continue;
		}
		if (poll(polls, STREAMS + 1, left < 0 ? -1 : (int)(left < 1000000 ? left : 1000000)) < 0 && errno != EINTR)
			agent_die("poll");
		for (i = 0; i < STREAMS; i++)
			if (polls[i].revents)
				stream_pump(&streams[i]);
		if (polls[STREAMS].revents && read(children, &info, sizeof(info)) < 0 && errno != EAGAIN)
			agent_die("signalfd");
		if (waitpid(command, &status, WNOHANG) == command)
			return status;
	}
}

static int command_run(const char *run, long timeout)
{
	static const char *const names[STREAMS] = { "out", "err" };
	struct stream streams[STREAMS];
	int ends[STREAMS], pipes[2], children, status, code, i;
	sigset_t child;
	pid_t command;
	char text[32];
	bool late;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	children = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (children < 0)
		agent_die("signalfd");
	for (i = 0; i < STREAMS; i++) {
		if (pipe2(pipes, O_CLOEXEC))
			agent_die("pipe");
		fcntl(pipes[0], F_SETFL, O_NONBLOCK);
		streams[i] = (struct stream){ .pipe = pipes[0], .channel = channel_open(names[i]) };
		ends[i] = pipes[1];
	}
	report("running\n");
	command = fork();
	if (command < 0)
		agent_die("fork");
	if (!command)
		command_exec(run, ends);
	for (i = 0; i < STREAMS; i++)
		close(ends[i]);

	status = command_await(command, streams, children, timeout ? now_ms() + timeout * 1000LL : 0, &late);
	for (i = 0; i < STREAMS; i++) {
		while (stream_pump(&streams[i]))
			;
		close(streams[i].channel);
	}
	kill(-command, SIGKILL);
	if (late)
		code = 124;
	else
		code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	snprintf(text, sizeof(text), "exit %d\n", code);
	report(text);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "run"))
		return command_run(argv[2], atol(argv[3]));
	if (argc == 5 && !strcmp(argv[1], "boot"))
		return agent_boot(argv[2], argv[3], argv[4]);
	if (argc == 2 && !strcmp(argv[1], "reset")) {
		reboot(RB_AUTOBOOT);
		agent_die("reboot");
	}
	fprintf(stderr, "usage: agent boot RELEASE RUN OUT | agent run RUN TIMEOUT | agent reset\n");
	return 2;
}
