// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mount.weft - what mount(8) calls for `mount -t weft [CLUSTER:]VOLUME DIRECTORY`
 *
 * Loads the module, mounts by the kernel's file system context calls and passes on the sentence that the kernel has for a
 * refusal: which is where "no daemon", "unknown volume" and "wrong option" are told apart. Exit status as mount(8) has it:
 * 0 done, 1 wrong call or not permitted, 32 the mount failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/keyctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_USAGE 1
#define EXIT_FAILED 32

/* Options that are mount attributes, not the file system's: set or cleared. */
static const struct attribute {
	const char *name;
	unsigned long set, clear;
} attributes[] = {
	{ "ro", MOUNT_ATTR_RDONLY, 0 },          { "rw", 0, MOUNT_ATTR_RDONLY },
	{ "nosuid", MOUNT_ATTR_NOSUID, 0 },      { "suid", 0, MOUNT_ATTR_NOSUID },
	{ "nodev", MOUNT_ATTR_NODEV, 0 },        { "dev", 0, MOUNT_ATTR_NODEV },
	{ "noexec", MOUNT_ATTR_NOEXEC, 0 },      { "exec", 0, MOUNT_ATTR_NOEXEC },
	{ "noatime", MOUNT_ATTR_NOATIME, 0 },    { "relatime", 0, MOUNT_ATTR_NOATIME },
	{ "nodiratime", MOUNT_ATTR_NODIRATIME, 0 }, { "nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0 },
	{ "defaults", 0, 0 },                    { "_netdev", 0, 0 },
	{ "auto", 0, 0 },                        { "noauto", 0, 0 },
	{ "nofail", 0, 0 },                      { "nouser", 0, 0 },
	{ "atime", 0, MOUNT_ATTR_NOATIME },
};

static bool verbose;

static bool known_to_kernel(void)
{
	FILE *file = fopen("/proc/filesystems", "r");
	char line[128];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = strstr(line, "\tweft\n");
	if (file)
		fclose(file);
	return found;
}

static int load_module(void)
{
	int status = -1;
	pid_t pid;

	if (known_to_kernel())
		return 0;
	if (verbose)
		fprintf(stderr, "mount.weft: loading the kernel module\n");
	pid = fork();
	if (!pid) {
		execlp("modprobe", "modprobe", "-q", "weft", (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	if (known_to_kernel())
		return 0;
	fprintf(stderr, "mount.weft: the kernel module weft cannot be loaded; 'dkms status weft' says whether it is built for "
			"this kernel, 'modprobe weft' why it does not load%s\n",
		geteuid() ? " (only root may load it)" : "");
	return -1;
}

/* The kernel's own words for the last refusal: lines "e text". */
static void print_refusal(int context, const char *source, int err)
{
	char message[1024];
	bool said = false;
	ssize_t n;

	while ((n = read(context, message, sizeof(message) - 1)) > 0) {
		message[n] = 0;
		if (n > 2 && message[0] == 'e') {
			message[strcspn(message, "\n")] = 0;
			fprintf(stderr, "mount.weft: %s: %s\n", source, message + 2);
			said = true;
		}
	}
	if (!said)
		fprintf(stderr, "mount.weft: %s: %s\n", source, err == EPERM ? "only root may mount" : strerror(err));
}

static int set_option(int context, char *option)
{
	char *value = strchr(option, '=');

	if (value)
		*value++ = 0;
	return value ? fsconfig(context, FSCONFIG_SET_STRING, option, value, 0) :
	       fsconfig(context, FSCONFIG_SET_FLAG, option, NULL, 0);
}

static const struct attribute *find_attribute(const char *option)
{
	for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++)
		if (!strcmp(attributes[i].name, option))
			return &attributes[i];
	return NULL;
}

/* Splits options into the file system's, which are set, and attributes, which are returned; -1 after a refusal. */
static int set_options(int context, char *options, unsigned long *attrs)
{
	for (char *option; (option = strsep(&options, ","));) {
		const struct attribute *attribute = find_attribute(option);

		if (!*option || !strcmp(option, "remount") || !strncmp(option, "x-", 2) || !strncmp(option, "comment=", 8))
			continue;
		if (attribute)
			*attrs = (*attrs & ~attribute->clear) | attribute->set;
		if (attribute && strcmp(option, "ro") && strcmp(option, "rw"))
			continue;
		if (attribute && !strcmp(option, "rw"))
			continue;
		if (set_option(context, option))
			return -1;
	}
	return 0;
}

/*
 * The kernel looks for the keys of an encrypted volume in the keyrings of this process. 'weft key load' puts them into the
 * user's, which a session's need not lead to: a service's does not. Where there are no keyrings there are no keys.
 */
static void join_user_keyring(void)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) >= 0)
		syscall(SYS_keyctl, KEYCTL_LINK, KEY_SPEC_USER_KEYRING, KEY_SPEC_SESSION_KEYRING, 0, 0);
}

