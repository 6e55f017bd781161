// SPDX-License-Identifier: GPL-2.0-or-later
/* Key files: opened by what they were made for and by nothing else, whatever the metadata service makes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <endian.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "tools/key/keyfile.h"

static const struct keyfile_cost cost = { 1, 8192 };
static const uint8_t volume[16] = "a volume's uuid";

/* One with the passphrase "first" in slot 1, a recovery key in slot 2, and two volume keys. */
static size_t make(uint8_t bytes[WEFT_KEY_FILE_MAX], char text[KEYFILE_RECOVERY_TEXT])
{
	struct keyfile file;
	uint32_t number;
	size_t len;

	assert_int_equal(keyfile_init(&file, volume), 0);
	assert_int_equal(keyfile_add_passphrase(&file, "first", 5, &cost, &number), 0);
	assert_int_equal(number, 1);
	assert_int_equal(keyfile_add_recovery(&file, text, &number), 0);
	assert_int_equal(keyfile_rotate(&file), 0);
	len = keyfile_encode(&file, bytes);
	keyfile_free(&file);
	return len;
}

static int try(const uint8_t *bytes, size_t len, const char *secret)
{
	struct keyfile file;
	size_t ring_len;
	struct weft_key_ring *ring;
	int err = keyfile_decode(&file, bytes, len);

	if (!err)
		err = keyfile_open(&file, secret, strlen(secret));
	if (!err) {
		ring = keyfile_ring(&file, &ring_len);
		err = ring ? 0 : -EINVAL;
		sodium_free(ring);
	}
	keyfile_free(&file);
	return err;
}

static void opened_by_what_it_was_made_for(void **state)
{
	uint8_t bytes[WEFT_KEY_FILE_MAX];
	char text[KEYFILE_RECOVERY_TEXT];
	size_t len = make(bytes, text);

	(void)state;
	assert_int_equal(try(bytes, len, "first"), 0);
	assert_int_equal(try(bytes, len, text), 0);
	assert_int_equal(try(bytes, len, "second"), -ENOKEY);
	assert_int_equal(try(bytes, len, ""), -ENOKEY);
	text[3] ^= 1;
	assert_int_equal(try(bytes, len, text), -ENOKEY);
}

/* No byte of it may be another; only its generation is nobody's business but the service's. */
static void any_byte_that_differs(void **state)
{
	uint8_t bytes[WEFT_KEY_FILE_MAX];
	char text[KEYFILE_RECOVERY_TEXT];
	size_t len = make(bytes, text), from = offsetof(struct weft_key_file, generation);

	(void)state;
	for (size_t i = 0; i < len; i++) {
		size_t slot = i < sizeof(struct weft_key_file) ? 9 : (i - sizeof(struct weft_key_file)) / sizeof(struct weft_key_slot);

		/* The passphrase's own slot: the recovery key does not mind, nor does it cost Argon2id. */
		if ((i >= from && i < from + 8) || slot == 0)
			continue;
		bytes[i] ^= 0x40;
		assert_int_not_equal(try(bytes, len, text), 0);
		bytes[i] ^= 0x40;
	}
	for (size_t i = 0; i < len; i++)
		assert_int_equal(try(bytes, i, text), -EBADMSG);
}

static void set32(uint8_t *bytes, size_t at, uint32_t value)
{
	__le32 le = htole32(value);

	memcpy(bytes + at, &le, sizeof(le));
}

/* A service that wants to keep its user busy, or to have two keys of one number. */
static void what_only_costs_is_refused(void **state)
{
	const size_t slot = sizeof(struct weft_key_file), key = slot + 2 * sizeof(struct weft_key_slot);
	const struct {
		size_t at;
		uint32_t value;
	} lies[] = {
		{ slot + offsetof(struct weft_key_slot, passes), 0xffffffff },
		{ slot + offsetof(struct weft_key_slot, passes), KEYFILE_PASSES_MAX + 1 },
		{ slot + offsetof(struct weft_key_slot, kib), 0xffffffff },
		{ slot + offsetof(struct weft_key_slot, kib), KEYFILE_KIB_MAX + 1 },
		{ slot + offsetof(struct weft_key_slot, number), 0 },
		{ key + offsetof(struct weft_key_wrapped, id), 0 },
		{ key + offsetof(struct weft_key_wrapped, id), 2 },
		{ key + sizeof(struct weft_key_wrapped), 1 },
		{ offsetof(struct weft_key_file, newest), 1 },
		{ offsetof(struct weft_key_file, newest), 0xffffffff },
	};
	uint8_t bytes[WEFT_KEY_FILE_MAX], bad[WEFT_KEY_FILE_MAX];
	char text[KEYFILE_RECOVERY_TEXT];
	size_t len = make(bytes, text);

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		memcpy(bad, bytes, len);
		set32(bad, lies[i].at, lies[i].value);
		assert_int_equal(try(bad, len, "first"), -EBADMSG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opened_by_what_it_was_made_for),
		cmocka_unit_test(any_byte_that_differs),
		cmocka_unit_test(what_only_costs_is_refused),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
