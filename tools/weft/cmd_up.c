// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_up.c - weft up, weft down: a cluster of one machine
 *
 * `up` writes a configuration if there is none, starts weftd (by systemd where it runs), creates the volume and mounts it;
 * each step that is done already is skipped, so it may be repeated. `down` is the mirror and deletes nothing. What was
 * done is told step by step, or, with --json, at the end as an array of objects, also when a later step failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <mntent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conf/conf.h"
#include "weft.h"

#define CONF_FOLDER  "/etc/weft"
#define CONF_PATH    CONF_FOLDER "/weft.conf"
#define STATE_FOLDER "/var/lib/weft"
#define LOG_FOLDER   "/var/log/weft"
#define STORES_MAX   256
#define START_S      60

struct plan {
	const char *stores[STORES_MAX];
	size_t n_stores;
	const char *cluster, *volume, *mount;
	unsigned int k, m; /* 0 0: as the stores allow */
};

/* --- telling ----------------------------------------------------------------------------------------------------------- */

/* What was done, with its fields, which are taken: said at once, or kept in steps for steps_end() if there are any. */
__attribute__((format(printf, 3, 4))) static void step_done(json_t *steps, json_t *step, const char *fmt, ...)
{
	char text[8192];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (!steps) {
		puts(text);
		fflush(stdout);
		json_decref(step);
		return;
	}
	json_object_set_new(step, "text", json_string(text));
	json_array_append_new(steps, step);
}

static json_t *steps_begin(const struct options *options)
{
	return options->json ? json_array() : NULL;
}

/* hint: what a person may want to do next, NULL: nothing. */
static void steps_end(json_t *steps, const char *hint)
{
	if (steps) {
		json_dumpf(steps, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(steps);
	} else if (hint) {
		puts(hint);
	}
}

/* --- doing ------------------------------------------------------------------------------------------------------------- */

/* Run a program; its exit status, or 127. */
static int run_program(const char *const argv[])
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		execvp(argv[0], (char *const *)argv);
		fail("cannot run %s: %s", argv[0], strerror(errno));
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

static bool systemd_runs(void)
{
	return !access("/run/systemd/system", F_OK);
}

static int make_folder(const char *path, mode_t mode)
{
	char copy[4096];

	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
		return fail("%s: the path is too long", path);
	for (char *at = copy + 1; *at; at++) {
		if (*at != '/')
			continue;
		*at = 0;
		if (mkdir(copy, 0755) && errno != EEXIST)
			return fail("cannot make the folder %s: %s", copy, strerror(errno));
		*at = '/';
	}
	if (mkdir(copy, mode) && errno != EEXIST)
		return fail("cannot make the folder %s: %s", copy, strerror(errno));
	return 0;
}

static void pause_ms(long ms)
{
	struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&pause, NULL);
}

/* --- configuration ------------------------------------------------------------------------------------------------------ */

static int write_conf(const struct plan *plan, json_t *steps)
{
	FILE *file;

	if (!plan->n_stores)
		return fail("there is no cluster on this machine yet: say where its data may lie, 'weft up --store DIRECTORY'");
	if (make_folder(CONF_FOLDER, 0755) || make_folder(STATE_FOLDER "/meta", 0700))
		return 1;
	file = fopen(CONF_PATH, "wxe");
	if (!file)
		return fail("cannot write %s: %s", CONF_PATH, strerror(errno));
	fprintf(file, "# Written by 'weft up'. The manual is weft.conf(5).\n"
		      "[cluster]\nname = %s\n\n"
		      "[meta]\nlisten = unix:/run/weft/%s/meta.sock\naddress = unix:/run/weft/%s/meta.sock\n"
		      "path = " STATE_FOLDER "/meta\n\n"
		      "[store]\nlisten = unix:/run/weft/%s/store.sock\n",
		plan->cluster, plan->cluster, plan->cluster, plan->cluster);
	for (size_t i = 0; i < plan->n_stores; i++)
		fprintf(file, "path = %s\n", plan->stores[i]);
	if (fflush(file) || fsync(fileno(file)) || fclose(file))
		return fail("cannot write %s: %s", CONF_PATH, strerror(errno));
	step_done(steps, json_pack("{s:s, s:s}", "step", "configured", "path", CONF_PATH), "wrote %s", CONF_PATH);
	return 0;
}

static bool has_store(const struct conf *conf, const char *path)
{
	for (size_t i = 0; i < conf_count(conf, "store", NULL, "path"); i++)
		if (!strcmp(conf_text(conf, "store", NULL, "path", i), path))
			return true;
	return false;
}

