// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c - weftd: the command line and the supervisor
 *
 * `weftd --role R` is one role in this process. Without a role this process starts one child for each role that the
 * configuration calls for, restarts those that end, and ends them all when it is told to stop. A crash, an OOM kill or a
 * kill -9 takes one role. Children die with the supervisor (PR_SET_PDEATHSIG), so that nothing is left behind.
 *
 * Threading: single-threaded; signals come by sigwaitinfo().
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/conf.h"
#include "weftd.h"

#define DEFAULT_CONF "/etc/weft/weft.conf"
#define RESTART_MIN_MS 100
#define RESTART_MAX_MS 10000
#define STEADY_MS      30000 /* a role that ran for so long starts anew with the shortest wait */
#define STOP_MS        20000 /* then SIGKILL */

struct role {
	const char *name;
	int (*main)(const struct conf *conf);
	bool (*wanted)(const struct conf *conf);
	pid_t pid;            /* 0: not running */
	long started, restart_at; /* monotonic ms */
	unsigned int wait;    /* ms */
	bool given_up;
};

static bool meta_wanted(const struct conf *conf)
{
	return conf_count(conf, "meta", NULL, "path") > 0;
}

static bool store_wanted(const struct conf *conf)
{
	return conf_count(conf, "store", NULL, "path") > 0;
}

static bool bridge_wanted(const struct conf *conf)
{
	return conf_bool(conf, "bridge", "enable");
}

/* In the order in which they start. */
static struct role roles[] = {
	{ .name = "meta", .main = meta_main, .wanted = meta_wanted },
	{ .name = "store", .main = store_main, .wanted = store_wanted },
	{ .name = "bridge", .main = bridge_main, .wanted = bridge_wanted },
};
#define N_ROLES (sizeof(roles) / sizeof(roles[0]))

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int run_role(const struct role *role, const struct conf *conf, enum log_level level)
{
	signal(SIGPIPE, SIG_IGN);
	log_init(STDERR_FILENO, role->name, level, role->main != bridge_main);
	return role->main(conf);
}

static void start_role(struct role *role, const struct conf *conf, const char *path, const sigset_t *old)
{
	const char *level = conf_text(conf, "log", NULL, "level", 0);
	pid_t parent = getpid(), pid = fork();

	if (pid < 0) {
		log_error("cannot start role %s: %s; trying again in %u ms", role->name, strerror(errno), RESTART_MAX_MS);
		role->restart_at = now_ms() + RESTART_MAX_MS;
		return;
	}
	if (pid > 0) {
		role->pid = pid;
		role->started = now_ms();
		log_info("role %s started  pid=%d", role->name, (int)pid);
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(0);
	sigprocmask(SIG_SETMASK, old, NULL);
	execl("/proc/self/exe", "weftd", "--role", role->name, "--config", path, "--log-level", level, (char *)NULL);
	log_error("cannot start role %s: %s", role->name, strerror(errno));
	_exit(1);
}

static void role_ended(struct role *role, int status, bool stopping)
{
	long ran = now_ms() - role->started;

	role->pid = 0;
	if (stopping)
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) == WEFTD_EXIT_FATAL) {
		log_error("role %s ended with an error that it cannot mend; it stays down until weftd is started again",
			  role->name);
		role->given_up = true;
		return;
	}
	role->wait = ran >= STEADY_MS || !role->wait ? RESTART_MIN_MS :
		     role->wait * 2 < RESTART_MAX_MS ? role->wait * 2 : RESTART_MAX_MS;
	role->restart_at = now_ms() + role->wait;
	if (WIFSIGNALED(status))
		log_warn("role %s was killed by signal %d; starting it again in %u ms", role->name, WTERMSIG(status),
			 role->wait);
	else
		log_warn("role %s ended with status %d; starting it again in %u ms", role->name, WEXITSTATUS(status),
			 role->wait);
}

static void reap(bool stopping)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < N_ROLES; i++)
			if (roles[i].pid == pid)
				role_ended(&roles[i], status, stopping);
}

static unsigned int running(void)
{
	unsigned int n = 0;

	for (size_t i = 0; i < N_ROLES; i++)
		n += roles[i].pid != 0;
	return n;
}

/* The reverse order: the bridge gives its sessions back while the metadata server is there. */
static void stop_all(const sigset_t *signals)
{
	for (size_t i = N_ROLES; i-- > 0;) {
		long until = now_ms() + STOP_MS;

		while (roles[i].pid) {
			struct timespec tick = { .tv_nsec = 100000000 };
			bool late = now_ms() > until;

			kill(roles[i].pid, late ? SIGKILL : SIGTERM);
			sigtimedwait(signals, NULL, &tick);
			reap(true);
		}
	}
}

