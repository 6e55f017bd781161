// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_key.c - weft key: keys of a volume, in its key file and in the kernel; rotation.
 *
 * Secrets are opened here and given to this host's kernel; to the metadata service goes only what is wrapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "keyring.h"
#include "tools/key/keyfile.h"
#include "weft.h"

/* Argon2id: what libsodium calls moderate, about half a second. */
#define COST_PASSES  3u
#define COST_KIB     (256u * 1024)
#define COST_KIB_MIN (8u * 1024)

struct key_args {
	const struct options *options;
	const char *volume;
	const char *secret_file, *new_file; /* NULL: asked for */
	struct keyfile_cost cost;
	const char *operand;                /* behind the volume */
	bool no_recovery, force;
};

struct key_volume {
	struct admin *admin;
	char cluster[37], description[512];
	uint8_t uuid[16], bytes[WEFT_KEY_FILE_MAX];
	size_t len;             /* of the key file as the service has it; 0: not encrypted */
	struct keyfile file;
};

/* --- the metadata service ------------------------------------------------------------------------------------------------- */

static bool unhex(const char *text, uint8_t *bytes, size_t max, size_t *len)
{
	return !sodium_hex2bin(bytes, max, text, strlen(text), NULL, len, NULL);
}

static int volume_take(struct key_volume *volume, const struct key_args *args, const json_t *answer)
{
	uint8_t cluster[16];
	size_t n = 0;

	if (!unhex(json_text(answer, "uuid"), volume->uuid, 16, &n) || n != 16 ||
	    !unhex(json_text(answer, "cluster"), cluster, 16, &n) || n != 16 ||
	    !unhex(json_text(answer, "keys"), volume->bytes, sizeof(volume->bytes), &volume->len))
		return fail("the metadata server's answer about the keys of %s makes no sense", args->volume);
	for (unsigned int i = 0, at = 0; i < 16; i++)
		at += (unsigned int)snprintf(volume->cluster + at, sizeof(volume->cluster) - at, "%s%02x",
					     i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", cluster[i]);
	keyring_description(volume->cluster, args->volume, volume->description, sizeof(volume->description));
	if (volume->len && (keyfile_decode(&volume->file, volume->bytes, volume->len) ||
			    memcmp(volume->file.head.volume, volume->uuid, 16)))
		return fail("the key file of volume %s is damaged, or a newer weft wrote it", args->volume);
	return 0;
}

static int volume_open(struct key_volume *volume, const struct key_args *args, bool encrypted)
{
	json_t *answer;
	int ret;

	memset(volume, 0, sizeof(*volume));
	volume->admin = admin_open(args->options);
	if (!volume->admin)
		return 1;
	answer = admin_call(volume->admin, "key get", json_pack("{s:s}", "name", args->volume));
	if (!answer)
		return 1;
	ret = volume_take(volume, args, answer);
	json_decref(answer);
	if (ret)
		return ret;
	if (encrypted && !volume->len)
		return fail("volume %s is not encrypted: 'weft key init %s' makes one that has no files yet an encrypted one",
			    args->volume, args->volume);
	if (!encrypted && volume->len)
		return fail("volume %s has keys already", args->volume);
	return 0;
}

static void volume_close(struct key_volume *volume)
{
	keyfile_free(&volume->file);
	admin_close(volume->admin);
}

static int volume_store(struct key_volume *volume, const struct key_args *args)
{
	uint8_t bytes[WEFT_KEY_FILE_MAX];
	char text[2 * sizeof(bytes) + 1];
	json_t *answer;

	sodium_bin2hex(text, sizeof(text), bytes, keyfile_encode(&volume->file, bytes));
	answer = admin_call(volume->admin, "key set", json_pack("{s:s, s:s}", "name", args->volume, "keys", text));
	json_decref(answer);
	return answer ? 0 : 1;
}

/* --- passphrases ------------------------------------------------------------------------------------------------------------ */

/* A new one: from a terminal twice. */
static char *secret_read_new(const char *path, size_t *len)
{
	char *secret = secret_read(path, "new passphrase", len), *again;
	size_t again_len;
	bool same;

	if (!secret || path)
		return secret;
	again = secret_read(NULL, "the same again", &again_len);
	same = again && again_len == *len && !sodium_memcmp(secret, again, *len);
	sodium_free(again);
	if (same)
		return secret;
	sodium_free(secret);
	if (again)
		fail("the two passphrases differ");
	return NULL;
}

static int volume_unlock(struct key_volume *volume, const struct key_args *args)
{
	size_t len;
	char *secret = secret_read(args->secret_file, "passphrase", &len);
	int err;

	if (!secret)
		return 1;
	err = keyfile_open(&volume->file, secret, len);
	sodium_free(secret);
	if (err == -ENOKEY)
		return fail("this passphrase opens no slot of volume %s (%s)", args->volume, strerror(ENOKEY));
	return err ? fail("there is not enough memory to try the passphrase") : 0;
}

/* --- this host's kernel ----------------------------------------------------------------------------------------------------- */

static int visit_load(int fd, const char *path, void *data)
{
	unsigned int *n = data;

	if (ioctl(fd, WEFT_IOC_KEY_LOAD))
		return -errno;
	++*n;
	return 0;
}

static int kernel_load(struct key_volume *volume, const struct key_args *args, unsigned int *mounts)
{
	size_t len;
	struct weft_key_ring *ring = keyfile_ring(&volume->file, &len);
	int err;

	*mounts = 0;
	if (!ring)
		return fail("a key of volume %s cannot be unwrapped: the key file is damaged", args->volume);
	err = keyring_add(volume->description, ring, len);
	sodium_free(ring);
	if (err)
		return fail("the kernel does not take the key: %s", strerror(-err));
	err = keyring_each_mount(args->options->cluster, args->volume, visit_load, mounts);
	return err ? fail("the mount of volume %s does not take the key: %s", args->volume, strerror(-err)) : 0;
}

static int visit_unload(int fd, const char *path, void *data)
{
	uint32_t flags = *(const uint32_t *)data;
	struct weft_key_state state = { 0 };

	if (ioctl(fd, WEFT_IOC_KEY_STATE, &state))
		return -errno;
	/* This one is open because we ask. */
	if (flags && state.open > 1)
		printf("dropped on %s: %u open files and folders, with what of them was not written; the mount has ended\n", path,
		       state.open - 1);
	else if (flags && state.loaded)
		printf("the mount on %s has ended\n", path);
	return ioctl(fd, WEFT_IOC_KEY_UNLOAD, &flags) ? -errno : 0;
}

/* --- commands ----------------------------------------------------------------------------------------------------------------- */

static int run_init(const struct key_args *args)
{
	char text[KEYFILE_RECOVERY_TEXT], *secret = NULL;
	struct key_volume volume;
	uint32_t number;
	size_t len;
	int ret = volume_open(&volume, args, false);

	if (!ret && keyfile_init(&volume.file, volume.uuid))
		ret = fail("there is no locked memory for a key: raise RLIMIT_MEMLOCK");
	if (!ret && !(secret = secret_read_new(args->new_file ? args->new_file : args->secret_file, &len)))
		ret = 1;
	if (!ret && keyfile_add_passphrase(&volume.file, secret, len, &args->cost, &number))
		ret = fail("there is not enough memory for Argon2id with %u MiB", args->cost.kib / 1024);
	if (!ret && !args->no_recovery)
		ret = keyfile_add_recovery(&volume.file, text, &number);
	if (!ret)
		ret = volume_store(&volume, args);
	if (!ret)
		printf("volume %s is encrypted from now on; 'weft key load %s' opens it on a host\n", args->volume, args->volume);
	if (!ret && !args->no_recovery)
		printf("recovery key, shown this once; who loses it and every passphrase has lost the volume:\n%s\n", text);
	sodium_memzero(text, sizeof(text));
	sodium_free(secret);
	volume_close(&volume);
	return ret;
}

static int run_load(const struct key_args *args)
{
	struct key_volume volume;
	unsigned int mounts;
	int ret = volume_open(&volume, args, true);

	if (!ret)
		ret = volume_unlock(&volume, args);
	if (!ret)
		ret = kernel_load(&volume, args, &mounts);
	if (!ret)
		printf("the keys of volume %s are loaded\n", args->volume);
	volume_close(&volume);
	return ret;
}

static int run_unload(const struct key_args *args)
{
	uint32_t flags = args->force ? WEFT_KEY_FORCE : 0;
	struct key_volume volume;
	int ret = volume_open(&volume, args, true), err = 0;

	if (!ret)
		err = keyring_each_mount(args->options->cluster, args->volume, visit_unload, &flags);
	if (err == -EBUSY)
		ret = fail("volume %s is in use: files are open, or a program works in one of its folders; close them, or let them go "
			   "with --force (%s)", args->volume, strerror(EBUSY));
	else if (err && err != -ENOKEY)
		ret = fail("what was written to volume %s could not be stored, so its keys stay: %s", args->volume, strerror(-err));
	if (!ret)
		err = keyring_del(volume.description);
	if (!ret && err && err != -ENOKEY)
		ret = fail("the kernel does not give the key up: %s", strerror(-err));
	if (!ret)
		printf("the keys of volume %s are unloaded\n", args->volume);
	volume_close(&volume);
	return ret;
}

static int run_add(const struct key_args *args)
{
	struct key_volume volume;
	char *secret = NULL;
	uint32_t number = 0;
	size_t len;
	int ret = volume_open(&volume, args, true), err = 0;

	if (!ret)
		ret = volume_unlock(&volume, args);
	if (!ret && !(secret = secret_read_new(args->new_file, &len)))
		ret = 1;
	if (!ret)
		err = keyfile_add_passphrase(&volume.file, secret, len, &args->cost, &number);
	if (err)
		ret = err == -ENOSPC ? fail("volume %s has %u slots, which is as many as there can be: remove one", args->volume,
					    WEFT_KEY_SLOTS_MAX) :
				       fail("there is not enough memory for Argon2id with %u MiB", args->cost.kib / 1024);
	if (!ret)
		ret = volume_store(&volume, args);
	if (!ret)
		printf("slot %u of volume %s has the new passphrase\n", number, args->volume);
	sodium_free(secret);
	volume_close(&volume);
	return ret;
}

static int run_remove(const struct key_args *args)
{
	uint32_t slot = (uint32_t)strtoul(args->operand, NULL, 10);
	struct key_volume volume;
	int ret = volume_open(&volume, args, true), err = 0;

	if (!ret)
		ret = volume_unlock(&volume, args);
	if (!ret)
		err = keyfile_remove(&volume.file, slot);
	if (err)
		ret = err == -EBUSY ? fail("slot %u is the last one of volume %s; without it nobody could open it", slot,
					   args->volume) :
				      fail("volume %s has no slot %u", args->volume, slot);
	if (!ret)
		ret = volume_store(&volume, args);
	if (!ret)
		printf("slot %u of volume %s is gone\n", slot, args->volume);
	volume_close(&volume);
	return ret;
}

/* The key file as it is: of no use without one of its passphrases. */
static int run_save(const struct key_args *args)
{
	struct key_volume volume;
	int ret = volume_open(&volume, args, true), fd = -1;

	if (!ret) {
		fd = open(args->operand, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0)
			ret = fail("cannot write %s: %s", args->operand, strerror(errno));
	}
	if (!ret && write(fd, volume.bytes, volume.len) != (ssize_t)volume.len)
		ret = fail("cannot write %s: %s", args->operand, strerror(errno));
	if (!ret && fsync(fd))
		ret = fail("cannot write %s: %s", args->operand, strerror(errno));
	if (!ret)
		printf("the key file of volume %s is in %s; it is opened by the volume's passphrases and its recovery key\n",
		       args->volume, args->operand);
	if (fd >= 0)
		close(fd);
	volume_close(&volume);
	return ret;
}

/* The kernel's keys follow where it has them. */
static int run_rotate(const struct key_args *args)
{
	struct key_volume volume;
	unsigned int mounts;
	int ret = volume_open(&volume, args, true);

	if (!ret)
		ret = volume_unlock(&volume, args);
	if (!ret && keyfile_rotate(&volume.file))
		ret = fail("volume %s has %u keys, which is as many as there can be", args->volume, WEFT_KEYS_MAX);
	if (!ret)
		ret = volume_store(&volume, args);
	if (!ret)
		printf("new chunks of volume %s get key %u\n", args->volume, le32toh(volume.file.head.newest));
	if (!ret && keyring_has(volume.description))
		ret = kernel_load(&volume, args, &mounts);
	volume_close(&volume);
	return ret;
}

static int visit_path(int fd, const char *path, void *data)
{
	struct weft_key_state state;
	char **found = data;

	if (ioctl(fd, WEFT_IOC_KEY_STATE, &state))
		return -errno;
	if (!state.loaded)
		return -ENOKEY;
	*found = strdup(path);
	return *found ? 1 : -ENOMEM;
}

static int run_reencrypt(const struct key_args *args)
{
	struct key_volume volume;
	char *path = NULL;
	int ret = volume_open(&volume, args, true), err = 0;

	if (!ret)
		err = keyring_each_mount(args->options->cluster, args->volume, visit_path, &path);
	volume_close(&volume);
	if (err < 0)
		ret = fail("the keys of volume %s are not loaded on this host: %s", args->volume, strerror(-err));
	else if (!ret && !path)
		ret = fail("volume %s is not mounted on this host: whatever reads and writes it anew is a mount", args->volume);
	if (!ret)
		ret = reencrypt(args->options, path);
	free(path);
	return ret;
}

/* --- status ------------------------------------------------------------------------------------------------------------------- */

static int visit_state(int fd, const char *path, void *data)
{
	struct weft_key_state state;
	json_t *list = data;

	if (ioctl(fd, WEFT_IOC_KEY_STATE, &state))
		return -errno;
	json_array_append_new(list, json_pack("{s:s, s:b, s:I, s:I}", "path", path, "loaded", (int)state.loaded, "current",
					      (json_int_t)state.current_id, "open", (json_int_t)state.open - 1));
	return 0;
}

static json_t *status_json(const struct key_volume *volume, const struct key_args *args)
{
	static const char *const kinds[] = { "unknown", "passphrase", "recovery" };
	json_t *slots = json_array(), *mounts = json_array();

	for (unsigned int i = 0; i < le16toh(volume->file.head.slots); i++) {
		const struct weft_key_slot *slot = &volume->file.slots[i];
		uint32_t kind = le32toh(slot->kind);

		json_array_append_new(slots, json_pack("{s:I, s:s, s:I, s:I, s:I}", "slot", (json_int_t)le32toh(slot->number),
						       "kind", kinds[kind <= WEFT_KEY_RECOVERY ? kind : 0], "created",
						       (json_int_t)le64toh(slot->created), "passes",
						       (json_int_t)le32toh(slot->passes), "kib", (json_int_t)le32toh(slot->kib)));
	}
	keyring_each_mount(args->options->cluster, args->volume, visit_state, mounts);
	return json_pack("{s:s, s:s, s:I, s:I, s:b, s:o, s:o}", "volume", args->volume, "cipher",
			 volume->len ? "aes-256-gcm" : "none", "keys", (json_int_t)le16toh(volume->file.head.keys), "current",
			 (json_int_t)le32toh(volume->file.head.newest), "keyring", (int)keyring_has(volume->description), "slots",
			 slots, "mounts", mounts);
}

static void show_status(const json_t *status)
{
	const json_t *item;
	size_t i;

	printf("%-10s%s\n%-10s%s\n", "volume", json_text(status, "volume"), "cipher", json_text(status, "cipher"));
	if (!json_number(status, "keys"))
		return;
	printf("%-10s%" PRId64 "; new chunks get %" PRId64 "\n", "keys", json_number(status, "keys"), json_number(status, "current"));
	printf("%-10s%s\n", "keyring", json_is_true(json_object_get(status, "keyring")) ? "has them" : "has none of them");
	json_array_foreach(json_object_get(status, "slots"), i, item)
		printf("%-10s%" PRId64 " %s\n", "slot", json_number(item, "slot"), json_text(item, "kind"));
	json_array_foreach(json_object_get(status, "mounts"), i, item)
		printf("%-10s%s: %s, %" PRId64 " open\n", "mount", json_text(item, "path"),
		       json_is_true(json_object_get(item, "loaded")) ? "loaded" : "not loaded: names are shown sealed",
		       json_number(item, "open"));
}

static int run_status(const struct key_args *args)
{
	struct key_volume volume;
	json_t *status;
	int ret;

	ret = volume_open(&volume, args, true);
	if (!ret) {
		status = status_json(&volume, args);
		if (args->options->json) {
			json_dumpf(status, stdout, JSON_INDENT(2));
			putchar('\n');
		} else {
			show_status(status);
		}
		json_decref(status);
	}
	volume_close(&volume);
	return ret;
}

/* --- the command ---------------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int (*run)(const struct key_args *args);
	bool operand;
} verbs[] = {
	{ "init", run_init, false },     { "load", run_load, false }, { "unload", run_unload, false },
	{ "add", run_add, false },       { "remove", run_remove, true }, { "rotate", run_rotate, false },
	{ "status", run_status, false }, { "reencrypt", run_reencrypt, false },
	{ "save", run_save, true },
};

static int parse(struct key_args *args, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "passphrase-file", required_argument, NULL, 'p' }, { "new-passphrase-file", required_argument, NULL, 'n' },
		{ "kdf-passes", required_argument, NULL, 't' }, { "kdf-memory", required_argument, NULL, 'm' },
		{ "no-recovery", no_argument, NULL, 'r' }, { "force", no_argument, NULL, 'f' }, { 0 },
	};
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (opt) {
		case 'p':
			args->secret_file = optarg;
			break;
		case 'n':
			args->new_file = optarg;
			break;
		case 't':
			args->cost.passes = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'm':
			args->cost.kib = (uint32_t)strtoul(optarg, NULL, 10) * 1024;
			break;
		case 'r':
			args->no_recovery = true;
			break;
		case 'f':
			args->force = true;
			break;
		default:
			return usage_error(&cmd_key);
		}
	}
	if (!args->cost.passes || args->cost.passes > KEYFILE_PASSES_MAX || args->cost.kib < COST_KIB_MIN ||
	    args->cost.kib > KEYFILE_KIB_MAX)
		return fail("--kdf-passes is 1 to 100, --kdf-memory 8 to 4096 MiB");
	return 0;
}

static int run(const struct options *options, int argc, char **argv)
{
	struct key_args args = { .options = options, .cost = { COST_PASSES, COST_KIB } };
	size_t i;
	int ret;

	for (i = 0; argc >= 3 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(argv[1], verbs[i].name))
			break;
	if (argc < 3 || i == sizeof(verbs) / sizeof(verbs[0]))
		return usage_error(&cmd_key);
	if (sodium_init() < 0)
		return fail("libsodium does not start");
	argv[1] = argv[0];
	ret = parse(&args, argc - 1, argv + 1);
	if (ret)
		return ret;
	if (argc - 1 - optind != 1 + verbs[i].operand)
		return usage_error(&cmd_key);
	args.volume = argv[1 + optind];
	args.operand = verbs[i].operand ? argv[2 + optind] : NULL;
	return verbs[i].run(&args);
}

const struct command cmd_key = {
	.name = "key", .run = run,
	.usage = "init VOLUME [--no-recovery] | load VOLUME | unload VOLUME [--force] | status VOLUME\n"
		 "                | add VOLUME | remove VOLUME SLOT | rotate VOLUME | reencrypt VOLUME\n"
		 "                | save VOLUME FILE\n"
		 "                [--passphrase-file FILE] [--new-passphrase-file FILE] [--kdf-passes N] [--kdf-memory MIB]",
	.help = "encrypt a volume, load and unload its keys, change passphrases",
};
