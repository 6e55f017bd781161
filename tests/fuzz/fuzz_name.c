// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Names of encrypted volumes as a metadata service may answer them, and as programs may ask for them; key files as an
 * administrator's host may send them to the service, and the service to it. The first byte says which.
 */
#include <stdlib.h>

#include "crypt/name.h"
#include "meta/meta.h"
#include "tools/key/keyfile.h"
#include "weft_key.h"

#define require(what) do { if (!(what)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* What is opened is sealed to the same bytes again; whatever it is, it has a bare form that leads back. */
static void stored_name(const u8 *data, size_t size)
{
	static const u8 root[WEFT_KEY_LEN] = { 1, 2, 3 };
	u8 open[WEFT_NAME_MAX], again[WEFT_NAME_MAX];
	struct weft_name_keys keys;
	int len;

	if (size > WEFT_NAME_MAX)
		size = WEFT_NAME_MAX;
	weft_name_keys_init(&keys, root);
	len = weft_name_open(&keys, 1, data, size, open);
	if (len > 0) {
		require(weft_name_seal(&keys, 1, open, (size_t)len, again) == (int)size);
		require(!memcmp(again, data, size));
	}
	len = weft_name_bare(data, size, open);
	require(len <= (int)WEFT_NAME_MAX);
}

static void bare_name(const u8 *data, size_t size)
{
	u8 stored[WEFT_NAME_MAX], again[WEFT_NAME_MAX];
	int len;

	if (size > WEFT_NAME_MAX)
		size = WEFT_NAME_MAX;
	len = weft_name_unbare(data, size, stored);
	if (len < 0)
		return;
	require(weft_name_bare(stored, (size_t)len, again) == (int)size);
	require(!memcmp(again, data, size));
}

static void key_file(const u8 *data, size_t size)
{
	static const u8 uuid[16];
	u8 again[WEFT_KEY_FILE_MAX];
	struct keyfile file;

	if (!keyfile_decode(&file, data, size)) {
		require(size <= sizeof(again));
		require(keyfile_encode(&file, again) == size);
		/* All but the generation. */
		memcpy(again + offsetof(struct weft_key_file, generation), data + offsetof(struct weft_key_file, generation), 8);
		require(!memcmp(again, data, size));
	}
	if (!meta_keys_wrong(uuid, data, size))
		require(size <= WEFT_KEY_FILE_MAX && size >= sizeof(struct weft_key_file));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	if (!size)
		return 0;
	switch (data[0] % 3) {
	case 0:
		stored_name(data + 1, size - 1);
		break;
	case 1:
		bare_name(data + 1, size - 1);
		break;
	default:
		key_file(data + 1, size - 1);
	}
	return 0;
}
