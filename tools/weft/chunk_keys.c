// SPDX-License-Identifier: GPL-2.0-or-later
/* chunk_keys.c - the keys of an encrypted volume without its metadata service: from a key file that was saved. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "tools/chunk/chunk.h"
#include "tools/key/keyfile.h"
#include "weft.h"

static int file_read(const char *path, struct keyfile *file)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t bytes[WEFT_KEY_FILE_MAX + 1];
	ssize_t len;

	if (fd < 0)
		return fail("cannot open %s: %s", path, strerror(errno));
	len = read(fd, bytes, sizeof(bytes));
	close(fd);
	if (len < 0)
		return fail("cannot read %s: %s", path, strerror(errno));
	return keyfile_decode(file, bytes, (size_t)len) ? fail("%s is no key file, or it is damaged", path) : 0;
}

static int file_open(const char *path, const char *secret_file, struct keyfile *file)
{
	size_t len;
	char *secret = secret_read(secret_file, "passphrase", &len);
	int err;

	if (!secret)
		return 1;
	err = keyfile_open(file, secret, len);
	sodium_free(secret);
	if (err == -ENOKEY)
		return fail("this passphrase opens no slot of %s (%s)", path, strerror(ENOKEY));
	return err ? fail("there is not enough memory to try the passphrase") : 0;
}

int chunk_keys_read(const char *path, const char *secret_file, struct chunk_keys *keys)
{
	struct weft_key_ring *ring = NULL;
	struct keyfile file = { 0 };
	size_t len;
	int ret;

	if (sodium_init() < 0)
		return fail("libsodium does not start");
	ret = file_read(path, &file);
	if (!ret)
		ret = file_open(path, secret_file, &file);
	if (!ret && !(ring = keyfile_ring(&file, &len)))
		ret = fail("a key in %s cannot be unwrapped: it is damaged", path);
	if (!ret)
		chunk_keys_make(keys, ring);
	sodium_free(ring);
	keyfile_free(&file);
	return ret;
}
