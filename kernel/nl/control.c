// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands of the daemon and the administrator that change state: hosts, groups, leases, time,
 * limits, abort.
 *
 * Each checks its attributes and says what is wrong, then hands over to who owns the state. None
 * waits.
 */
#include "nl/internal.h"

#include <linux/file.h>
#include <linux/net.h>
#include <linux/slab.h>
#include <linux/tcp.h>

/* More than a host has disks. */
#define CONTROL_STORES_MAX 4096

static int attr_needed(struct genl_info *info, int attr, const char *sentence)
{
	if (!GENL_REQ_ATTR_CHECK(info, attr))
		return 0;
	NL_SET_ERR_MSG_FMT(info->extack, "%s", sentence);
	return -EINVAL;
}

/* The attributes of type store, all of them, in an array that the caller frees. */
static u32 *stores_collect(struct genl_info *info, unsigned int *count)
{
	const struct nlattr *attr;
	unsigned int n = 0;
	u32 *stores;
	int rem;

	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rem)
		n += nla_type(attr) == WEFT_A_STORE;
	if (n > CONTROL_STORES_MAX) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[WEFT_A_STORE],
				    "a host has at most 4096 stores");
		return ERR_PTR(-E2BIG);
	}
	stores = kmalloc_array(max(n, 1U), sizeof(*stores), GFP_KERNEL);
	if (!stores)
		return ERR_PTR(-ENOMEM);
	n = 0;
	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rem) {
		if (nla_type(attr) != WEFT_A_STORE)
			continue;
		stores[n++] = nla_get_u32(attr);
		if (stores[n - 1] == WEFT_STORE_NONE) {
			NL_SET_ERR_MSG_ATTR(info->extack, attr, "0 is no number of a store");
			kfree(stores);
			return ERR_PTR(-EINVAL);
		}
	}
	*count = n;
	return stores;
}

/* The file stays referenced by the socket returned; sockfd_put() drops it. */
static struct socket *sock_of_fd(struct genl_info *info)
{
	struct nlattr *attr = info->attrs[WEFT_A_FD];
	struct socket *sock;
	const char *wrong = NULL;
	int error;

	sock = sockfd_lookup(nla_get_s32(attr), &error);
	if (!sock) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr,
				    "the descriptor is not a socket of the calling process");
		return ERR_PTR(error);
	}
	if (sock->type != SOCK_STREAM)
		wrong = "the socket is not a stream";
	else if (sock->sk->sk_family == AF_INET || sock->sk->sk_family == AF_INET6)
		wrong = sock->sk->sk_protocol == IPPROTO_TCP ? NULL : "the socket is not TCP";
	else if (sock->sk->sk_family != AF_UNIX)
		wrong = "the socket is neither TCP nor AF_UNIX";
	if (!wrong && READ_ONCE(sock->sk->sk_state) != TCP_ESTABLISHED)
		wrong = "the socket is not connected";
	if (!wrong)
		return sock;
	NL_SET_ERR_MSG_FMT(info->extack, "%s", wrong);
	NL_SET_BAD_ATTR(info->extack, attr);
	sockfd_put(sock);
	return ERR_PTR(-EINVAL);
}

static int host_set_check(struct genl_info *info)
{
	int error;

	error = attr_needed(info, WEFT_A_HOST, "HOST_SET needs the host's number");
	if (!error)
		error = attr_needed(info, WEFT_A_NAME, "HOST_SET needs the host's name");
	if (!error)
		error = attr_needed(info, WEFT_A_STATE, "HOST_SET needs the host's state");
	if (!error && info->attrs[WEFT_A_FD])
		error = attr_needed(info, WEFT_A_KIND, "a connection is of the kind bulk or small");
	if (error)
		return error;
	if (!nla_get_u32(info->attrs[WEFT_A_HOST])) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[WEFT_A_HOST],
				    "0 is no number of a host");
		return -EINVAL;
	}
	if (info->attrs[WEFT_A_FD]) {
		u32 kind = nla_get_u32(info->attrs[WEFT_A_KIND]);

		if (kind != WEFT_CONN_KIND_BULK && kind != WEFT_CONN_KIND_SMALL) {
			NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[WEFT_A_KIND],
					    "a connection is of the kind bulk or small");
			return -EINVAL;
		}
	}
	return 0;
}

