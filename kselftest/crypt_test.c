// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Encrypted volumes against a daemon that lies about them, and keys that make no sense or are not
 * there: which mounts are refused, what is not read, and what can be done without the key.
 */
#include "harness.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "weft_key.h"

#define SIZE 65536

static struct fake_meta *meta;
static struct fake_server *server;

static void start(void)
{
	meta = fake_meta_new();
	server = fake_serve(meta, NULL, NULL);
}

static void end(void)
{
	fake_serve_end(server);
	fake_meta_free(meta);
}

static const char *below(const char *name)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", mount_point, name);
	return path;
}

/* --- keys */

struct ring {
	struct weft_key_ring head;
	struct weft_key_plain keys[WEFT_KEYS_MAX + 1];
};

/* Keys with these ids, of which the last is all "fill". */
static void ring_make(struct ring *ring, const char *volume, uint32_t n, uint32_t first, char fill)
{
	memset(ring, 0, sizeof(*ring));
	ring->head.magic = htole32(WEFT_KEY_RING_MAGIC);
	ring->head.keys = htole32(n);
	memcpy(ring->head.volume, volume, sizeof(ring->head.volume));
	for (uint32_t i = 0; i < n; i++) {
		ring->keys[i].id = htole32(first + i);
		memset(ring->keys[i].key, fill, sizeof(ring->keys[i].key));
	}
}

/* Gives it to this process alone. It replaces what was there before. */
static long key_add(const void *ring, size_t len)
{
	char name[64] = "weft:", *at = name + 5;
	long key;

	for (unsigned int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		at += sprintf(at, "%02x", fake_uuid[i]);
	}
	strcpy(at, ":home");
	key = syscall(SYS_add_key, "logon", name, ring, len, KEY_SPEC_PROCESS_KEYRING);
	if (key < 0 && errno == ENOSYS)
		test_skip("this kernel has no keyrings");
	CHECK(key > 0, "%s", strerror(errno));
	return key;
}

static const char volume_uuid[] = "a fake volume...";

static long key_load(uint32_t n, char fill)
{
	struct ring ring;

	ring_make(&ring, volume_uuid, n, 1, fill);
	return key_add(&ring, sizeof(ring.head) + n * sizeof(ring.keys[0]));
}

static void key_revoke(long key)
{
	CHECK(!syscall(SYS_keyctl, KEYCTL_REVOKE, key, 0, 0, 0));
}

/* --- mounts, with what is said about them */

static int mount_says(const char *sentence)
{
	int context = syscall(SYS_fsopen, "weft", 0), error = 0;
	char text[512];
	ssize_t len;
	bool said = false;

	CHECK(context >= 0);
	CHECK(!syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "source", "fake:home", 0));
	CHECK(syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0);
	error = -errno;
	while ((len = read(context, text, sizeof(text) - 1)) > 0) {
		text[len - 1] = '\0';
		printf("# %s\n", text);
		said |= !!strstr(text, sentence);
	}
	close(context);
	CHECK(said, "%s: %d", sentence, error);
	CHECK(!fake_meta_sessions(meta));
	return error;
}

static void keys_say_that_a_volume_is_encrypted(void)
{
	struct ring ring;

	start();
	key_load(1, 'k');
	CHECK(mount_says("this host has keys of it, but the metadata service says that it is not encrypted") ==
	      -EKEYREJECTED);
	fake_meta_cipher(meta, WEFT_CIPHER_AES256_GCM, 0);
	ring_make(&ring, "another volume..", 1, 1, 'k');
	key_add(&ring, sizeof(ring.head) + sizeof(ring.keys[0]));
	CHECK(mount_says("says that it is another volume") == -EKEYREJECTED);
	key_load(1, 'k');
	CHECK(!mount_volume(NULL));
	CHECK(!unmount(0));
	/* What a daemon may not say of an encrypted volume. */
	fake_meta_cipher(meta, WEFT_CIPHER_AES256_GCM, 2000);
	CHECK(mount_volume(NULL) == -EPROTO);
	fake_meta_cipher(meta, WEFT_CIPHER_AES256_GCM + 1, 0);
	CHECK(mount_says("cipher") == -EOPNOTSUPP);
	fake_meta_cipher(meta, WEFT_CIPHER_AES256_GCM, 0);
	fake_meta_setting(meta, 1);
	CHECK(mount_volume(NULL) == -EOPNOTSUPP);
	fake_meta_setting(meta, 0);
	fake_meta_cipher(meta, 0x80000001u, 0);
	CHECK(mount_volume(NULL) == -EOPNOTSUPP);
	CHECK(!fake_meta_sessions(meta));
	end();
}