static int add_stores(const struct conf *conf, const struct plan *plan, json_t *steps)
{
	FILE *file = NULL;

	for (size_t i = 0; i < plan->n_stores; i++) {
		if (has_store(conf, plan->stores[i]))
			continue;
		if (!file)
			file = fopen(CONF_PATH, "ae");
		if (!file)
			return fail("cannot write %s: %s", CONF_PATH, strerror(errno));
		fprintf(file, "\n[store]\npath = %s\n", plan->stores[i]);
		step_done(steps, json_pack("{s:s, s:s}", "step", "store-added", "path", plan->stores[i]),
			  "added the store %s to %s", plan->stores[i], CONF_PATH);
	}
	if (file && (fflush(file) || fsync(fileno(file)) || fclose(file)))
		return fail("cannot write %s: %s", CONF_PATH, strerror(errno));
	return 0;
}

static struct conf *have_conf(const struct plan *plan, json_t *steps)
{
	char error[1024];
	struct conf *conf;

	if (access(CONF_PATH, F_OK) && write_conf(plan, steps))
		return NULL;
	for (size_t i = 0; i < plan->n_stores; i++)
		if (make_folder(plan->stores[i], 0700))
			return NULL;
	conf = conf_load(CONF_PATH, error, sizeof(error));
	if (!conf) {
		fail("%s", error);
		return NULL;
	}
	if (add_stores(conf, plan, steps)) {
		conf_free(conf);
		return NULL;
	}
	conf_free(conf);
	conf = conf_load(CONF_PATH, error, sizeof(error));
	if (!conf)
		fail("%s", error);
	return conf;
}

/* --- the daemon ------------------------------------------------------------------------------------------------------------ */

static void pid_path(const struct conf *conf, char path[512])
{
	snprintf(path, 512, "%s/%s/weftd.pid", conf_text(conf, "cluster", NULL, "run", 0),
		 conf_text(conf, "cluster", NULL, "name", 0));
}

static pid_t running_pid(const struct conf *conf)
{
	char path[512], comm[64] = "", proc[64];
	FILE *file;
	int pid = 0;

	pid_path(conf, path);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%d", &pid) != 1)
		pid = 0;
	fclose(file);
	snprintf(proc, sizeof(proc), "/proc/%d/comm", pid);
	file = pid > 0 ? fopen(proc, "re") : NULL;
	if (!file)
		return 0;
	if (!fgets(comm, sizeof(comm), file))
		comm[0] = 0;
	fclose(file);
	return strncmp(comm, "weftd", 5) ? 0 : pid;
}

