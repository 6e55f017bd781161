/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bridge.h - the role that stands between the kernel and the metadata service
 *
 * It fetches the kernel's requests, passes their payloads on unchanged, brings back the answers, keeps the kernel's tables
 * of hosts and groups up to date, opens connections to store hosts and hands them over, and renews the mounts' sessions.
 * It decides nothing and keeps nothing that the next bridge could not learn anew: kill -9 loses nothing.
 *
 * Threading: one thread, one libuv loop. Nothing on it blocks: netlink and sockets are non-blocking, the log drops. The
 * process is locked in memory and allocates only bounded amounts: requests under way (REQUESTS_MAX), the map.
 */
#ifndef WEFT_BRIDGE_BRIDGE_H
#define WEFT_BRIDGE_BRIDGE_H

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/bloom.h"
#include "net/ctl.h"
#include "uapi/weft_netlink.h"

struct bridge;
struct conf;
struct nlattr;

/* Requests under way at most; class 3 leaves room for the others. */
#define REQUESTS_MAX        2048u
#define REQUESTS_MAX_CLASS3 1536u

/* --- netlink.c: the socket to the kernel ------------------------------------------------------------------------------ */

struct bridge_netlink {
	struct mnl_socket *sock;
	uv_poll_t poll;
	uv_timer_t retry;
	uint16_t family;
	uint32_t seq;
	bool bound;
	bool ready;              /* the kernel has requests for us */
	uint64_t features;       /* what it can do of what we can */
	uint8_t *rx;
	size_t rx_size;
	uint8_t *tx;             /* message under construction */
	struct nlmsghdr *msg;
};

/* Open the socket and find the family; -ENOENT: the module is not loaded. */
int bridge_netlink_open(struct bridge *bridge);
void bridge_netlink_close(struct bridge *bridge);
/* Build a command: begin, put attributes with mnl_attr_put*() on bridge->nl.msg, send. Never blocks. */
struct nlmsghdr *bridge_netlink_begin(struct bridge *bridge, uint8_t cmd, uint16_t flags);
int bridge_netlink_send(struct bridge *bridge, const char *what);

/* --- upcall.c: requests of the kernel ----------------------------------------------------------------------------------- */

struct upcall {
	struct upcall *prev, *next;
	struct bridge *bridge;
	uint64_t id;             /* the kernel's */
	uint16_t op;
	uint8_t request_class;
	uint64_t session, sequence;
	uint32_t slot;
	bool sent;               /* to the leader that we are connected to */
	size_t len;
	uint8_t payload[];
};

struct bridge_upcalls {
	struct upcall *first, *last; /* all under way, oldest first */
	unsigned int n, n_class3;
	bool held_back;          /* the last fetch left class 3 out */
	struct answer *answers, **answers_end;
	uv_prepare_t flush;
};

void bridge_upcall_init(struct bridge *bridge);
/* Forget all; the kernel gives them to whoever binds next. */
void bridge_upcall_exit(struct bridge *bridge);
/* A REQUEST message came; attributes are checked by the caller for sizes. */
void bridge_upcall_add(struct bridge *bridge, const struct nlattr *attrs[]);
/* Answer it; the payload is copied. The upcall is gone afterwards. */
void bridge_upcall_answer(struct upcall *upcall, uint32_t status, const void *payload, size_t len);
/* A leader came, or may have room again: send what is not under way, in order. It recognises repeats. */
void bridge_upcall_resend(struct bridge *bridge);

/* --- leader.c: the connection to the metadata service --------------------------------------------------------------------- */

struct bridge_leader {
	const char **addresses;
	size_t n_addresses, at;
	struct ctl_conn *conn;
	bool ready;
	unsigned int wait;       /* ms before the next try */
	uv_timer_t timer;
};

int bridge_leader_start(struct bridge *bridge);
void bridge_leader_stop(struct bridge *bridge);
/* This one is not the leader: go to the next. */
void bridge_leader_next(struct bridge *bridge);

/* --- map.c: hosts, stores, groups ------------------------------------------------------------------------------------------- */

struct map_host {
	uint32_t host, state;
	bool seen;
	char *name;
	char **addresses;
	size_t n_addresses;
	uint32_t *stores;
	size_t n_stores;
	struct dial *dial;       /* connections being opened, host.c */
	size_t next_address;
};

struct map_group {
	uint64_t group;
	bool seen;
	size_t len;
	uint8_t *record;         /* struct weft_c_group and slots, as it came */
};

struct bridge_map {
	struct map_host *hosts;  /* sorted by number */
	size_t n_hosts;
	struct map_group *groups;/* sorted by id */
	size_t n_groups;
	bool building;           /* frames of a whole map are coming */
};

/* A MAP frame; tells the kernel what changed. Malformed ones are logged and ignored. */
void bridge_map_update(struct bridge *bridge, const void *payload, size_t len);
/* Tell the kernel everything: after BIND. */
void bridge_map_push(struct bridge *bridge);
struct map_host *bridge_map_host(struct bridge *bridge, uint32_t host);
void bridge_map_free(struct bridge *bridge);

/* --- contents.c: contents that nobody has ----------------------------------------------------------------------------------- */

struct bridge_contents {
	struct bloom filter; /* .bits NULL: none yet */
	struct bloom coming; /* of which .have bytes are here */
	size_t have;
};

/* A BLOOM frame. Malformed ones are logged, and all is asked for until another filter comes. */
void bridge_contents_update(struct bridge *bridge, const void *payload, size_t len);
/* CHUNKS: surely nobody has any of what it asks for. Then they count as there from now on. */
bool bridge_contents_are_new(struct bridge *bridge, const void *payload, size_t len);
void bridge_contents_free(struct bridge *bridge);

/* --- host.c: connections for the kernel -------------------------------------------------------------------------------------- */

/* HOST_WANT: open what connects to the host, hand it over, answer. */
void bridge_host_want(struct upcall *upcall);
/* HOST_FAILED: the kernel lost a connection. */
void bridge_host_failed(struct upcall *upcall);
/* Stop dialing a host that leaves the map. */
void bridge_host_forget(struct map_host *host);

/* --- session.c: the mounts' sessions -------------------------------------------------------------------------------------------- */

struct bridge_sessions {
	uint64_t *ids;
	size_t n;
	uv_timer_t timer;
};

void bridge_session_start(struct bridge *bridge, unsigned int renew_ms);
void bridge_session_stop(struct bridge *bridge);
void bridge_session_add(struct bridge *bridge, uint64_t session);
void bridge_session_del(struct bridge *bridge, uint64_t session);

/* --- bridge.c ------------------------------------------------------------------------------------------------------------------- */

struct bridge {
	uv_loop_t loop;
	const struct conf *conf;
	struct ctl_self self;
	char host_name[256];
	uv_signal_t sigterm, sigint;
	int exit_status;
	bool stopping;
	struct bridge_netlink nl;
	struct bridge_upcalls upcalls;
	struct bridge_leader leader;
	struct bridge_map map;
	struct bridge_contents contents;
	struct bridge_sessions sessions;
};

/* Become the kernel's daemon for the cluster that the leader named. */
void bridge_bind(struct bridge *bridge);
/* End the process in an orderly way with that status. */
void bridge_stop(struct bridge *bridge, int status);

#endif
