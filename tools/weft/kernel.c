// SPDX-License-Identifier: GPL-2.0-or-later
/* kernel.c - the module by generic netlink: what waits, hosts and mounts with their counters, and what it tells of. */
#include <errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "uapi/weft_counters.h"
#include "uapi/weft_netlink.h"
#include "weft.h"

/* How each attribute is shown; those without a name are not. */
enum shape { U8, U16, U32, U64, TEXT, UUID, COUNTERS };

static const struct {
	const char *name;
	enum shape shape;
} shown[WEFT_A_MAX + 1] = {
	[WEFT_A_CLUSTER] = { "cluster", UUID },   [WEFT_A_CLUSTER_NAME] = { "cluster-name", TEXT },
	[WEFT_A_REQ_ID] = { "id", U64 },          [WEFT_A_OP] = { "op", U16 },
	[WEFT_A_CLASS] = { "class", U8 },         [WEFT_A_SESSION] = { "session", U64 },
	[WEFT_A_INO] = { "inode", U64 },          [WEFT_A_PID] = { "pid", U32 },
	[WEFT_A_AGE] = { "age-ms", U64 },         [WEFT_A_STATE] = { "state", U32 },
	[WEFT_A_HOST] = { "host", U32 },          [WEFT_A_NAME] = { "name", TEXT },
	[WEFT_A_FLAGS] = { "connections", U32 },  [WEFT_A_TEXT] = { "text", TEXT },
	[WEFT_A_DEADLINE] = { "deadline-ns", U64 },[WEFT_A_BUDGET] = { "budget", U64 },
	[WEFT_A_COUNTER] = { "counters", COUNTERS },[WEFT_A_OFFSET] = { "offset", U64 },
	[WEFT_A_GROUP] = { "group", U64 },
};

static const char *counter_name(uint32_t id)
{
	switch (id) {
#define CASE(name, id, unit, help) case id: return #name;
		WEFT_HOST_COUNTERS(CASE)
		WEFT_MOUNT_COUNTERS(CASE)
#undef CASE
	default:
		return NULL;
	}
}

/* "GET_BYTES" becomes "get-bytes". */
static void add_counter(json_t *counters, struct nlattr *attr)
{
	struct nlattr *parts[WEFT_COUNTER_MAX + 1];
	const char *name;
	char key[64];
	size_t i;

	if (nla_parse_nested(parts, WEFT_COUNTER_MAX, attr, NULL) || !parts[WEFT_COUNTER_ID] || !parts[WEFT_COUNTER_VALUE])
		return;
	name = counter_name(nla_get_u32(parts[WEFT_COUNTER_ID]));
	if (!name)
		return;
	for (i = 0; name[i] && i < sizeof(key) - 1; i++)
		key[i] = name[i] == '_' ? '-' : (char)(name[i] | 0x20);
	key[i] = 0;
	json_object_set_new(counters, key, json_integer((json_int_t)nla_get_u64(parts[WEFT_COUNTER_VALUE])));
}

static json_t *show_uuid(const struct nlattr *attr)
{
	const uint8_t *uuid = nla_data(attr);
	char text[37], *at = text;

	if (nla_len(attr) != 16)
		return json_null();
	for (int i = 0; i < 16; i++)
		at += sprintf(at, "%02x%s", uuid[i], i == 3 || i == 5 || i == 7 || i == 9 ? "-" : "");
	return json_string(text);
}

static json_t *show_attr(struct nlattr *attr, enum shape shape)
{
	switch (shape) {
	case U8:
		return json_integer(nla_get_u8(attr));
	case U16:
		return json_integer(nla_get_u16(attr));
	case U32:
		return json_integer(nla_get_u32(attr));
	case U64:
		return json_integer((json_int_t)nla_get_u64(attr));
	case TEXT:
		return json_stringn_nocheck(nla_data(attr), strnlen(nla_data(attr), (size_t)nla_len(attr)));
	case UUID:
		return show_uuid(attr);
	case COUNTERS:
		break;
	}
	return json_null();
}

static json_t *show_message(struct nlmsghdr *header)
{
	json_t *object = json_object(), *counters = NULL;
	struct nlattr *attr;
	int rem;

	nla_for_each_attr(attr, genlmsg_attrdata(nlmsg_data(header), 0), genlmsg_attrlen(nlmsg_data(header), 0), rem) {
		int type = nla_type(attr);

		if (type > WEFT_A_MAX || !shown[type].name)
			continue;
		if (shown[type].shape != COUNTERS) {
			json_object_set_new(object, shown[type].name, show_attr(attr, shown[type].shape));
			continue;
		}
		if (!counters) {
			counters = json_object();
			json_object_set_new(object, "counters", counters);
		}
		add_counter(counters, attr);
	}
	return object;
}

static int add_object(struct nl_msg *msg, void *ctx)
{
	json_array_append_new(ctx, show_message(nlmsg_hdr(msg)));
	return NL_OK;
}