static int do_mount(const char *source, const char *directory, char *options, bool fake, bool sloppy)
{
	unsigned long attrs = 0;
	int context, mounted;

	(void)sloppy;
	context = fsopen("weft", FSOPEN_CLOEXEC);
	if (context < 0) {
		fprintf(stderr, "mount.weft: %s\n", errno == EPERM ? "only root may mount" : strerror(errno));
		return errno == EPERM ? EXIT_USAGE : EXIT_FAILED;
	}
	if (fsconfig(context, FSCONFIG_SET_STRING, "source", source, 0) || set_options(context, options, &attrs)) {
		print_refusal(context, source, errno);
		return EXIT_FAILED;
	}
	if (fake)
		return 0;
	join_user_keyring();
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) {
		print_refusal(context, source, errno);
		return EXIT_FAILED;
	}
	mounted = fsmount(context, FSMOUNT_CLOEXEC, (unsigned int)attrs);
	if (mounted < 0) {
		print_refusal(context, source, errno);
		return EXIT_FAILED;
	}
	if (move_mount(mounted, "", AT_FDCWD, directory, MOVE_MOUNT_F_EMPTY_PATH)) {
		fprintf(stderr, "mount.weft: cannot mount on %s: %s\n", directory, strerror(errno));
		return EXIT_FAILED;
	}
	return 0;
}

/* mount(8) hands over all options, those that stay as they are included: what is not among them is off. */
static int do_remount(const char *source, const char *directory, char *options)
{
	struct mount_attr attr = { 0 };
	unsigned long attrs = 0;
	int context = fspick(AT_FDCWD, directory, FSPICK_CLOEXEC);

	if (context < 0) {
		fprintf(stderr, "mount.weft: %s: %s\n", directory, errno == EPERM ? "only root may mount" : strerror(errno));
		return errno == EPERM ? EXIT_USAGE : EXIT_FAILED;
	}
	if (set_options(context, options, &attrs) ||
	    (!(attrs & MOUNT_ATTR_RDONLY) && fsconfig(context, FSCONFIG_SET_FLAG, "rw", NULL, 0)) ||
	    fsconfig(context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0)) {
		print_refusal(context, source, errno);
		return EXIT_FAILED;
	}
	attr.attr_set = attrs;
	for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++)
		attr.attr_clr |= attributes[i].set & ~attrs;
	/* One field of which the kernel wants all bits cleared, whatever is set. */
	attr.attr_clr |= MOUNT_ATTR__ATIME;
	if (mount_setattr(AT_FDCWD, directory, 0, &attr, sizeof(attr))) {
		fprintf(stderr, "mount.weft: cannot change the options of %s: %s\n", directory, strerror(errno));
		return EXIT_FAILED;
	}
	return 0;
}

static bool has_option(const char *options, const char *name)
{
	size_t len = strlen(name);

	for (; options; options = strchr(options, ',')) {
		options += *options == ',';
		if (!strncmp(options, name, len) && (!options[len] || options[len] == ','))
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	const char *source, *directory;
	char options[4096] = "";
	bool fake = false, sloppy = false;
	int opt;

	/* mount(8) calls: mount.weft SOURCE DIRECTORY [-sfnvr] [-N namespace] [-o options] [-t type.subtype] */
	while ((opt = getopt(argc, argv, "sfnvrhN:o:t:")) != -1) {
		size_t len = strlen(options);

		switch (opt) {
		case 's':
			sloppy = true;
			break;
		case 'f':
			fake = true;
			break;
		case 'v':
			verbose = true;
			break;
		case 'r':
			snprintf(options + len, sizeof(options) - len, "%sro", len ? "," : "");
			break;
		case 'o':
			if (snprintf(options + len, sizeof(options) - len, "%s%s", len ? "," : "", optarg) >=
			    (int)(sizeof(options) - len)) {
				fprintf(stderr, "mount.weft: the options are too long\n");
				return EXIT_USAGE;
			}
			break;
		case 'n':
		case 'N':
		case 't':
			break;
		default:
			fprintf(stderr, "usage: mount.weft [CLUSTER:]VOLUME DIRECTORY [-fnrsv] [-o OPTION,...]\n");
			return EXIT_USAGE;
		}
	}
	if (argc - optind != 2) {
		fprintf(stderr, "usage: mount.weft [CLUSTER:]VOLUME DIRECTORY [-fnrsv] [-o OPTION,...]\n");
		return EXIT_USAGE;
	}
	source = argv[optind];
	directory = argv[optind + 1];
	if (load_module())
		return EXIT_FAILED;
	if (has_option(options, "remount"))
		return do_remount(source, directory, options);
	return do_mount(source, directory, options, fake, sloppy);
}