int weft_nl_host_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct weft_nl_sock *bound = info->user_ptr[0];
	struct socket *sock = NULL;
	unsigned int n_stores;
	u32 *stores, kind = 0;
	int error;

	error = host_set_check(info);
	if (error)
		return error;
	stores = stores_collect(info, &n_stores);
	if (IS_ERR(stores))
		return PTR_ERR(stores);
	if (info->attrs[WEFT_A_FD]) {
		kind = nla_get_u32(info->attrs[WEFT_A_KIND]);
		sock = sock_of_fd(info);
		if (IS_ERR(sock)) {
			error = PTR_ERR(sock);
			goto out_free_stores;
		}
	}
	error = weft_host_set(bound->cluster, nla_get_u32(info->attrs[WEFT_A_HOST]),
			      nla_data(info->attrs[WEFT_A_NAME]),
			      nla_get_u32(info->attrs[WEFT_A_STATE]), stores, n_stores, kind, sock,
			      info->extack);
	if (sock)
		sockfd_put(sock);
out_free_stores:
	kfree(stores);
	return error;
}

int weft_nl_host_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct weft_nl_sock *bound = info->user_ptr[0];
	int error = attr_needed(info, WEFT_A_HOST, "HOST_DEL needs the host's number");

	if (error)
		return error;
	error = weft_host_del(bound->cluster, nla_get_u32(info->attrs[WEFT_A_HOST]));
	if (error == -ENOENT)
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[WEFT_A_HOST],
				    "no host of that number is known");
	return error;
}

static int group_set_check(struct genl_info *info)
{
	static const struct {
		int attr;
		const char *sentence;
	} needed[] = {
		{ WEFT_A_GROUP, "GROUP_SET needs the group's id" },
		{ WEFT_A_DOMAIN, "GROUP_SET needs the group's domain" },
		{ WEFT_A_K, "GROUP_SET needs k" },
		{ WEFT_A_M, "GROUP_SET needs m" },
		{ WEFT_A_SLOTS, "GROUP_SET needs the stores of the slots" },
	};
	unsigned int shards;
	int error;

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		error = attr_needed(info, needed[i].attr, needed[i].sentence);
		if (error)
			return error;
	}
	shards = nla_get_u8(info->attrs[WEFT_A_K]) + nla_get_u8(info->attrs[WEFT_A_M]);
	if (shards > WEFT_SHARDS_MAX) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[WEFT_A_M], "k + m is at most 32");
		return -EINVAL;
	}
	if (nla_len(info->attrs[WEFT_A_SLOTS]) != shards * sizeof(__le32)) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[WEFT_A_SLOTS],
				    "a group has k + m slots of 4 bytes");
		return -EINVAL;
	}
	return 0;
}

int weft_nl_group_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct weft_nl_sock *bound = info->user_ptr[0];
	__le32 slots[WEFT_SHARDS_MAX];
	int error = group_set_check(info);

	if (error)
		return error;
	nla_memcpy(slots, info->attrs[WEFT_A_SLOTS], sizeof(slots));
	return weft_group_set(bound->cluster, nla_get_u64(info->attrs[WEFT_A_GROUP]),
			      nla_get_u64(info->attrs[WEFT_A_DOMAIN]),
			      nla_get_u8(info->attrs[WEFT_A_K]), nla_get_u8(info->attrs[WEFT_A_M]),
			      info->attrs[WEFT_A_FLAGS] ? nla_get_u32(info->attrs[WEFT_A_FLAGS])
							: 0,
			      info->attrs[WEFT_A_WEIGHT] ? nla_get_u32(info->attrs[WEFT_A_WEIGHT])
							 : 1,
			      slots, info->extack);
}

int weft_nl_group_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct weft_nl_sock *bound = info->user_ptr[0];
	int error = attr_needed(info, WEFT_A_GROUP, "GROUP_DEL needs the group's id");

	if (error)
		return error;
	error = weft_group_del(bound->cluster, nla_get_u64(info->attrs[WEFT_A_GROUP]));
	if (error == -ENOENT)
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[WEFT_A_GROUP],
				    "no group of that id is known");
	return error;
}

static void lease_renew(struct weft_mount *mount, struct genl_info *info)
{
	const struct nlattr *volume = info->attrs[WEFT_A_VOLUME];
	struct weft_volume_info now;

	mount->nl.lease_deadline = max(mount->nl.lease_deadline,
				       nla_get_u64(info->attrs[WEFT_A_DEADLINE]));
	if (!volume)
		return;
	nla_memcpy(&now, volume, sizeof(now));
	weft_policy_update(mount, &now);
}

