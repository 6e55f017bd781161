// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tasks that a store is given: the input is struct weft_c_task and its shards. No other store can be reached here, so none
 * may claim to be done; all but the statuses stays as it came.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/link.h"

#define require(what) do { if (!(what)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct store_worker_conf conf = { .own_address = "unix:/nowhere" };
	struct weft_c_task before, after;
	uint8_t *attribute;
	uint32_t status;

	if (!conf.map) {
		log_init(open("/dev/null", O_WRONLY | O_CLOEXEC), "fuzz", LOG_ERROR, true);
		require(!store_map_init(&conf.map));
	}
	/* What is shorter is no task: the worker passes it over. */
	if (size < sizeof(before))
		return 0;
	attribute = malloc(size);
	require(attribute);
	memcpy(attribute, data, size);
	memcpy(&before, data, sizeof(before));
	store_task_run(&conf, attribute, size);
	memcpy(&after, attribute, sizeof(after));
	status = le32_to_cpu(after.status);
	require(status == WEFT_ST_INVAL || status == WEFT_ST_UNREADABLE || status == WEFT_ST_NOMEM);
	require(status == WEFT_ST_INVAL || (before.k && before.k + before.m <= WEFT_SHARDS_MAX));
	before.status = after.status;
	require(!memcmp(&before, &after, sizeof(before)));
	require(!memcmp(data + sizeof(before), attribute + sizeof(after), size - sizeof(after)));
	free(attribute);
	return 0;
}
