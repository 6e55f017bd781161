// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generic netlink family: who may, and what a network namespace has.
 *
 * Commands run in parallel and sleep on nothing but memory: netlink holds a lock of all families
 * around them. Commands that need a bound socket get it as info->user_ptr[0], with a reference that
 * post_bound drops.
 *
 * Order at the end: no command, no notification, no namespace is left before the queues that they
 * use go.
 */
#include "nl/internal.h"

#include <linux/module.h>
#include <linux/netlink.h>
#include <net/netns/generic.h>

static unsigned int nl_net_id;

struct weft_nl_net *weft_nl_net(const struct net *net)
{
	return net_generic(net, nl_net_id);
}

int weft_nl_unicast(struct weft_cluster *cluster, struct sk_buff *skb, u32 portid)
{
	struct net *net;
	int error;

	/* The namespace clears the pointer and waits for readers before it goes. */
	rcu_read_lock();
	net = READ_ONCE(cluster->net);
	if (net) {
		error = genlmsg_unicast(net, skb, portid);
	} else {
		nlmsg_free(skb);
		error = -ECONNREFUSED;
	}
	rcu_read_unlock();
	return error;
}

int weft_nl_pre_admin(const struct genl_split_ops *ops, struct sk_buff *skb, struct genl_info *info)
{
	if (netlink_capable(skb, CAP_SYS_ADMIN))
		return 0;
	NL_SET_ERR_MSG(info->extack,
		"this needs CAP_SYS_ADMIN in the initial user namespace, when the socket is opened and now");
	return -EPERM;
}

/* Limits are about memory of the whole machine: no matter of a namespace's administrator. */
int weft_nl_pre_limits(const struct genl_split_ops *ops, struct sk_buff *skb,
		       struct genl_info *info)
{
	if (netlink_capable(skb, CAP_NET_ADMIN))
		return 0;
	NL_SET_ERR_MSG(info->extack,
		"this needs CAP_NET_ADMIN in the initial user namespace, when the socket is opened and now");
	return -EPERM;
}

int weft_nl_pre_bound(const struct genl_split_ops *ops, struct sk_buff *skb, struct genl_info *info)
{
	struct weft_nl_sock *sock;
	int error = weft_nl_pre_admin(ops, skb, info);

	if (error)
		return error;
	sock = weft_nl_sock_find(genl_info_net(info), info->snd_portid);
	if (!sock) {
		NL_SET_ERR_MSG(info->extack,
			       "the socket is not bound to a cluster: send BIND first");
		return -ENOTCONN;
	}
	if (READ_ONCE(sock->stale)) {
		NL_SET_ERR_MSG(info->extack, "another daemon has taken over this cluster");
		weft_nl_sock_put(sock);
		return -ESTALE;
	}
	info->user_ptr[0] = sock;
	return 0;
}

void weft_nl_post_bound(const struct genl_split_ops *ops, struct sk_buff *skb,
			struct genl_info *info)
{
	weft_nl_sock_put(info->user_ptr[0]);
}

static int nl_notify(struct notifier_block *block, unsigned long event, void *data)
{
	struct netlink_notify *notify = data;

	if (event == NETLINK_URELEASE && notify->protocol == NETLINK_GENERIC)
		weft_nl_sock_release(notify->net, notify->portid);
	return NOTIFY_DONE;
}

static struct notifier_block nl_notifier = { .notifier_call = nl_notify };

static int __net_init nl_net_init(struct net *net)
{
	struct weft_nl_net *nn = weft_nl_net(net);

	INIT_LIST_HEAD(&nn->clusters);
	hash_init(nn->socks);
	return 0;
}

static void __net_exit nl_net_pre_exit(struct net *net)
{
	weft_nl_socks_release(net);
	weft_clusters_orphan(net);
}

static struct pernet_operations nl_net_ops = {
	.init = nl_net_init,
	/* Between pre_exit and the namespace's end lies a grace period of RCU. */
	.pre_exit = nl_net_pre_exit,
	.id = &nl_net_id,
	.size = sizeof(struct weft_nl_net),
};

int weft_nl_init(void)
{
	int error;

	error = weft_requests_init();
	if (error)
		return error;
	error = weft_clusters_init();
	if (error)
		goto err_requests_exit;
	error = register_pernet_subsys(&nl_net_ops);
	if (error)
		goto err_clusters_exit;
	error = netlink_register_notifier(&nl_notifier);
	if (error)
		goto err_unregister_pernet;
	error = genl_register_family(&weft_nl_family);
	if (error)
		goto err_unregister_notifier;
	return 0;

err_unregister_notifier:
	netlink_unregister_notifier(&nl_notifier);
err_unregister_pernet:
	unregister_pernet_subsys(&nl_net_ops);
err_clusters_exit:
	weft_clusters_exit();
err_requests_exit:
	weft_requests_exit();
	return error;
}

void weft_nl_exit(void)
{
	genl_unregister_family(&weft_nl_family);
	netlink_unregister_notifier(&nl_notifier);
	unregister_pernet_subsys(&nl_net_ops);
	weft_clusters_exit();
	weft_requests_exit();
	/* Sockets and requests are freed by RCU. */
	rcu_barrier();
}
