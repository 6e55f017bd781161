// SPDX-License-Identifier: GPL-2.0-only
/*
 * BIND and the sockets that are bound.
 *
 * Sockets of one generation share the work. A BIND without join starts the next generation: the
 * others become stale, what they had fetched goes back to the queue, everything that they send is
 * refused with ESTALE; so a daemon that was stopped, or that does not die, cannot answer for its
 * successor. A socket that is closed releases in the same way.
 *
 * Generations are never reused while the module is loaded, not even by a cluster that was retired
 * and made anew.
 */
#include "nl/internal.h"

#include <linux/slab.h>

#define BIND_FEATURES (WEFT_FEATURE_DATA_PLAIN | WEFT_FEATURE_VOLUME_UPDATES)

static atomic64_t last_generation = ATOMIC64_INIT(0);

void weft_nl_sock_put(struct weft_nl_sock *sock)
{
	if (!refcount_dec_and_test(&sock->ref))
		return;
	weft_cluster_put(sock->cluster);
	kfree_rcu(sock, rcu);
}

struct weft_nl_sock *weft_nl_sock_find(struct net *net, u32 portid)
{
	struct weft_nl_sock *sock, *found = NULL;

	rcu_read_lock();
	hash_for_each_possible_rcu(weft_nl_net(net)->socks, sock, hash, portid) {
		if (sock->portid == portid && refcount_inc_not_zero(&sock->ref)) {
			found = sock;
			break;
		}
	}
	rcu_read_unlock();
	return found;
}

/* Not of its generation any more. Under the cluster's lock. */
static void bound_detach(struct weft_nl_sock *sock)
{
	struct weft_nl_cluster *nl = &sock->cluster->nl;

	lockdep_assert_held(&nl->lock);
	if (sock->stale)
		return;
	WRITE_ONCE(sock->stale, true);
	weft_queue_put_back(sock);
	list_del_init(&sock->link);
	if (list_empty(&nl->socks))
		nl->unbound_since = jiffies;
}

/* It has left the table: it is the caller's alone to release. */
static void bound_release(struct weft_nl_sock *sock)
{
	struct weft_cluster *cluster = sock->cluster;

	spin_lock(&cluster->nl.lock);
	bound_detach(sock);
	spin_unlock(&cluster->nl.lock);
	/* The others of the generation take what came back. */
	weft_queue_announce(cluster);
	weft_cluster_unuse(cluster);
	weft_nl_sock_put(sock);
}

void weft_nl_sock_release(struct net *net, u32 portid)
{
	struct weft_nl_sock *sock, *found = NULL;

	/* Every generic netlink socket of the machine comes by here. */
	sock = weft_nl_sock_find(net, portid);
	if (!sock)
		return;
	spin_lock(&weft_nl_lock);
	if (!hlist_unhashed(&sock->hash)) {
		hash_del_rcu(&sock->hash);
		found = sock;
	}
	spin_unlock(&weft_nl_lock);
	if (found)
		bound_release(found);
	weft_nl_sock_put(sock);
}

void weft_nl_socks_release(struct net *net)
{
	struct weft_nl_net *nn = weft_nl_net(net);
	struct hlist_node *next;
	struct weft_nl_sock *sock;
	HLIST_HEAD(released);
	int bucket;

	spin_lock(&weft_nl_lock);
	hash_for_each_safe(nn->socks, bucket, next, sock, hash) {
		hash_del_rcu(&sock->hash);
		hlist_add_head(&sock->hash, &released);
	}
	spin_unlock(&weft_nl_lock);
	hlist_for_each_entry_safe(sock, next, &released, hash) {
		hlist_del_init(&sock->hash);
		bound_release(sock);
	}
}

static int bind_check(struct genl_info *info)
{
	if (GENL_REQ_ATTR_CHECK(info, WEFT_A_CLUSTER)) {
		NL_SET_ERR_MSG(info->extack, "BIND needs the cluster's UUID");
		return -EINVAL;
	}
	if (info->attrs[WEFT_A_JOIN])
		return 0;
	if (GENL_REQ_ATTR_CHECK(info, WEFT_A_CLUSTER_NAME) ||
	    GENL_REQ_ATTR_CHECK(info, WEFT_A_INCARNATION)) {
		NL_SET_ERR_MSG(info->extack, "BIND needs the cluster's name and incarnation");
		return -EINVAL;
	}
	if (!nla_len(info->attrs[WEFT_A_CLUSTER_NAME]) ||
	    !*(char *)nla_data(info->attrs[WEFT_A_CLUSTER_NAME])) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[WEFT_A_CLUSTER_NAME],
				    "the cluster's name is empty");
		return -EINVAL;
	}
	return 0;
}