static void keys_that_make_no_sense(void)
{
	const size_t one = sizeof(struct weft_key_ring) + sizeof(struct weft_key_plain);
	struct ring ring;

	start();
	fake_meta_cipher(meta, WEFT_CIPHER_AES256_GCM, 0);
	for (unsigned int i = 0; i < 9; i++) {
		size_t len = one;

		ring_make(&ring, volume_uuid, 1, 1, 'k');
		switch (i) {
		case 0:
			len = 1;
			break;
		case 1:
			len = sizeof(ring.head);
			break;
		case 2:
			len = one - 1;
			break;
		case 3:
			len = one + 1;
			break;
		case 4:
			ring.head.magic = 0;
			break;
		case 5:
			ring.head.keys = htole32(0xffffffff);
			break;
		case 6:
			ring.keys[0].id = 0;
			break;
		case 7: /* twice the same id */
			ring_make(&ring, volume_uuid, 2, 5, 'k');
			ring.keys[1].id = ring.keys[0].id;
			len += sizeof(ring.keys[0]);
			break;
		default:
			ring_make(&ring, volume_uuid, WEFT_KEYS_MAX + 1, 1, 'k');
			len = sizeof(ring);
		}
		key_add(&ring, len);
		CHECK(mount_says("its key in the keyring cannot be used") == -EBADMSG, "%u", i);
	}
	/* One that is revoked is as good as none. */
	key_revoke(key_load(1, 'k'));
	CHECK(!mount_volume(NULL));
	CHECK(call_create("file") == -ENOKEY);
	CHECK(!unmount(0));
	key_load(WEFT_KEYS_MAX, 'k');
	CHECK(!mount_volume(NULL));
	CHECK(!unmount(0));
	end();
}

/* --- content */

static int read_error(const char *name)
{
	char byte;
	int fd = open(below(name), O_RDONLY), error;

	if (fd < 0)
		return -errno;
	error = read(fd, &byte, 1) < 0 ? -errno : 0;
	close(fd);
	return error;
}

/* A file of which this mount knows nothing but its name and size. */
static void file_make(const char *name)
{
	CHECK(!mount_volume(NULL));
	CHECK(!call_create(name));
	CHECK(!truncate(below(name), SIZE), "%s", strerror(errno));
	CHECK(!unmount(0));
}

/* Reads it on a new mount. */
static int read_anew(const char *name)
{
	int error;

	CHECK(!mount_volume(NULL));
	error = read_error(name);
	CHECK(!unmount(MNT_FORCE));
	return error;
}

/* The kernel's log from now on. */
static int log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);

	CHECK(fd >= 0 && lseek(fd, 0, SEEK_END) >= 0);
	return fd;
}

static bool log_says(int fd, const char *sentence)
{
	char line[2048];
	bool said = false;
	ssize_t len;

	/* EPIPE: lines were lost, and the next one comes. */
	while ((len = read(fd, line, sizeof(line) - 1)) > 0 || errno == EPIPE) {
		line[len > 0 ? len : 0] = '\0';
		said |= !!strstr(line, sentence);
	}
	return said;
}

static bool group_is_asked_for(void *arg)
{
	(void)arg;
	return fake_serve_seen(server, WEFT_REQ_GROUP) > 0;
}

