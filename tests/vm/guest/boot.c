// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Makes a bare root into a machine: what guest/init needs before it starts anything, in one process, because a fork
 * costs 0.2 s in the debugging kernel under emulation.
 *
 *	agent boot RELEASE RUN OUT
 *
 * RUN/lib/modules/RELEASE becomes /lib/modules/RELEASE, and the programs in OUT appear where an installation puts
 * them. Everything written lands in the overlay in memory. What a kernel may lack (tracefs, cgroup2) is optional.
 */
#include <errno.h>
#include <dirent.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent.h"

static const struct {
	const char *type, *target, *options;
	bool optional;
} mounts[] = {
	{ "proc", "/proc", NULL, false },
	{ "sysfs", "/sys", NULL, false },
	{ "devtmpfs", "/dev", NULL, false },
	{ "devpts", "/dev/pts", "mode=620,ptmxmode=666", false },
	{ "tmpfs", "/dev/shm", "mode=1777", false },
	{ "tmpfs", "/run", "mode=755", false },
	{ "debugfs", "/sys/kernel/debug", NULL, true },
	{ "tracefs", "/sys/kernel/tracing", NULL, true },
	{ "cgroup2", "/sys/fs/cgroup", NULL, true },
};

static const char *const links[][2] = {
	{ "/proc/self/fd", "/dev/fd" },
	{ "/proc/self/fd/0", "/dev/stdin" },
	{ "/proc/self/fd/1", "/dev/stdout" },
	{ "/proc/self/fd/2", "/dev/stderr" },
};

static const char *const folders[] = { "/lib/modules", "/mnt/weft", "/run/lock", "/run/weft-vm", "/run/weft-vm/stores" };

static const char *const programs[][2] = {
	{ "weft", "/usr/bin" },
	{ "weftd", "/usr/bin" },
	{ "mount.weft", "/usr/sbin" },
	{ "umount.weft", "/usr/sbin" },
};

static void link_make(const char *target, const char *path)
{
	unlink(path);
	if (symlink(target, path))
		agent_die(path);
}

/* No udev here: the channels are found by the names that the kernel shows. */
static void channels_link(void)
{
	DIR *ports = opendir("/sys/class/virtio-ports");
	const struct dirent *entry;

	if (!ports)
		agent_die("/sys/class/virtio-ports");
	mkdir("/dev/virtio-ports", 0755);
	while ((entry = readdir(ports)) != NULL) {
		char path[512], name[256] = "", target[512];
		FILE *file;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
		file = fopen(path, "re");
		if (!file || !fgets(name, sizeof(name), file))
			agent_die(path);
		fclose(file);
		name[strcspn(name, "\n")] = '\0';
		snprintf(path, sizeof(path), "/dev/virtio-ports/%s", name);
		snprintf(target, sizeof(target), "/dev/%s", entry->d_name);
		link_make(target, path);
	}
	closedir(ports);
}

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request))
		agent_die("lo");
	request.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &request))
		agent_die("lo");
	close(fd);
}

static void programs_link(const char *out)
{
	char target[4096], path[512];
	size_t i;

	for (i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		snprintf(target, sizeof(target), "%s/%s", out, programs[i][0]);
		snprintf(path, sizeof(path), "%s/%s", programs[i][1], programs[i][0]);
		if (!access(target, X_OK))
			link_make(target, path);
	}
}

int agent_boot(const char *release, const char *run, const char *out)
{
	char source[4096], target[4096];
	size_t i;

	umask(022);
	for (i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].target, 0755);
		if (mount(mounts[i].type, mounts[i].target, mounts[i].type, 0, mounts[i].options) && !mounts[i].optional)
			agent_die(mounts[i].target);
	}
	for (i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		link_make(links[i][0], links[i][1]);
	for (i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (mkdir(folders[i], 0755) && errno != EEXIST)
			agent_die(folders[i]);
	channels_link();

	snprintf(source, sizeof(source), "%s/lib/modules/%s", run, release);
	snprintf(target, sizeof(target), "/lib/modules/%s", release);
	mkdir(target, 0755);
	if (mount(source, target, NULL, MS_BIND, NULL))
		agent_die(target);
	programs_link(out);
	loopback_up();
	if (sethostname("weft-vm", strlen("weft-vm")))
		agent_die("hostname");
	return 0;
}
