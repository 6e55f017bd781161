// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dumps: what waits, the hosts, the mounts. For `weft ps`, `weft status` and monitoring.
 *
 * A dump goes on where its last message ended: after (serial of the cluster, key of the object).
 * Objects that come and go meanwhile are in it or not; none is in it twice.
 */
#include "nl/internal.h"

#include <linux/slab.h>
#include <net/sock.h>

#include "obs/stats.h"

struct dump_cursor {
	u64 serial; /* clusters up to this one are done */
	u64 next;   /* the first key of the next cluster that has not been dumped */
};

static struct dump_cursor *dump_cursor(struct netlink_callback *cb)
{
	BUILD_BUG_ON(sizeof(struct dump_cursor) > sizeof(cb->ctx));
	return (struct dump_cursor *)cb->ctx;
}

/*
 * Calls one(cluster) for each cluster of the namespace until a message is full. one() dumps from
 * cursor->next on, and returns 0 when it has dumped everything or -EMSGSIZE when it has not.
 */
static int dump_clusters(struct sk_buff *skb, struct netlink_callback *cb,
			 int (*one)(struct sk_buff *skb, struct netlink_callback *cb,
				    struct weft_cluster *cluster))
{
	struct net *net = sock_net(skb->sk);
	struct dump_cursor *cursor = dump_cursor(cb);
	struct weft_cluster *cluster;
	int error = 0;

	while (!error && (cluster = weft_cluster_next(net, cursor->serial))) {
		error = one(skb, cb, cluster);
		if (!error) {
			cursor->serial = cluster->nl.serial;
			cursor->next = 0;
		}
		weft_cluster_put(cluster);
	}
	/*
	 * Full is how all messages but the last end; only an object that fits no message is an
	 * error.
	 */
	return error == -EMSGSIZE && skb->len ? skb->len : error;
}

static void *dump_begin(struct sk_buff *skb, struct netlink_callback *cb,
			struct weft_cluster *cluster, u8 cmd)
{
	void *head = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
				 &weft_nl_family, NLM_F_MULTI, cmd);

	if (!head)
		return NULL;
	if (!nla_put(skb, WEFT_A_CLUSTER, sizeof(cluster->uuid), &cluster->uuid))
		return head;
	genlmsg_cancel(skb, head);
	return NULL;
}

static const char *const request_places[] = {
	[WEFT_REQUEST_SLOT] = "waits for a slot of its session",
	[WEFT_REQUEST_QUEUED] = "waits to be fetched by a daemon",
	[WEFT_REQUEST_FETCHED] = "waits for the daemon's answer",
};

static int dump_request(struct sk_buff *skb, struct netlink_callback *cb,
			struct weft_cluster *cluster, struct weft_request *req)
{
	u8 place = READ_ONCE(req->place);
	void *head;

	if (place == WEFT_REQUEST_IDLE || place == WEFT_REQUEST_DONE)
		return 0;
	head = dump_begin(skb, cb, cluster, WEFT_CMD_REQUEST_GET);
	if (!head)
		return -EMSGSIZE;
	if (nla_put_u64_64bit(skb, WEFT_A_REQ_ID, req->id, WEFT_A_PAD) ||
	    nla_put_u16(skb, WEFT_A_OP, req->op) || nla_put_u8(skb, WEFT_A_CLASS, req->class) ||
	    nla_put_u64_64bit(skb, WEFT_A_SESSION, req->session, WEFT_A_PAD) ||
	    nla_put_u64_64bit(skb, WEFT_A_INO, req->ino, WEFT_A_PAD) ||
	    nla_put_u32(skb, WEFT_A_PID, req->pid) ||
	    nla_put_u64_64bit(skb, WEFT_A_AGE, ktime_ms_delta(ktime_get_boottime(), req->born),
			      WEFT_A_PAD) ||
	    nla_put_u32(skb, WEFT_A_STATE, place) ||
	    nla_put_string(skb, WEFT_A_TEXT, request_places[place])) {
		genlmsg_cancel(skb, head);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	return 0;
}

static int dump_requests(struct sk_buff *skb, struct netlink_callback *cb,
			 struct weft_cluster *cluster)
{
	struct dump_cursor *cursor = dump_cursor(cb);
	struct weft_request *req;
	int error = 0;