static void what_is_not_sealed_is_not_read(void)
{
	int log, error;
	pid_t reader;

	start();
	log = log_open();
	fake_meta_cipher(meta, WEFT_CIPHER_AES256_GCM, 0);
	key_load(2, 'k');
	file_make("file");
	CHECK(!read_anew("file")); /* a hole */
	fake_meta_chunk(meta, 0);
	CHECK(read_anew("file") == -EIO);
	CHECK(log_says(log, "is not sealed, in a volume that is encrypted: it is not used"));
	fake_meta_inline(meta);
	CHECK(read_anew("file") < 0);
	/* Sealed, but by a key that nobody has. */
	fake_meta_chunk(meta, 3);
	error = read_anew("file");
	CHECK(error == -EIO || error == -ENOKEY, "%d", error);
	CHECK(log_says(log, "is sealed by key 3, which this host has not: load the volume's keys again"));
	CHECK(!fake_serve_seen(server, WEFT_REQ_GROUP));
	/* That one is looked for, as long as somebody waits for it. */
	fake_meta_chunk(meta, 2);
	CHECK(!mount_volume(NULL));
	reader = child_start(read_error, "file");
	CHECK(wait_until(group_is_asked_for, NULL));
	CHECK(child_kill(reader) >= 0);
	CHECK(!unmount(MNT_FORCE));
	close(log);
	end();
}

static void sealed_chunks_of_a_plain_volume_are_not_read(void)
{
	int log, error;

	start();
	log = log_open();
	fake_meta_cipher(meta, WEFT_CIPHER_NONE, 0);
	file_make("file");
	fake_meta_chunk(meta, 1);
	error = read_anew("file");
	CHECK(error == -EIO, "%d", error);
	CHECK(log_says(log, "is sealed, in a volume that is not encrypted: it is not used"));
	CHECK(!fake_serve_seen(server, WEFT_REQ_GROUP));
	close(log);
	end();
}

/* --- names and targets */

/* How many there are; each can be looked up, and is legal. -errno of readdir(3). */
static int names_legal(char *last, size_t size)
{
	DIR *dir = opendir(mount_point);
	struct dirent *entry;
	struct stat st;
	int n = 0;

	CHECK(dir);
	for (errno = 0; (entry = readdir(dir)); errno = 0) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		CHECK(*entry->d_name && strlen(entry->d_name) <= 255 && !strchr(entry->d_name, '/'));
		CHECK(!lstat(below(entry->d_name), &st), "%s", entry->d_name);
		snprintf(last, size, "%s", entry->d_name);
		n++;
	}
	if (errno)
		n = -errno;
	closedir(dir);
	return n;
}

static void without_the_key(void)
{
	char long_name[256], name[256], target[16], path[4096];
	long key;
	int n;

	start();
	fake_meta_cipher(meta, WEFT_CIPHER_AES256_GCM, 0);
	key = key_load(1, 'k');
	CHECK(!mount_volume(NULL));
	memset(long_name, 'n', sizeof(long_name));
	long_name[240] = '\0';
	CHECK(call_create(long_name) == -ENAMETOOLONG);
	for (size_t len = 1; len < 240; len++) {
		long_name[len] = '\0';
		CHECK(!call_create(long_name), "%zu", len);
		long_name[len] = 'n';
	}
	CHECK(!symlink("target", below("link")));
	CHECK(readlink(below("link"), target, sizeof(target)) == 6 && !memcmp(target, "target", 6));
	CHECK(names_legal(name, sizeof(name)) == 240);
	CHECK(!unmount(0));

	/* None at all, as if it had been loaded by nobody. */
	CHECK(!syscall(SYS_keyctl, KEYCTL_UNLINK, key, KEY_SPEC_PROCESS_KEYRING, 0, 0));
	CHECK(!mount_volume(NULL));
	CHECK(call_create("new") == -ENOKEY);
	CHECK(call_mkdir("new") == -ENOKEY);
	CHECK(call_stat("link") == -ENOKEY);
	CHECK(symlink("target", below("other")) && errno == ENOKEY);
	n = names_legal(name, sizeof(name));
	CHECK(n == 240, "%d", n);
	CHECK(readlink(below(name), target, sizeof(target)) < 0 && (errno == ENOKEY || errno == EINVAL));
	snprintf(path, sizeof(path), "%s", below("renamed"));
	CHECK(rename(below(name), path) && errno == ENOKEY);
	CHECK(!call_unlink(name));
	n = names_legal(name, sizeof(name));
	CHECK(n == 239, "%d", n);
	CHECK(read_error(name) == -ENOKEY && call_truncate(name) == -ENOKEY);
	CHECK(!unmount(0));
	end();
}