static int spawn_daemon(const struct conf *conf, json_t *steps)
{
	char path[512], folder[512];
	FILE *file;
	pid_t pid;
	int log;

	if (running_pid(conf))
		return 0;
	snprintf(folder, sizeof(folder), "%s/%s", conf_text(conf, "cluster", NULL, "run", 0),
		 conf_text(conf, "cluster", NULL, "name", 0));
	if (make_folder(folder, 0755) || make_folder(LOG_FOLDER, 0750))
		return 1;
	log = open(LOG_FOLDER "/weftd.log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (log < 0)
		return fail("cannot write %s: %s", LOG_FOLDER "/weftd.log", strerror(errno));
	pid = fork();
	if (!pid) {
		int null = open("/dev/null", O_RDONLY);

		setsid();
		dup2(null, 0);
		dup2(log, 1);
		dup2(log, 2);
		execlp("weftd", "weftd", "--config", CONF_PATH, (char *)NULL);
		fprintf(stderr, "weft: cannot run weftd: %s\n", strerror(errno));
		_exit(127);
	}
	close(log);
	if (pid < 0)
		return fail("cannot start weftd: %s", strerror(errno));
	pid_path(conf, path);
	file = fopen(path, "we");
	if (!file || fprintf(file, "%d\n", (int)pid) < 0 || fclose(file))
		return fail("cannot write %s: %s", path, strerror(errno));
	step_done(steps, json_pack("{s:s, s:i, s:s}", "step", "started", "pid", (int)pid, "log", LOG_FOLDER "/weftd.log"),
		  "started weftd  pid=%d log=%s", (int)pid, LOG_FOLDER "/weftd.log");
	return 0;
}

static int start_daemon(const struct conf *conf, json_t *steps)
{
	static const char *const start[] = { "systemctl", "enable", "--quiet", "--now", "weftd.service", NULL };

	if (!systemd_runs())
		return spawn_daemon(conf, steps);
	if (run_program(start))
		return fail("weftd did not start: 'journalctl -u weftd' says why");
	return 0;
}

/* --- up --------------------------------------------------------------------------------------------------------------------- */

/* The widest that so many stores carry, with parity that grows with them: 1+0, 1+1, 2+1, 2+2 .. 5+2, 6+2, 6+3. */
static void choose_redundancy(size_t stores, unsigned int *k, unsigned int *m)
{
	*m = stores >= 9 ? 3 : stores >= 4 ? 2 : stores >= 2 ? 1 : 0;
	*k = stores - *m < 6 ? (unsigned int)(stores - *m) : 6;
}

static int have_volume(struct admin *admin, const struct plan *plan, size_t stores, json_t *steps)
{
	char survives[128] = "a single copy; give more stores with --store for redundancy";
	unsigned int k = plan->k, m = plan->m;
	json_t *list = admin_call(admin, "volume list", NULL), *volumes, *volume, *answer;
	size_t i;

	if (!list)
		return 1;
	volumes = json_is_array(list) ? list : json_object_get(list, "volumes");
	json_array_foreach(volumes, i, volume)
		if (!strcmp(json_text(volume, "name"), plan->volume)) {
			json_decref(list);
			return 0;
		}
	json_decref(list);
	if (!k)
		choose_redundancy(stores, &k, &m);
	answer = admin_call(admin, "volume create",
			    json_pack("{s:s,s:i,s:i}", "name", plan->volume, "k", (int)k, "m", (int)m));
	if (!answer)
		return 1;
	json_decref(answer);
	if (m)
		snprintf(survives, sizeof(survives),
			 "it survives the loss of any %u of its stores, but not of this machine", m);
	step_done(steps, json_pack("{s:s, s:s, s:i, s:i}", "step", "volume-created", "volume", plan->volume, "k", (int)k,
				   "m", (int)m),
		  "created the volume %s with %u+%u: %s", plan->volume, k, m, survives);
	return 0;
}

static bool mounted(const char *directory)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *entry;
	bool found = false;

	while (mounts && !found && (entry = getmntent(mounts)))
		found = !strcmp(entry->mnt_type, "weft") && !strcmp(entry->mnt_dir, directory);
	if (mounts)
		endmntent(mounts);
	return found;
}

/* The bridge binds a moment after the metadata server answers; the last try says what is wrong. */
static int have_mount(const struct plan *plan, json_t *steps)
{
	char source[512];
	const char *const quiet[] = { "sh", "-c", "exec mount -t weft \"$0\" \"$1\" 2>/dev/null", source, plan->mount, NULL };
	const char *const loud[] = { "mount", "-t", "weft", source, plan->mount, NULL };

	snprintf(source, sizeof(source), "%s:%s", plan->cluster, plan->volume);
	if (mounted(plan->mount))
		return 0;
	if (make_folder(plan->mount, 0755))
		return 1;
	for (int tries = 0; tries < 50; tries++) {
		if (!run_program(quiet))
			goto done;
		pause_ms(200);
	}
	if (run_program(loud))
		return 1;
done:
	step_done(steps, json_pack("{s:s, s:s, s:s}", "step", "mounted", "source", source, "directory", plan->mount),
		  "mounted %s on %s", source, plan->mount);
	return 0;
}

static int do_up(const struct options *options, struct plan *plan, json_t *steps)
{
	struct options own = *options;
	struct conf *conf = have_conf(plan, steps);
	struct admin *admin = NULL;
	char condition[32];
	size_t stores;
	int ret = 1;

	if (!conf)
		return 1;
	plan->cluster = conf_text(conf, "cluster", NULL, "name", 0);
	own.cluster = plan->cluster;
	stores = conf_count(conf, "store", NULL, "path");
	if (start_daemon(conf, steps))
		goto out;
	snprintf(condition, sizeof(condition), "stores=%zu", stores);
	if (status_wait(&own, condition, START_S))
		goto out;
	admin = admin_open(&own);
	if (!admin || have_volume(admin, plan, stores, steps) || have_mount(plan, steps))
		goto out;
	ret = 0;
out:
	admin_close(admin);
	conf_free(conf);
	return ret;
}

static bool name_valid(const char *name)
{
	return *name && strlen(name) <= 63 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == strlen(name);
}

