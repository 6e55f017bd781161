// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bridge.c - start, binding and end of the bridge
 *
 * The process is on the way of the kernel's writeback: it must not wait for memory that only that writeback can free. So it
 * is an IO flusher, locked in memory, spared by the OOM killer, and calls no other process on the way of a request.
 */
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "bridge/bridge.h"
#include "conf/conf.h"
#include "weftd.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

static void protect_process(const struct conf *conf)
{
	int fd;

	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		log_warn("cannot become an IO flusher: %s", strerror(errno));
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "-1000", 5) != 5)
		log_warn("cannot ask the OOM killer to spare the bridge: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	if (conf_bool(conf, "bridge", "lock-memory") && mlockall(MCL_CURRENT | MCL_FUTURE))
		log_warn("cannot lock the bridge in memory: %s", strerror(errno));
}

void bridge_bind(struct bridge *bridge)
{
	struct nlmsghdr *msg;

	if (bridge->nl.bound)
		return;
	msg = bridge_netlink_begin(bridge, WEFT_CMD_BIND, 0);
	mnl_attr_put(msg, WEFT_A_CLUSTER, sizeof(bridge->self.cluster), bridge->self.cluster);
	mnl_attr_put_strz(msg, WEFT_A_CLUSTER_NAME, conf_text(bridge->conf, "cluster", NULL, "name", 0));
	mnl_attr_put_u32(msg, WEFT_A_INCARNATION, bridge->self.incarnation);
	mnl_attr_put_u64(msg, WEFT_A_FEATURES, WEFT_FEATURE_DATA_PLAIN | WEFT_FEATURE_VOLUME_UPDATES);
	bridge_netlink_send(bridge, "bind");
}

void bridge_stop(struct bridge *bridge, int status)
{
	if (bridge->stopping)
		return;
	bridge->stopping = true;
	bridge->exit_status = status;
	uv_stop(&bridge->loop);
}

static void signalled(uv_signal_t *handle, int signum)
{
	(void)signum;
	bridge_stop(handle->data, 0);
}

static void watch_signal(struct bridge *bridge, uv_signal_t *handle, int signum)
{
	uv_signal_init(&bridge->loop, handle);
	handle->data = bridge;
	uv_signal_start(handle, signalled, signum);
}

/* Everything is closed in the order in which it may still call back: connection, dialing, requests. */
static void close_all(struct bridge *bridge)
{
	bridge_leader_stop(bridge);
	bridge_map_free(bridge);
	bridge_contents_free(bridge);
	bridge_session_stop(bridge);
	bridge_netlink_close(bridge);
	uv_close((uv_handle_t *)&bridge->sigterm, NULL);
	uv_close((uv_handle_t *)&bridge->sigint, NULL);
	/* Runs until the connection has said that it is closed; the flush handle does not keep the loop alive. */
	uv_unref((uv_handle_t *)&bridge->upcalls.flush);
	uv_run(&bridge->loop, UV_RUN_DEFAULT);
	bridge_upcall_exit(bridge);
	uv_run(&bridge->loop, UV_RUN_DEFAULT);
}

int bridge_main(const struct conf *conf)
{
	static struct bridge bridge;
	const char *name = conf_text(conf, "host", NULL, "name", 0);
	int ret;

	bridge.conf = conf;
	if (name)
		snprintf(bridge.host_name, sizeof(bridge.host_name), "%s", name);
	else if (gethostname(bridge.host_name, sizeof(bridge.host_name) - 1))
		snprintf(bridge.host_name, sizeof(bridge.host_name), "?");
	bridge.self.role = WEFT_CTL_ROLE_BRIDGE;
	bridge.self.name = bridge.host_name;
	protect_process(conf);
	uv_loop_init(&bridge.loop);
	ret = bridge_netlink_open(&bridge);
	if (ret == -ENOENT) {
		log_error("the kernel module is not loaded: run 'modprobe weft' (trying again)");
		return 1;
	}
	if (ret) {
		log_error("cannot open a netlink socket to the kernel: %s", strerror(-ret));
		return 1;
	}
	watch_signal(&bridge, &bridge.sigterm, SIGTERM);
	watch_signal(&bridge, &bridge.sigint, SIGINT);
	bridge_upcall_init(&bridge);
	bridge_session_start(&bridge, (unsigned int)conf_number(conf, "bridge", NULL, "renew"));
	if (bridge_leader_start(&bridge))
		return WEFTD_EXIT_FATAL;
	uv_run(&bridge.loop, UV_RUN_DEFAULT);
	bridge.stopping = true;
	close_all(&bridge);
	return bridge.exit_status;
}
