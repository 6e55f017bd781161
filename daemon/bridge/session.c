// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * session.c - renewing the sessions of this kernel's mounts
 *
 * One message a turn renews all. The deadline that the kernel gets counts from the *sending* of the renewal on
 * CLOCK_BOOTTIME: a suspended machine finds its leases over. Which sessions there are is learnt from MOUNT's answers and,
 * after taking over, from the kernel's own list.
 */
#include <endian.h>
#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "bridge/bridge.h"

/* Exclusive leases: 25 s here against 30 s at the leader. */
#define LEASE_NS (25ull * 1000000000)

struct renewal {
	struct bridge *bridge;
	uint64_t sent_ns;
	size_t n;
	uint64_t ids[];
};

static uint64_t boottime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void bridge_session_add(struct bridge *bridge, uint64_t session)
{
	struct bridge_sessions *sessions = &bridge->sessions;
	uint64_t *ids;

	for (size_t i = 0; i < sessions->n; i++)
		if (sessions->ids[i] == session)
			return;
	ids = realloc(sessions->ids, (sessions->n + 1) * sizeof(*ids));
	if (!ids) {
		bridge_stop(bridge, 1);
		return;
	}
	sessions->ids = ids;
	ids[sessions->n++] = session;
}

void bridge_session_del(struct bridge *bridge, uint64_t session)
{
	struct bridge_sessions *sessions = &bridge->sessions;

	for (size_t i = 0; i < sessions->n; i++)
		if (sessions->ids[i] == session) {
			sessions->ids[i] = sessions->ids[--sessions->n];
			return;
		}
}

static void tell_kernel(struct bridge *bridge, uint64_t session, uint64_t deadline_ns, uint32_t status,
			const struct weft_volume_info *volume)
{
	struct nlmsghdr *msg = bridge_netlink_begin(bridge, WEFT_CMD_LEASE, 0);

	mnl_attr_put_u64(msg, WEFT_A_SESSION, session);
	mnl_attr_put_u64(msg, WEFT_A_DEADLINE, deadline_ns);
	mnl_attr_put_u32(msg, WEFT_A_STATUS, status);
	if (volume && bridge->nl.features & WEFT_FEATURE_VOLUME_UPDATES)
		mnl_attr_put(msg, WEFT_A_VOLUME, sizeof(*volume), volume);
	bridge_netlink_send(bridge, "renew a session");
}

static bool alive(const struct ctl_frame *frame, uint64_t session)
{
	struct tlv_reader reader;
	struct tlv tlv;
	uint64_t id;

	tlv_reader_init(&reader, frame->payload, frame->len);
	while (tlv_next(&reader, &tlv) == 1)
		if (tlv.type == WEFT_C_SESSION && !tlv_u64(&tlv, &id) && id == session)
			return true;
	return false;
}

/* What the session's volume is like now; false: the service does not say. */
static bool find_volume(const struct ctl_frame *frame, uint64_t session, struct weft_volume_info *info)
{
	struct weft_c_volume volume;
	struct tlv_reader reader;
	struct tlv tlv;

	tlv_reader_init(&reader, frame->payload, frame->len);
	while (tlv_next(&reader, &tlv) == 1) {
		if (tlv.type != WEFT_C_VOLUME || tlv.len != sizeof(volume))
			continue;
		memcpy(&volume, tlv.data, sizeof(volume));
		*info = volume.info;
		if (le64toh(volume.session) == session)
			return true;
	}
	return false;
}

static void renewed(void *ctx, const struct ctl_frame *frame)
{
	struct renewal *renewal = ctx;
	struct weft_volume_info volume;

	for (size_t i = 0; frame->status == WEFT_ST_OK && i < renewal->n; i++) {
		uint64_t id = renewal->ids[i];

		if (alive(frame, id)) {
			tell_kernel(renewal->bridge, id, renewal->sent_ns + LEASE_NS, WEFT_ST_OK,
				    find_volume(frame, id, &volume) ? &volume : NULL);
		} else {
			log_error("the metadata service closed a mount's session; it must be unmounted  session=%llu",
				  (unsigned long long)id);
			tell_kernel(renewal->bridge, id, 0, WEFT_ST_SESSION_LOST, NULL);
			bridge_session_del(renewal->bridge, id);
		}
	}
	if (frame->status == WEFT_ST_NOT_LEADER)
		bridge_leader_next(renewal->bridge);
	free(renewal);
}

static void renew(uv_timer_t *timer)
{
	struct bridge *bridge = timer->data;
	struct bridge_sessions *sessions = &bridge->sessions;
	struct ctl_frame frame = { .type = WEFT_CTL_RENEW, .slot = WEFT_SLOT_NONE };
	struct tlv_writer writer;
	struct renewal *renewal;

	if (!sessions->n || !bridge->leader.ready || !bridge->nl.bound)
		return;
	renewal = malloc(sizeof(*renewal) + sessions->n * sizeof(*renewal->ids));
	if (!renewal)
		return; /* the next turn tries again */
	renewal->bridge = bridge;
	renewal->sent_ns = boottime_ns();
	renewal->n = sessions->n;
	memcpy(renewal->ids, sessions->ids, sessions->n * sizeof(*renewal->ids));
	tlv_writer_init(&writer, WEFT_CTL_PAYLOAD_MAX);
	for (size_t i = 0; i < sessions->n; i++)
		tlv_put_u64(&writer, WEFT_C_SESSION, sessions->ids[i]);
	frame.payload = writer.data;
	frame.len = writer.len;
	if (tlv_finish(&writer) || ctl_call(bridge->leader.conn, &frame, renewed, renewal))
		free(renewal);
	tlv_writer_free(&writer);
}

void bridge_session_start(struct bridge *bridge, unsigned int renew_ms)
{
	uv_timer_init(&bridge->loop, &bridge->sessions.timer);
	bridge->sessions.timer.data = bridge;
	uv_timer_start(&bridge->sessions.timer, renew, renew_ms, renew_ms);
}

void bridge_session_stop(struct bridge *bridge)
{
	uv_close((uv_handle_t *)&bridge->sessions.timer, NULL);
	free(bridge->sessions.ids);
	bridge->sessions.ids = NULL;
	bridge->sessions.n = 0;
}
