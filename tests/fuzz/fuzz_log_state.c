// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A voter's state slots: term, vote, checkpoint and its configuration. With an odd first byte the
 * slot is signed and made this voter's, so that the rules behind the CRC are reached.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include "chunk/crc32c.h"
#include "raft/internal.h"

#define require(what) do { if (!(what)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct rlog_owner owner = { .cluster = "a cluster's uuid", .server = 1 };
static uint8_t slot[WEFT_LOG_STATE_SLOT];
static uint8_t again[WEFT_LOG_STATE_SLOT];

static void sign(void)
{
	struct weft_log_state *s = (struct weft_log_state *)slot;
	uint32_t conf_len = le32toh(s->conf_len);

	s->magic = htole32(WEFT_LOG_STATE_MAGIC);
	s->format = htole16(WEFT_LOG_VERSION);
	memcpy(s->cluster, owner.cluster, sizeof(s->cluster));
	s->server = htole64(owner.server);
	s->crc = 0;
	if (conf_len <= WEFT_LOG_CONF_MAX)
		s->crc = htole32(weft_crc32c(0, slot, sizeof(*s) + conf_len));
}

/* A configuration that passed the check can be decoded, or is refused for its content. */
static void decode(const struct rlog_state *state)
{
	struct raft_configuration conf;

	if (!state->conf_len || rdrv_conf_decode(state->conf, state->conf_len, &conf))
		return;
	require(conf.n > 0 && conf.n <= RDRV_SERVERS_MAX);
	raft_configuration_close(&conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rlog_state state;

	if (size < 1 || size - 1 > sizeof(slot))
		return 0;
	memset(slot, 0, sizeof(slot));
	memcpy(slot, data + 1, size - 1);
	if (data[0] & 1)
		sign();
	if (rlog_state_decode(&owner, slot, &state))
		return 0;
	require(!state.checkpoint_index == !state.conf_len && state.checkpoint_term <= state.term);
	decode(&state);
	/* What is written back says the same; what stood behind the configuration is gone. */
	require(!rlog_state_encode(&owner, &state, again));
	require(!memcmp(slot, again, sizeof(struct weft_log_state) + state.conf_len));
	return 0;
}
