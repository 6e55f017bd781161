// SPDX-License-Identifier: GPL-2.0-or-later
/* keyring.c - a volume's keys in the kernel: its logon key, and the mounts that use it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "keyring.h"
#include "weft.h"

static long keyctl(int op, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	return syscall(SYS_keyctl, op, a, b, c, d);
}

void keyring_description(const char *cluster, const char *volume, char *text, size_t size)
{
	snprintf(text, size, "weft:%s:%s", cluster, volume);
}

/*
 * The key is linked to the user's keyring, which outlives this process; to be found by the kernel it has to be in the
 * session's as well, which a new one is made for.
 */
static int keyring_join(void)
{
	if (keyctl(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) < 0 ||
	    keyctl(KEYCTL_LINK, (unsigned long)KEY_SPEC_USER_KEYRING, (unsigned long)KEY_SPEC_SESSION_KEYRING, 0, 0) < 0)
		return -errno;
	return 0;
}

int keyring_add(const char *description, const struct weft_key_ring *ring, size_t len)
{
	if (syscall(SYS_add_key, "logon", description, ring, len, KEY_SPEC_USER_KEYRING) < 0)
		return -errno;
	return keyring_join();
}

static long keyring_find(const char *description)
{
	return keyctl(KEYCTL_SEARCH, (unsigned long)KEY_SPEC_USER_KEYRING, (unsigned long)"logon", (unsigned long)description, 0);
}

bool keyring_has(const char *description)
{
	return keyring_find(description) >= 0;
}

int keyring_del(const char *description)
{
	long id;

	/* Who does not possess the key may not revoke it. */
	keyring_join();
	id = keyring_find(description);
	if (id < 0)
		return errno == ENOKEY || errno == EKEYREVOKED || errno == EKEYEXPIRED ? 0 : -errno;
	keyctl(KEYCTL_REVOKE, (unsigned long)id, 0, 0, 0);
	return keyctl(KEYCTL_UNLINK, (unsigned long)id, (unsigned long)KEY_SPEC_USER_KEYRING, 0, 0) < 0 ? -errno : 0;
}

/* The next field of a line of mountinfo, its octal escapes undone. */
static char *field_next(char **at)
{
	char *field = strsep(at, " "), *to = field, *from = field;

	if (!field)
		return NULL;
	for (; *from; to++) {
		if (from[0] == '\\' && from[1] && from[2] && from[3]) {
			*to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = 0;
	return field;
}

/* Is the line a mount of the volume? Then its path. */
static char *line_path(char *line, const char *cluster, const char *volume)
{
	char *at = line, *path = NULL, *field, *type, *source, *colon;

	line[strcspn(line, "\n")] = 0;
	for (unsigned int i = 0; i < 5; i++)
		path = field_next(&at);
	while ((field = field_next(&at)) && strcmp(field, "-"))
		;
	type = field_next(&at);
	source = field_next(&at);
	if (!path || !type || !source || strcmp(type, "weft"))
		return NULL;
	colon = strchr(source, ':');
	if (colon && cluster && (strncmp(source, cluster, (size_t)(colon - source)) || cluster[colon - source]))
		return NULL;
	return strcmp(colon ? colon + 1 : source, volume) ? NULL : path;
}

int keyring_each_mount(const char *cluster, const char *volume, int (*visit)(int fd, const char *path, void *data), void *data)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[2 * PATH_MAX];
	int ret = 0;

	if (!file)
		return -errno;
	while (!ret && fgets(line, sizeof(line), file)) {
		char *path = line_path(line, cluster, volume);
		int fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

		if (path && fd < 0)
			ret = -errno;
		else if (path)
			ret = visit(fd, path, data);
		if (fd >= 0)
			close(fd);
	}
	fclose(file);
	return ret;
}
