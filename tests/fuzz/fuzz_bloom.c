// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Filters of contents, as the metadata service pushes them to bridges, and questions that they answer: frames, each behind a byte
 * that says which of the two it is, and two bytes of length. With the highest bit of the first byte there is a filter already.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bridge/bridge.h"

#define require(what) do { if (!(what)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bridge bridge = { 0 };
	static bool quiet;
	uint8_t *frame;
	size_t len;

	if (!quiet) {
		log_init(open("/dev/null", O_WRONLY | O_CLOEXEC), "fuzz", LOG_ERROR, true);
		quiet = true;
	}
	if (size && data[0] & 0x80)
		require(!bloom_init(&bridge.contents.filter, BLOOM_BITS_MIN, BLOOM_HASHES));
	while (size >= 3) {
		len = data[1] | (size_t)data[2] << 8;
		len = len < size - 3 ? len : size - 3;
		frame = malloc(len + 1);
		require(frame);
		memcpy(frame, data + 3, len);
		if (data[0] & 1)
			bridge_contents_update(&bridge, frame, len);
		else if (bridge_contents_are_new(&bridge, frame, len))
			/* They are not any more. */
			require(!bridge_contents_are_new(&bridge, frame, len));
		free(frame);
		data += 3 + len;
		size -= 3 + len;
		if (bridge.contents.coming.bits)
			require(bridge.contents.have < bloom_bytes(&bridge.contents.coming));
	}
	bridge_contents_free(&bridge);
	return 0;
}
