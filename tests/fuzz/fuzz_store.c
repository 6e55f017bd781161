// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The file STORE of a store's directory: the input is laid over a sound one. With an odd first byte it is signed, so that
 * the rules behind the checksum are reached. A directory that is refused is left as it was; one that is opened counts one
 * start more and can be opened again.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "chunk/crc32c.h"
#include "store/store.h"

#define SIZE sizeof(struct weft_store_file)
#define require(what) do { if (!(what)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct store_conf conf = { .cluster = "a cluster's uuid", .incarnation = 9, .index_ms = 60000 };

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

/* The file's bytes into those, which have room for twice its size. */
static size_t transfer(const char *path, int flags, void *bytes, size_t size)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	ssize_t n = flags & O_CREAT ? write(fd, bytes, size) : read(fd, bytes, 2 * SIZE);

	require(fd >= 0 && n >= 0 && !close(fd));
	return (size_t)n;
}

static void check_opened(const struct weft_store_file *before, const char *folder, const char *file)
{
	struct weft_store_file after[2];
	struct store *store;

	require(transfer(file, O_RDONLY, after, 0) == SIZE);
	require(!memcmp(before->uuid, after->uuid, 16) && !memcmp(after->cluster, conf.cluster, 16));
	require(le64_to_cpu(after->starts) == le64_to_cpu(before->starts) + 1 && after->number == before->number);
	require(!before->features && !before->reserved0 && le32_to_cpu(before->incarnation) <= conf.incarnation);
	require(!store_open(&store, folder, &conf, NULL));
	store_close(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char folder[] = "/dev/shm/weft-fuzz-XXXXXX", file[64];
	struct weft_store_file before[2] = { 0 }, after[2];
	struct store *store;
	size_t len;

	if (size < 1 || size - 1 > sizeof(before))
		return 0;
	log_set_level((enum log_level) - 1);
	before->magic = cpu_to_le32(WEFT_STORE_MAGIC);
	before->format = cpu_to_le16(WEFT_STORE_FORMAT);
	memcpy(before->cluster, conf.cluster, 16);
	memcpy(before, data + 1, size - 1);
	before->crc = data[0] & 1 ? 0 : before->crc;
	if (data[0] & 1)
		before->crc = cpu_to_le32(weft_crc32c(0, before, SIZE));
	/* Bit 1: the file ends where the input does. */
	len = data[0] & 2 ? size - 1 : SIZE;
	require(mkdtemp(folder));
	snprintf(file, sizeof(file), "%s/STORE", folder);
	transfer(file, O_WRONLY | O_CREAT, before, len);
	if (!store_open(&store, folder, &conf, NULL)) {
		store_close(store);
		check_opened(before, folder, file);
	} else {
		require(transfer(file, O_RDONLY, after, 0) == len && !memcmp(before, after, len));
	}
	nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}