json_t *kernel_list(uint8_t command)
{
	struct nl_sock *sock = nl_socket_alloc();
	json_t *list = json_array();
	struct nl_msg *msg = NULL;
	int family, ret;

	if (!sock || !list) {
		fail("out of memory");
		goto err_free;
	}
	ret = genl_connect(sock);
	family = ret ? ret : genl_ctrl_resolve(sock, WEFT_FAMILY_NAME);
	if (family < 0) {
		fail("the kernel module is not loaded: run 'modprobe weft'");
		goto err_free;
	}
	msg = nlmsg_alloc();
	if (!msg || !genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, NLM_F_DUMP, command, WEFT_FAMILY_VERSION)) {
		fail("out of memory");
		goto err_free;
	}
	nl_socket_modify_cb(sock, NL_CB_VALID, NL_CB_CUSTOM, add_object, list);
	ret = nl_send_auto(sock, msg);
	if (ret >= 0)
		ret = nl_recvmsgs_default(sock);
	if (ret < 0) {
		if (ret == -NLE_PERM || ret == -NLE_NOACCESS)
			fail("the kernel shows this to root only: try 'sudo weft ...'");
		else
			fail("the kernel did not answer: %s", nl_geterror(ret));
		goto err_free;
	}
	nlmsg_free(msg);
	nl_socket_free(sock);
	return list;

err_free:
	json_decref(list);
	nlmsg_free(msg);
	nl_socket_free(sock);
	return NULL;
}

/* --- events ------------------------------------------------------------------------------------------------------------- */

struct kernel_events {
	struct nl_sock *sock;
	int family;
	json_t *list; /* what the messages of a read are added to */
};

static json_t *event_new(const char *kind)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return json_pack("{s:I, s:s}", "time_ms", (json_int_t)(now.tv_sec * 1000 + now.tv_nsec / 1000000), "kind", kind);
}

static int add_event(struct nl_msg *msg, void *ctx)
{
	static const char *const kinds[] = {
		[WEFT_EVENT_READ_FAILED] = "read-failed", [WEFT_EVENT_WRITE_FAILED] = "write-failed",
		[WEFT_EVENT_HOST_DOWN] = "host-down", [WEFT_EVENT_HOST_UP] = "host-up",
		[WEFT_EVENT_SESSION_LOST] = "session-lost", [WEFT_EVENT_DATA_DROPPED] = "data-dropped",
	};
	struct kernel_events *events = ctx;
	struct nlmsghdr *header = nlmsg_hdr(msg);
	struct nlattr *attr;
	json_t *event, *rest;
	uint32_t kind = 0;

	if (header->nlmsg_type != events->family || !genlmsg_valid_hdr(header, 0) ||
	    genlmsg_hdr(header)->cmd != WEFT_CMD_EVENT)
		return NL_SKIP;
	attr = nla_find(genlmsg_attrdata(nlmsg_data(header), 0), genlmsg_attrlen(nlmsg_data(header), 0), WEFT_A_EVENT);
	if (attr && nla_len(attr) >= (int)sizeof(kind))
		kind = nla_get_u32(attr);
	event = event_new(kind < sizeof(kinds) / sizeof(kinds[0]) && kinds[kind] ? kinds[kind] : "?");
	rest = show_message(header);
	json_object_update(event, rest);
	json_decref(rest);
	json_array_append_new(events->list, event);
	return NL_OK;
}

struct kernel_events *kernel_events_open(void)
{
	struct kernel_events *events = calloc(1, sizeof(*events));
	int group, ret;

	if (events)
		events->sock = nl_socket_alloc();
	if (!events || !events->sock) {
		fail("out of memory");
		goto err_close;
	}
	ret = genl_connect(events->sock);
	events->family = ret ? ret : genl_ctrl_resolve(events->sock, WEFT_FAMILY_NAME);
	group = events->family < 0 ? events->family :
		genl_ctrl_resolve_grp(events->sock, WEFT_FAMILY_NAME, WEFT_MCGRP_EVENTS);
	if (group < 0) {
		fail("the kernel's own events are not shown: the module is not loaded here");
		goto err_close;
	}
	nl_socket_disable_seq_check(events->sock);
	nl_socket_modify_cb(events->sock, NL_CB_VALID, NL_CB_CUSTOM, add_event, events);
	ret = nl_socket_add_membership(events->sock, group);
	if (!ret)
		ret = nl_socket_set_nonblocking(events->sock);
	if (ret) {
		if (ret == -NLE_PERM || ret == -NLE_NOACCESS)
			fail("the kernel's own events are not shown: they need CAP_NET_ADMIN");
		else
			fail("the kernel's own events are not shown: %s", nl_geterror(ret));
		goto err_close;
	}
	return events;

err_close:
	kernel_events_close(events);
	return NULL;
}

void kernel_events_close(struct kernel_events *events)
{
	if (!events)
		return;
	nl_socket_free(events->sock);
	free(events);
}

int kernel_events_fd(const struct kernel_events *events)
{
	return events ? nl_socket_get_fd(events->sock) : -1;
}

json_t *kernel_events_read(struct kernel_events *events)
{
	json_t *event;
	int ret;

	events->list = json_array();
	do {
		ret = nl_recvmsgs_default(events->sock);
	} while (ret >= 0);
	/* The kernel drops what finds the socket's buffer full, and says so once. */
	if (ret == -NLE_NOMEM) {
		event = event_new("lost");
		json_object_set_new(event, "text", json_string("events of the kernel came faster than they were read"));
		json_array_append_new(events->list, event);
	}
	return events->list;
}