/*
 * Under the cluster's lock. The socket becomes one of the present generation, or begins the next.
 */
static int bind_attach(struct weft_nl_sock *sock, struct genl_info *info)
{
	struct weft_nl_cluster *nl = &sock->cluster->nl;
	struct weft_nl_sock *other, *next;

	if (info->attrs[WEFT_A_JOIN]) {
		if (!nl->generation) {
			NL_SET_ERR_MSG(info->extack,
				"there is no generation to join: no daemon has bound to the cluster");
			return -ESTALE;
		}
		if (!info->attrs[WEFT_A_GENERATION] ||
		    nla_get_u64(info->attrs[WEFT_A_GENERATION]) != nl->generation) {
			NL_SET_ERR_MSG(info->extack,
				"the generation to join is not the present one: another daemon has taken over");
			return -ESTALE;
		}
	} else {
		list_for_each_entry_safe(other, next, &nl->socks, link)
			bound_detach(other);
		nl->generation = atomic64_inc_return(&last_generation);
		nla_strscpy(sock->cluster->name, info->attrs[WEFT_A_CLUSTER_NAME],
			    sizeof(sock->cluster->name));
		sock->cluster->incarnation = nla_get_u32(info->attrs[WEFT_A_INCARNATION]);
	}
	sock->generation = nl->generation;
	list_add_tail(&sock->link, &nl->socks);
	return 0;
}

/* Enters the table; whatever the port was bound to before goes. */
static int bind_sock(struct net *net, struct weft_nl_sock *sock, struct genl_info *info)
{
	struct weft_cluster *cluster = sock->cluster;
	int error;

	weft_nl_sock_release(net, sock->portid);
	if (!weft_cluster_use(cluster)) {
		NL_SET_ERR_MSG(info->extack, "the cluster is being dropped: try again");
		return -EAGAIN;
	}
	spin_lock(&weft_nl_lock);
	spin_lock(&cluster->nl.lock);
	error = weft_nl_net(net)->exiting ? -ENODEV : bind_attach(sock, info);
	spin_unlock(&cluster->nl.lock);
	if (!error) {
		refcount_inc(&sock->ref);
		hash_add_rcu(weft_nl_net(net)->socks, &sock->hash, sock->portid);
	}
	spin_unlock(&weft_nl_lock);
	if (error)
		weft_cluster_unuse(cluster);
	return error;
}

static int bind_reply(struct genl_info *info, const struct weft_nl_sock *sock)
{
	u64 features = info->attrs[WEFT_A_FEATURES] ? nla_get_u64(info->attrs[WEFT_A_FEATURES]) : 0;
	struct sk_buff *skb = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	void *head;

	if (!skb)
		return -ENOMEM;
	head = genlmsg_put_reply(skb, info, &weft_nl_family, 0, WEFT_CMD_BIND);
	if (!head || nla_put_u64_64bit(skb, WEFT_A_GENERATION, sock->generation, WEFT_A_PAD) ||
	    nla_put_u64_64bit(skb, WEFT_A_FEATURES, features & BIND_FEATURES, WEFT_A_PAD)) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	return genlmsg_reply(skb, info);
}

static struct weft_nl_sock *bound_alloc(struct weft_cluster *cluster, u32 portid)
{
	struct weft_nl_sock *sock = kzalloc(sizeof(*sock), GFP_KERNEL);

	if (!sock)
		return NULL;
	refcount_set(&sock->ref, 1);
	INIT_HLIST_NODE(&sock->hash);
	INIT_LIST_HEAD(&sock->link);
	INIT_LIST_HEAD(&sock->fetched);
	sock->portid = portid;
	sock->class_max = WEFT_CLASSES;
	sock->cluster = cluster;
	weft_cluster_get(cluster);
	return sock;
}

int weft_nl_bind_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct net *net = genl_info_net(info);
	struct weft_cluster *cluster;
	struct weft_nl_sock *sock;
	uuid_t uuid;
	int error;

	error = bind_check(info);
	if (error)
		return error;
	import_uuid(&uuid, nla_data(info->attrs[WEFT_A_CLUSTER]));
	cluster = weft_cluster_make(net, &uuid, info->extack);
	if (IS_ERR(cluster))
		return PTR_ERR(cluster);
	sock = bound_alloc(cluster, info->snd_portid);
	if (!sock) {
		error = -ENOMEM;
		goto out_put_cluster;
	}
	error = bind_sock(net, sock, info);
	if (!error) {
		error = bind_reply(info, sock);
		/* What waits is announced behind the reply. */
		weft_queue_announce(cluster);
	}
	weft_nl_sock_put(sock);
out_put_cluster:
	weft_cluster_put(cluster);
	return error;
}