static int run_up(const struct options *options, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "store", required_argument, NULL, 's' }, { "name", required_argument, NULL, 'n' },
		{ "volume", required_argument, NULL, 'v' }, { "mount", required_argument, NULL, 'm' },
		{ "redundancy", required_argument, NULL, 'r' }, { 0 },
	};
	struct plan plan = { .cluster = "weft", .volume = "main", .mount = "/mnt/weft" };
	json_t *steps;
	char behind;
	int opt, ret;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (opt) {
		case 's':
			if (*optarg != '/')
				return fail("--store %s: give the path from the root", optarg);
			if (plan.n_stores == STORES_MAX)
				return fail("more than %d stores at once: add the rest with another 'weft up'", STORES_MAX);
			plan.stores[plan.n_stores++] = optarg;
			break;
		case 'n':
			plan.cluster = optarg;
			break;
		case 'v':
			plan.volume = optarg;
			break;
		case 'm':
			plan.mount = optarg;
			break;
		case 'r':
			if (sscanf(optarg, "%u+%u%c", &plan.k, &plan.m, &behind) != 2 || !plan.k || plan.k > 32 ||
			    plan.m > 32 - plan.k)
				return fail("--redundancy %s: write K+M, such as 6+3, at most 32 together", optarg);
			break;
		default:
			return usage_error(&cmd_up);
		}
	}
	if (optind != argc)
		return usage_error(&cmd_up);
	if (!name_valid(plan.cluster) || !name_valid(plan.volume))
		return fail("names of clusters and volumes have at most 63 lower-case letters, digits, '-' and '_'");
	if (geteuid())
		return fail("this needs root: try 'sudo weft up ...'");
	steps = steps_begin(options);
	ret = do_up(options, &plan, steps);
	steps_end(steps, ret ? NULL : "'weft status' shows how it is, 'weft down' ends it");
	return ret;
}

/* --- down ---------------------------------------------------------------------------------------------------------------------- */

/* Each weft mount of this machine, last mounted first. */
static int unmount_all(json_t *steps)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	char *folders[256];
	struct mntent *entry;
	size_t n = 0;
	int ret = 0;

	while (mounts && n < 256 && (entry = getmntent(mounts)))
		if (!strcmp(entry->mnt_type, "weft"))
			folders[n++] = strdup(entry->mnt_dir);
	if (mounts)
		endmntent(mounts);
	while (n-- > 0) {
		const char *const umount[] = { "umount", folders[n], NULL };

		if (run_program(umount))
			ret = 1;
		else
			step_done(steps, json_pack("{s:s, s:s}", "step", "unmounted", "directory", folders[n]),
				  "unmounted %s", folders[n]);
		free(folders[n]);
	}
	return ret;
}

static int stop_spawned(const struct conf *conf, json_t *steps)
{
	pid_t pid = running_pid(conf);
	char path[512];

	if (!pid)
		return 0;
	kill(pid, SIGTERM);
	for (int tries = 0; tries < 600 && !kill(pid, 0); tries++)
		pause_ms(100);
	if (!kill(pid, 0))
		return fail("weftd does not end  pid=%d", (int)pid);
	pid_path(conf, path);
	unlink(path);
	step_done(steps, json_pack("{s:s, s:i}", "step", "stopped", "pid", (int)pid), "stopped weftd");
	return 0;
}

static int run_down(const struct options *options, int argc, char **argv)
{
	static const char *const stop[] = { "systemctl", "disable", "--quiet", "--now", "weftd.service", NULL };
	char error[1024];
	struct conf *conf;
	json_t *steps;
	int ret;

	(void)argv;
	if (argc != 1)
		return usage_error(&cmd_down);
	if (geteuid())
		return fail("this needs root: try 'sudo weft down'");
	if (access(CONF_PATH, F_OK))
		return fail("there is no cluster on this machine: %s does not exist", CONF_PATH);
	conf = conf_load(CONF_PATH, error, sizeof(error));
	if (!conf)
		return fail("%s", error);
	steps = steps_begin(options);
	ret = unmount_all(steps);
	if (ret)
		fail("weftd goes on, because something is still mounted");
	else if (systemd_runs())
		ret = run_program(stop) ? fail("weftd did not stop: 'journalctl -u weftd' says why") : 0;
	else
		ret = stop_spawned(conf, steps);
	steps_end(steps, ret ? NULL : "the data stays where it is; 'weft up' brings it back");
	conf_free(conf);
	return ret;
}

const struct command cmd_up = {
	.name = "up", .run = run_up,
	.usage = "[--store DIRECTORY]... [--name CLUSTER] [--volume NAME] [--redundancy K+M] [--mount DIRECTORY]",
	.help = "start a cluster of this one machine, create a volume and mount it",
};
const struct command cmd_down = {
	.name = "down", .run = run_down, .usage = "", .help = "unmount and stop; deletes nothing",
};