int weft_nl_lease_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct weft_nl_sock *bound = info->user_ptr[0];
	struct weft_cluster *cluster = bound->cluster;
	u32 status = info->attrs[WEFT_A_STATUS] ? nla_get_u32(info->attrs[WEFT_A_STATUS])
						: WEFT_ST_OK;
	int error = attr_needed(info, WEFT_A_SESSION, "LEASE needs the session");
	struct weft_mount *mount;
	bool found = false, lost = false;
	u64 session;

	if (!error && status == WEFT_ST_OK)
		error = attr_needed(info, WEFT_A_DEADLINE,
				    "LEASE needs the deadline, or the status of a lost session");
	if (error)
		return error;
	session = nla_get_u64(info->attrs[WEFT_A_SESSION]);
	spin_lock(&cluster->nl.lock);
	list_for_each_entry(mount, &cluster->nl.mounts, nl.link) {
		if (!session || mount->session != session)
			continue;
		found = true;
		if (status == WEFT_ST_OK)
			lease_renew(mount, info);
		else
			lost = weft_nl_mount_end(mount, WEFT_MOUNT_LOST);
		break;
	}
	spin_unlock(&cluster->nl.lock);
	if (!found) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[WEFT_A_SESSION],
				    "no mount of this cluster has that session");
		return -ENOENT;
	}
	if (lost)
		weft_event(cluster,
			WEFT_EVENT_SESSION_LOST, session, 0, 0, 0,
			"session %llu was closed by the metadata service (%s): unmount and mount again",
			session, weft_status_text(status));
	return 0;
}

int weft_nl_time_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct weft_nl_sock *bound = info->user_ptr[0];
	int error = attr_needed(info, WEFT_A_OFFSET, "TIME needs the offset");

	if (error)
		return error;
	WRITE_ONCE(bound->cluster->nl.time_offset, nla_get_s64(info->attrs[WEFT_A_OFFSET]));
	return 0;
}

/* The cluster that a command of an administrator names. */
static struct weft_cluster *cluster_named(struct genl_info *info)
{
	int error = attr_needed(info, WEFT_A_CLUSTER, "the command needs the cluster's UUID");
	struct weft_cluster *cluster;
	uuid_t uuid;

	if (error)
		return ERR_PTR(error);
	import_uuid(&uuid, nla_data(info->attrs[WEFT_A_CLUSTER]));
	cluster = weft_cluster_by_uuid(genl_info_net(info), &uuid);
	if (cluster)
		return cluster;
	NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[WEFT_A_CLUSTER],
			    "no cluster of that UUID is known in this network namespace");
	return ERR_PTR(-ENOENT);
}

int weft_nl_limits_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct weft_cluster *cluster = cluster_named(info);
	struct weft_mount *mount;
	u64 budget;
	int error;

	if (IS_ERR(cluster))
		return PTR_ERR(cluster);
	error = attr_needed(info, WEFT_A_BUDGET, "LIMITS needs the budget");
	if (error)
		goto out_put_cluster;
	budget = nla_get_u64(info->attrs[WEFT_A_BUDGET]);
	if (budget < WEFT_BUDGET_MIN || budget > WEFT_BUDGET_MAX) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[WEFT_A_BUDGET],
				    "a budget is 16 MiB to 16 TiB");
		error = -ERANGE;
		goto out_put_cluster;
	}
	spin_lock(&cluster->nl.lock);
	cluster->nl.budget = budget;
	list_for_each_entry(mount, &cluster->nl.mounts, nl.link)
		weft_io_budget_set(mount, budget);
	spin_unlock(&cluster->nl.lock);
out_put_cluster:
	weft_cluster_put(cluster);
	return error;
}

int weft_nl_abort_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct weft_cluster *cluster = cluster_named(info);
	u64 session = info->attrs[WEFT_A_SESSION] ? nla_get_u64(info->attrs[WEFT_A_SESSION]) : 0;
	struct weft_mount *mount;
	bool found = !session;

	if (IS_ERR(cluster))
		return PTR_ERR(cluster);
	spin_lock(&cluster->nl.lock);
	list_for_each_entry(mount, &cluster->nl.mounts, nl.link) {
		if (session && mount->session != session)
			continue;
		found = true;
		weft_nl_mount_end(mount, WEFT_MOUNT_FORCED);
	}
	spin_unlock(&cluster->nl.lock);
	if (!session)
		weft_cluster_desert(cluster);
	weft_cluster_put(cluster);
	if (found)
		return 0;
	NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[WEFT_A_SESSION],
			    "no mount of this cluster has that session");
	return -ENOENT;
}