/* The daemon has names and targets that no key has sealed: to it, or for that directory. */
static void names_that_nobody_sealed(void)
{
	char name[256], target[16];
	struct stat st;
	long key;
	int n;

	start();
	CHECK(!mount_volume(NULL));
	CHECK(!call_create("plain"));
	CHECK(!symlink("/etc/shadow", below("link")));
	CHECK(!unmount(0));
	fake_meta_cipher(meta, WEFT_CIPHER_AES256_GCM, 0);
	key = key_load(1, 'k');
	CHECK(!mount_volume(NULL));
	n = names_legal(name, sizeof(name));
	CHECK(n == -EPROTO, "%d", n);
	CHECK(call_stat("plain") == -ENOENT);
	CHECK(!call_create("mine"));
	CHECK(!unmount(0));
	/* Without the key they are what they are. */
	key_revoke(key);
	CHECK(!syscall(SYS_keyctl, KEYCTL_UNLINK, key, KEY_SPEC_PROCESS_KEYRING, 0, 0));
	CHECK(!mount_volume(NULL));
	n = names_legal(name, sizeof(name));
	CHECK(n == 3, "%d", n);
	CHECK(!lstat(below("bGluaw"), &st) && S_ISLNK(st.st_mode));
	CHECK(readlink(below("bGluaw"), target, sizeof(target)) < 0);
	CHECK(errno == ENOKEY || errno == EPROTO, "%s", strerror(errno));
	CHECK(!unmount(0));
	/* By another key nothing of it is a name. */
	key_load(1, 'x');
	CHECK(!mount_volume(NULL));
	CHECK(names_legal(name, sizeof(name)) == -EPROTO);
	CHECK(call_stat("mine") == -ENOENT);
	CHECK(!unmount(0));
	end();
}

static void answers_that_make_no_sense(void)
{
	static const uint16_t ops[] = { WEFT_REQ_LOOKUP, WEFT_REQ_READDIR, WEFT_REQ_READLINK,
					WEFT_REQ_CREATE, WEFT_REQ_EXTENTS };
	static const enum fake_act acts[] = { FAKE_EMPTY, FAKE_WRONG_SIZE, FAKE_MALFORMED, FAKE_GARBAGE };
	char name[256], target[16];

	start();
	fake_meta_cipher(meta, WEFT_CIPHER_AES256_GCM, 0);
	key_load(1, 'k');
	file_make("file");
	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		for (size_t j = 0; j < sizeof(acts) / sizeof(*acts); j++) {
			DIR *dir;

			CHECK(!mount_volume(NULL));
			snprintf(name, sizeof(name), "link-%zu-%zu", i, j);
			CHECK(!symlink("target", below(name)));
			CHECK(!unmount(0));
			CHECK(!mount_volume(NULL));
			fake_serve_act(server, ops[i], acts[j]);
			dir = opendir(mount_point);
			while (dir && readdir(dir))
				;
			if (dir)
				closedir(dir);
			read_error("file");
			if (readlink(below(name), target, sizeof(target)) > 0)
				CHECK(!memcmp(target, "target", 6));
			call_create("another");
			CHECK(call_unlink("another") <= 0);
			fake_serve_act(server, ops[i], FAKE_ANSWER);
			CHECK(!unmount(MNT_FORCE));
		}
	}
	end();
}

/* --- ioctl(2) */

static int ask(const char *name, int flags, unsigned long command, void *arg)
{
	int fd = open(below(name), flags), error;

	CHECK(fd >= 0, "%s: %s", name, strerror(errno));
	error = ioctl(fd, command, arg) ? -errno : 0;
	close(fd);
	return error;
}