	while (!error && (req = weft_request_next(cluster, cursor->next))) {
		error = dump_request(skb, cb, cluster, req);
		if (!error)
			cursor->next = req->id + 1;
		weft_request_put(req);
	}
	return error;
}

int weft_nl_request_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump_clusters(skb, cb, dump_requests);
}

static int dump_mount(struct sk_buff *skb, struct netlink_callback *cb,
		      struct weft_cluster *cluster, struct weft_mount *mount)
{
	void *head = dump_begin(skb, cb, cluster, WEFT_CMD_MOUNT_GET);

	if (!head)
		return -EMSGSIZE;
	if (nla_put_u64_64bit(skb, WEFT_A_SESSION, mount->session, WEFT_A_PAD) ||
	    nla_put_string(skb, WEFT_A_NAME, mount->volume_name) ||
	    nla_put_u32(skb, WEFT_A_STATE, READ_ONCE(mount->state)) ||
	    nla_put_u64_64bit(skb, WEFT_A_DEADLINE, mount->nl.lease_deadline, WEFT_A_PAD) ||
	    nla_put_u64_64bit(skb, WEFT_A_BUDGET, READ_ONCE(mount->io.budget), WEFT_A_PAD) ||
	    weft_stats_put_mount(skb, mount)) {
		genlmsg_cancel(skb, head);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	return 0;
}

/* In the order in which they were mounted; the key is the place in the list. */
static int dump_mounts(struct sk_buff *skb, struct netlink_callback *cb,
		       struct weft_cluster *cluster)
{
	struct dump_cursor *cursor = dump_cursor(cb);
	struct weft_mount *mount;
	u64 place = 0;
	int error = 0;

	spin_lock(&cluster->nl.lock);
	list_for_each_entry(mount, &cluster->nl.mounts, nl.link) {
		if (place++ < cursor->next || !mount->session)
			continue;
		error = dump_mount(skb, cb, cluster, mount);
		if (error)
			break;
		cursor->next = place;
	}
	spin_unlock(&cluster->nl.lock);
	return error;
}

int weft_nl_mount_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump_clusters(skb, cb, dump_mounts);
}

static int dump_host(struct sk_buff *skb, struct netlink_callback *cb, struct weft_cluster *cluster,
		     const struct weft_host_info *info)
{
	void *head = dump_begin(skb, cb, cluster, WEFT_CMD_HOST_GET);
	u32 flags = (info->bulk ? BIT(WEFT_CONN_KIND_BULK - 1) : 0) |
		    (info->small ? BIT(WEFT_CONN_KIND_SMALL - 1) : 0);
	int error;

	if (!head)
		return -EMSGSIZE;
	error = nla_put_u32(skb, WEFT_A_HOST, info->host) ?: nla_put_string(skb, WEFT_A_NAME, info->name) ?:
		nla_put_u32(skb, WEFT_A_STATE, info->state) ?: nla_put_u32(skb, WEFT_A_FLAGS, flags);
	for (size_t i = 0; i < ARRAY_SIZE(info->counters) && !error; i++)
		error = weft_stats_put(skb, info->counters[i].id, info->counters[i].value);
	if (error) {
		genlmsg_cancel(skb, head);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	return 0;
}

static int dump_hosts(struct sk_buff *skb, struct netlink_callback *cb,
		      struct weft_cluster *cluster)
{
	struct dump_cursor *cursor = dump_cursor(cb);
	struct weft_host_info *info;
	int error = 0;

	info = kmalloc(sizeof(*info), GFP_KERNEL);
	if (!info)
		return -ENOMEM;
	while (!error && cursor->next <= U32_MAX &&
	       weft_host_info_next(cluster, cursor->next, info)) {
		error = dump_host(skb, cb, cluster, info);
		if (!error)
			cursor->next = (u64)info->host + 1;
	}
	kfree(info);
	return error;
}

int weft_nl_host_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump_clusters(skb, cb, dump_hosts);
}
