// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * leader.c - the bridge's connection to the metadata service
 *
 * One connection at a time. When it goes, or its end turns out not to lead, the next address is tried: at once after one
 * that worked, with growing waits (to 1 s) while none does. What was under way is sent again (upcall.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bridge/bridge.h"
#include "conf/conf.h"

#define CONNECT_MS  2000u
#define WAIT_MIN_MS 50u
#define WAIT_MAX_MS 1000u

static void connect_next(uv_timer_t *timer);

static void try_later(struct bridge *bridge)
{
	struct bridge_leader *leader = &bridge->leader;

	if (bridge->stopping)
		return;
	uv_timer_start(&leader->timer, connect_next, leader->wait, 0);
	leader->wait = leader->wait * 2 < WAIT_MAX_MS ? leader->wait * 2 : WAIT_MAX_MS;
}

static void map_watched(void *ctx, const struct ctl_frame *frame)
{
	struct bridge *bridge = ctx;

	if (frame->status == WEFT_ST_NOT_LEADER)
		bridge_leader_next(bridge);
}

static int leader_ready(struct ctl_conn *conn, void *ctx)
{
	struct bridge *bridge = ctx;
	struct ctl_frame watch = { .type = WEFT_CTL_WATCH_MAP, .slot = WEFT_SLOT_NONE };
	const struct ctl_peer *peer = ctl_peer(conn);
	static const uint8_t unknown[16];

	if (peer->role != WEFT_CTL_ROLE_META || !memcmp(peer->cluster, unknown, 16)) {
		log_warn("%s is not a metadata server of a cluster yet", peer->address);
		return -EPROTO;
	}
	memcpy(bridge->self.cluster, peer->cluster, 16);
	bridge->self.incarnation = peer->incarnation;
	bridge->leader.ready = true;
	bridge->leader.wait = WAIT_MIN_MS;
	log_info("connected to the metadata server at %s", peer->address);
	ctl_call(conn, &watch, map_watched, bridge);
	bridge_bind(bridge);
	bridge_upcall_resend(bridge);
	return 0;
}

static void leader_request(struct ctl_conn *conn, void *ctx, const struct ctl_frame *frame)
{
	if (frame->type == WEFT_CTL_MAP)
		bridge_map_update(ctx, frame->payload, frame->len);
	else if (frame->type == WEFT_CTL_BLOOM)
		bridge_contents_update(ctx, frame->payload, frame->len);
	else if (!(frame->flags & WEFT_CTL_PUSH))
		ctl_reply(conn, frame, WEFT_ST_UNKNOWN_OP, NULL, 0);
}

static void leader_closed(struct ctl_conn *conn, void *ctx, int why, const char *what)
{
	static struct log_limit limit;
	struct bridge *bridge = ctx;

	(void)conn;
	bridge->leader.conn = NULL;
	bridge->leader.ready = false;
	if (why && log_limit(&limit, 5, 10))
		log_warn("no connection to the metadata service: %s", what);
	bridge->leader.at = (bridge->leader.at + 1) % bridge->leader.n_addresses;
	try_later(bridge);
}

static const struct ctl_ops leader_ops = {
	.ready = leader_ready, .request = leader_request, .closed = leader_closed,
};

static void connect_next(uv_timer_t *timer)
{
	struct bridge *bridge = timer->data;
	struct bridge_leader *leader = &bridge->leader;

	leader->conn = ctl_connect(&bridge->loop, leader->addresses[leader->at], &bridge->self, &leader_ops, bridge,
				   CONNECT_MS);
	if (!leader->conn) {
		log_warn("cannot connect to %s: %s", leader->addresses[leader->at], strerror(errno));
		leader->at = (leader->at + 1) % leader->n_addresses;
		try_later(bridge);
	}
}

void bridge_leader_next(struct bridge *bridge)
{
	bridge->leader.ready = false;
	if (bridge->leader.conn)
		ctl_close(bridge->leader.conn);
}

int bridge_leader_start(struct bridge *bridge)
{
	struct bridge_leader *leader = &bridge->leader;

	leader->n_addresses = conf_count(bridge->conf, "meta", NULL, "address");
	if (!leader->n_addresses) {
		log_error("the configuration names no metadata server: set 'address' in [meta]");
		return -EINVAL;
	}
	leader->addresses = calloc(leader->n_addresses, sizeof(*leader->addresses));
	if (!leader->addresses)
		return -ENOMEM;
	for (size_t i = 0; i < leader->n_addresses; i++)
		leader->addresses[i] = conf_text(bridge->conf, "meta", NULL, "address", i);
	leader->wait = WAIT_MIN_MS;
	uv_timer_init(&bridge->loop, &leader->timer);
	leader->timer.data = bridge;
	connect_next(&leader->timer);
	return 0;
}

void bridge_leader_stop(struct bridge *bridge)
{
	uv_close((uv_handle_t *)&bridge->leader.timer, NULL);
	if (bridge->leader.conn)
		ctl_close(bridge->leader.conn);
}