static int ask_unload(uint32_t flags)
{
	return ask("", O_RDONLY | O_DIRECTORY, WEFT_IOC_KEY_UNLOAD, &flags);
}

static struct weft_key_state ask_state(void)
{
	struct weft_key_state state;

	CHECK(!ask("", O_RDONLY | O_DIRECTORY, WEFT_IOC_KEY_STATE, &state));
	return state;
}

static int ask_load(void)
{
	return ask("", O_RDONLY | O_DIRECTORY, WEFT_IOC_KEY_LOAD, NULL);
}

static void keys_come_and_go(void)
{
	struct weft_key_rewrite range = { .offset = INT64_MAX, .length = 1 };
	struct ring ring;
	long key;
	int fd;

	start();
	CHECK(!mount_volume(NULL));
	CHECK(ask_load() == -EOPNOTSUPP && ask_unload(0) == -EOPNOTSUPP);
	CHECK(!unmount(0));
	fake_meta_cipher(meta, WEFT_CIPHER_AES256_GCM, 0);
	CHECK(!mount_volume(NULL));
	CHECK(ask_load() == -ENOKEY && !ask_state().loaded);
	ring_make(&ring, "another volume..", 1, 1, 'k');
	key_add(&ring, sizeof(ring.head) + sizeof(ring.keys[0]));
	CHECK(ask_load() == -EKEYREJECTED && !ask_state().loaded);
	key_add(&ring, 3);
	CHECK(ask_load() == -EBADMSG && !ask_state().loaded);
	key = key_load(3, 'k');
	CHECK(!ask_load());
	CHECK(ask_state().loaded && ask_state().oldest == 1 && ask_state().current_id == 3);
	CHECK(!call_create("file"));
	CHECK(ask("file", O_RDONLY, WEFT_IOC_KEY_REWRITE, &range) == -ENOTTY ||
	      ask("file", O_RDONLY, WEFT_IOC_KEY_REWRITE, &range) == -EINVAL);
	CHECK(ask("file", O_RDWR, WEFT_IOC_KEY_REWRITE, &range) == -EINVAL);
	range = (struct weft_key_rewrite){ .length = WEFT_KEY_REWRITE_MAX + 1 };
	CHECK(ask("file", O_RDWR, WEFT_IOC_KEY_REWRITE, &range) == -EINVAL);
	range.length = 4096;
	CHECK(ask("file", O_RDONLY, WEFT_IOC_KEY_REWRITE, &range) == -EBADF);
	CHECK(!ask("file", O_RDWR, WEFT_IOC_KEY_REWRITE, &range) && !range.done);
	CHECK(ask_unload(2) == -EINVAL);
	fd = open(below("file"), O_RDONLY);
	CHECK(fd >= 0 && ask_unload(0) == -EBUSY && ask_state().loaded);
	close(fd);
	CHECK(!ask_unload(0) && !ask_state().loaded);
	CHECK(call_stat("file") == -ENOKEY);
	CHECK(!ask_load() && !call_stat("file"));
	/* A key that is revoked is none from then on; its mount goes on without. */
	key_revoke(key);
	CHECK(!ask_state().loaded);
	CHECK(read_error("file") == -ENOKEY);
	CHECK(!unmount(0));
	end();
}

int main(void)
{
	static const struct test tests[] = {
		{ "keys_say_that_a_volume_is_encrypted", keys_say_that_a_volume_is_encrypted },
		{ "keys_that_make_no_sense", keys_that_make_no_sense },
		{ "what_is_not_sealed_is_not_read", what_is_not_sealed_is_not_read },
		{ "sealed_chunks_of_a_plain_volume_are_not_read",
		  sealed_chunks_of_a_plain_volume_are_not_read },
		{ "without_the_key", without_the_key },
		{ "names_that_nobody_sealed", names_that_nobody_sealed },
		{ "answers_that_make_no_sense", answers_that_make_no_sense },
		{ "keys_come_and_go", keys_come_and_go },
	};

	return tests_run(tests, sizeof(tests) / sizeof(*tests));
}