/* Start what is due; returns the ms until the next one is, or -1. */
static long start_due(const struct conf *conf, const char *path, const sigset_t *old)
{
	long next = -1, now = now_ms();

	for (size_t i = 0; i < N_ROLES; i++) {
		struct role *role = &roles[i];

		if (role->pid || role->given_up || !role->wanted(conf))
			continue;
		if (role->restart_at <= now)
			start_role(role, conf, path, old);
		if (!role->pid && (next < 0 || role->restart_at - now < next))
			next = role->restart_at - now;
	}
	return next;
}

static int supervise(const struct conf *conf, const char *path)
{
	sigset_t signals, old;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, &old);
	for (;;) {
		long wait = start_due(conf, path, &old);
		struct timespec timeout = { .tv_sec = wait / 1000, .tv_nsec = wait % 1000 * 1000000 };
		int sig;

		if (!running() && wait < 0) {
			log_error("no role is left to run");
			return WEFTD_EXIT_FATAL;
		}
		sig = sigtimedwait(&signals, NULL, wait < 0 ? NULL : &timeout);
		reap(false);
		if (sig == SIGTERM || sig == SIGINT) {
			stop_all(&signals);
			return 0;
		}
	}
}

/* Sockets of all roles may lie there: whichever starts first has to find it. What needs it and cannot use it says so. */
static void make_run_folder(const struct conf *conf)
{
	const char *run = conf_text(conf, "cluster", NULL, "run", 0), *name = conf_text(conf, "cluster", NULL, "name", 0);
	char path[4096];

	if (!run || !name)
		return;
	snprintf(path, sizeof(path), "%s/%s", run, name);
	if ((mkdir(run, 0755) && errno != EEXIST) || (mkdir(path, 0755) && errno != EEXIST))
		fprintf(stderr, "weftd: cannot make the folder %s: %s\n", path, strerror(errno));
}

static void usage(FILE *out)
{
	fprintf(out, "usage: weftd [--config FILE] [--role meta|store|bridge] [--log-level error|warn|info|debug] [--check]\n"
		     "\n"
		     "  --config FILE     configuration (default: " DEFAULT_CONF ")\n"
		     "  --role ROLE       be this one role; without it: start and watch all that the configuration calls for\n"
		     "  --log-level L     overrides [log] level\n"
		     "  --check           read the configuration, say what is wrong with it, and end\n"
		     "  --version\n");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "role", required_argument, NULL, 'r' },
		{ "log-level", required_argument, NULL, 'l' }, { "check", no_argument, NULL, 'k' },
		{ "version", no_argument, NULL, 'v' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	const char *path = DEFAULT_CONF, *role = NULL, *level_text = NULL;
	bool check = false;
	char error[1024];
	struct conf *conf;
	int opt, level, ret = 1;

	while ((opt = getopt_long(argc, argv, "c:r:l:", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			path = optarg;
			break;
		case 'r':
			role = optarg;
			break;
		case 'l':
			level_text = optarg;
			break;
		case 'k':
			check = true;
			break;
		case 'v':
			printf("weftd %s\n", WEFT_VERSION);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return WEFTD_EXIT_FATAL;
		}
	}
	if (optind != argc) {
		usage(stderr);
		return WEFTD_EXIT_FATAL;
	}
	conf = conf_load(path, error, sizeof(error));
	if (!conf) {
		fprintf(stderr, "weftd: %s\n", error);
		return WEFTD_EXIT_FATAL;
	}
	level = log_level_parse(level_text ? level_text : conf_text(conf, "log", NULL, "level", 0));
	if (level < 0) {
		fprintf(stderr, "weftd: --log-level %s: must be error, warn, info or debug\n", level_text);
		ret = WEFTD_EXIT_FATAL;
	} else if (check) {
		printf("%s is valid\n", path);
		ret = 0;
	} else if (!role) {
		make_run_folder(conf);
		log_init(STDERR_FILENO, "weftd", (enum log_level)level, true);
		ret = supervise(conf, path);
	} else {
		size_t i = 0;

		while (i < N_ROLES && strcmp(roles[i].name, role))
			i++;
		if (i < N_ROLES) {
			make_run_folder(conf);
			ret = run_role(&roles[i], conf, (enum log_level)level);
		} else {
			fprintf(stderr, "weftd: --role %s: must be meta, store or bridge\n", role);
			ret = WEFTD_EXIT_FATAL;
		}
	}
	conf_free(conf);
	return ret;
}
