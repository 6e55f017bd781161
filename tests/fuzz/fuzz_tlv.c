// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs of attributes. What a reader yields lies within its bytes, collecting says the same as walking, and a run that is
 * written from it reads as the same attributes.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/tlv.h"
#include "uapi/weft_ctl.h"

#define NR 64u
#define require(what) do { if (!(what)) abort(); } while (0)
static_assert(WEFT_C_NR <= NR && WEFT_P_NR <= NR, "all types of both payloads are collected");

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void values(const struct tlv *tlv)
{
	uint32_t number;
	uint64_t large;
	char text[256];
	int err;

	err = tlv_u32(tlv, &number);
	require(err == (!tlv->data ? -ENODATA : tlv->len == 4 ? 0 : -EPROTO));
	require(err || !memcmp(tlv->data, &(uint32_t){ htole32(number) }, sizeof(number)));
	err = tlv_u64(tlv, &large);
	require(err == (!tlv->data ? -ENODATA : tlv->len == 8 ? 0 : -EPROTO));
	require(err || !memcmp(tlv->data, &(uint64_t){ htole64(large) }, sizeof(large)));
	if (!tlv_text(tlv, 1, sizeof(text) - 1, text))
		require(strlen(text) == tlv->len && tlv->len && !memcmp(text, tlv->data, tlv->len));
}

static void read_back(const struct tlv_writer *writer, const uint8_t *data, size_t size)
{
	struct tlv_reader first, second;
	struct tlv a, b;

	tlv_reader_init(&first, data, size);
	tlv_reader_init(&second, writer->data, writer->len);
	while (tlv_next(&first, &a) == 1) {
		require(tlv_next(&second, &b) == 1);
		require(a.type == b.type && a.len == b.len && !memcmp(a.data, b.data, a.len));
	}
	require(!tlv_next(&second, &b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tlv known[NR], last[NR] = { 0 }, tlv;
	struct tlv_writer writer;
	struct tlv_reader reader;
	bool unknown = false;
	int ret, err;

	tlv_reader_init(&reader, data, size);
	tlv_writer_init(&writer, 2 * size + 4);
	while ((ret = tlv_next(&reader, &tlv)) == 1) {
		require((const uint8_t *)tlv.data >= data + 4 && (const uint8_t *)tlv.data + tlv.len <= data + size);
		unknown |= tlv.type >= NR;
		if (tlv.type < NR)
			last[tlv.type] = tlv;
		tlv_put(&writer, tlv.type, tlv.data, tlv.len);
	}
	require(tlv_next(&reader, &tlv) == ret && !tlv_finish(&writer));
	read_back(&writer, data, size);
	tlv_writer_free(&writer);
	require(tlv_collect(data, size, known, NR, false) == ret);
	for (size_t i = 0; i < NR; i++) {
		require(known[i].data == last[i].data && known[i].len == last[i].len);
		values(&known[i]);
	}
	err = tlv_collect(data, size, known, NR, true);
	require(unknown ? err == -EOPNOTSUPP : err == ret);
	return 0;
}
