// SPDX-License-Identifier: GPL-2.0-only
/*
 * Groups: where chunks are, and where new ones may go.
 *
 * All groups that were ever heard of stand in one table, read under RCU. The open ones are also kept by class, that is
 * by (domain, k, m), in the order of their turns: each has a pass, the lowest is taken, and being taken costs the less
 * the greater its weight, so that groups are taken in proportion to their weights (stride scheduling, Waldspurger 1995).
 *
 * Questions to the daemon are asked once, however many wait for the answer. A waiter is woken exactly once, or taken
 * back by weft_group_unask(); which of the two is decided under node.lock.
 */
#include <linux/rhashtable.h>
#include <linux/slab.h>

#include "node/internal.h"
#include "uapi/weft_ctl.h"

#define PASS_STRIDE 1000000u
#define WEIGHT_MAX  1000u

struct weft_group_class {
	struct hlist_node node;
	u64 domain;
	u8 k, m;
	struct list_head groups; /* by pass, ascending */
};

struct group_ask {
	struct hlist_node node;
	struct weft_cluster *cluster;
	u16 op;
	u8 k, m;
	u64 key;                 /* the group, or the domain */
	struct list_head waiters;
};

static const struct rhashtable_params group_params = {
	.key_len = sizeof_field(struct weft_group, id),
	.key_offset = offsetof(struct weft_group, id),
	.head_offset = offsetof(struct weft_group, node),
	.automatic_shrinking = true,
};

void weft_group_get(struct weft_group *group)
{
	refcount_inc(&group->ref);
}

void weft_group_put(struct weft_group *group)
{
	if (group && refcount_dec_and_test(&group->ref))
		kfree_rcu(group, rcu);
}

struct weft_group *weft_group_find(struct weft_cluster *cluster, u64 id)
{
	struct weft_group *group;

	rcu_read_lock();
	group = rhashtable_lookup(&cluster->node.groups, &id, group_params);
	if (group && !refcount_inc_not_zero(&group->ref))
		group = NULL;
	rcu_read_unlock();
	return group;
}

/* --- turns ------------------------------------------------------------------------------------------------------------ */

/* Put @group where its pass belongs. It has just been taken, so that is near the end. */
static void class_insert(struct weft_group_class *class, struct weft_group *group)
{
	struct weft_group *before;

	list_for_each_entry_reverse(before, &class->groups, open)
		if (before->pass <= group->pass)
			break;
	list_add(&group->open, &before->open);
}

static void group_taken(struct weft_group *group)
{
	group->pass += PASS_STRIDE / clamp(group->weight, 1u, WEIGHT_MAX);
	list_del(&group->open);
	class_insert(group->class, group);
}

bool weft_group_usable(struct weft_cluster *cluster, const struct weft_group *group)
{
	bool usable = true;

	rcu_read_lock();
	for (unsigned int i = 0; i < group->k + group->m && usable; i++) {
		const struct weft_host *host = xa_load(&cluster->node.stores, group->slots[i]);

		usable = host && weft_host_usable(host);
	}
	rcu_read_unlock();
	return usable;
}

static struct weft_group *class_choose(struct weft_cluster *cluster, struct weft_group_class *class)
{
	struct weft_group *group;

	list_for_each_entry(group, &class->groups, open) {
		if (!weft_group_usable(cluster, group))
			continue;
		weft_group_get(group);
		group_taken(group);
		return group;
	}
	return NULL;
}

struct weft_group *weft_group_choose(struct weft_cluster *cluster, u64 domain, unsigned int k, unsigned int m)
{
	struct weft_node_cluster *node = &cluster->node;
	struct weft_group *group = NULL;
	struct weft_group_class *class;

	spin_lock(&node->lock);
	for (unsigned int width = k; width && !group; width--)
		hash_for_each_possible(node->classes, class, node, domain)
			if (class->domain == domain && class->k == width && class->m == m)
				group = class_choose(cluster, class);
	spin_unlock(&node->lock);
	return group;
}

/* --- what the daemon says --------------------------------------------------------------------------------------------- */

static struct weft_group_class *class_get(struct weft_node_cluster *node, struct weft_group_class **spare,
					  u64 domain, u8 k, u8 m)
{
	struct weft_group_class *class;

	lockdep_assert_held(&node->lock);
	hash_for_each_possible(node->classes, class, node, domain)
		if (class->domain == domain && class->k == k && class->m == m)
			return class;
	class = *spare;
	*spare = NULL;
	class->domain = domain;
	class->k = k;
	class->m = m;
	INIT_LIST_HEAD(&class->groups);
	hash_add(node->classes, &class->node, domain);
	return class;
}

/* A class lives as long as a group is offered in it. */
static void group_withdraw(struct weft_group *group)
{
	struct weft_group_class *class = group->class;

	if (!class)
		return;
	list_del_init(&group->open);
	group->class = NULL;
	if (list_empty(&class->groups)) {
		hash_del(&class->node);
		kfree(class);
	}
}

static void group_offer(struct weft_group_class *class, struct weft_group *group, const struct weft_group *old)
{
	const struct weft_group *first = list_first_entry_or_null(&class->groups, struct weft_group, open);

	/* A newcomer starts where the others are, or it would be taken alone until it has caught up. */
	if (old && old->pass)
		group->pass = old->pass;
	else
		group->pass = first ? first->pass : 1;
	group->class = class;
	class_insert(class, group);
}

static int group_check(u64 id, u64 domain, unsigned int k, unsigned int m, const __le32 *slots,
		       struct netlink_ext_ack *extack)
{
	if (!id || !domain || !k || k + m > WEFT_SHARDS_MAX) {
		NL_SET_ERR_MSG(extack, "a group needs an id, a domain, 1 <= k and k + m <= 32");
		return -EINVAL;
	}
	for (unsigned int i = 0; i < k + m; i++) {
		for (unsigned int j = 0; j < i; j++) {
			if (slots[i] == slots[j]) {
				NL_SET_ERR_MSG(extack, "a store stands twice in the group");
				return -EINVAL;
			}
		}
		if (le32_to_cpu(slots[i]) == WEFT_STORE_NONE) {
			NL_SET_ERR_MSG(extack, "a slot of the group names no store");
			return -EINVAL;
		}
	}
	return 0;
}

static struct weft_group *group_alloc(u64 id, u64 domain, u8 k, u8 m, u32 flags, u32 weight, const __le32 *slots)
{
	struct weft_group *group = kzalloc(struct_size(group, slots, k + m), GFP_KERNEL);

	if (!group)
		return NULL;
	refcount_set(&group->ref, 1);
	INIT_LIST_HEAD(&group->open);
	group->id = id;
	group->domain = domain;
	group->k = k;
	group->m = m;
	group->flags = flags;
	group->weight = weight;
	for (unsigned int i = 0; i < k + m; i++)
		group->slots[i] = le32_to_cpu(slots[i]);
	return group;
}

/* Put @group into the table in place of what has its id. Returns the old one, whose reference is the caller's now. */
static struct weft_group *group_replace(struct weft_node_cluster *node, struct weft_group *group, int *err)
{
	struct weft_group *old = rhashtable_lookup_fast(&node->groups, &group->id, group_params);

	lockdep_assert_held(&node->lock);
	if (old)
		*err = rhashtable_replace_fast(&node->groups, &old->node, &group->node, group_params);
	else
		*err = rhashtable_insert_fast(&node->groups, &group->node, group_params);
	return *err ? NULL : old;
}

int weft_group_set(struct weft_cluster *cluster, u64 id, u64 domain, u8 k, u8 m, u32 flags, u32 weight,
		   const __le32 *slots, struct netlink_ext_ack *extack)
{
	struct weft_node_cluster *node = &cluster->node;
	struct weft_group_class *spare;
	struct weft_group *group, *old;
	int err = group_check(id, domain, k, m, slots, extack);

	if (err)
		return err;
	group = group_alloc(id, domain, k, m, flags, weight, slots);
	spare = kzalloc(sizeof(*spare), GFP_KERNEL);
	if (!group || !spare) {
		weft_group_put(group);
		kfree(spare);
		return -ENOMEM;
	}

	spin_lock(&node->lock);
	old = group_replace(node, group, &err);
	if (!err && flags & WEFT_GF_OPEN)
		group_offer(class_get(node, &spare, domain, k, m), group, old);
	if (old)
		group_withdraw(old);
	spin_unlock(&node->lock);

	kfree(spare);
	weft_group_put(err ? group : old);
	return err;
}

int weft_group_del(struct weft_cluster *cluster, u64 id)
{
	struct weft_node_cluster *node = &cluster->node;
	struct weft_group *group;

	spin_lock(&node->lock);
	group = rhashtable_lookup_fast(&node->groups, &id, group_params);
	if (group) {
		rhashtable_remove_fast(&node->groups, &group->node, group_params);
		group_withdraw(group);
	}
	spin_unlock(&node->lock);
	weft_group_put(group);
	return group ? 0 : -ENOENT;
}

/* --- asking ------------------------------------------------------------------------------------------------------------ */

/*
 * Too few stores is no end while somebody may bring them back: what is dirty is parked. It is one where the volume says
 * that it would rather have the error.
 */
static int ask_errno(u32 status, const struct weft_mount *mount)
{
	switch (status) {
	case WEFT_ST_OK:
		return 0;
	case WEFT_ST_NOSPC:
	case WEFT_ST_META_FULL:
		return -ENOSPC;
	case WEFT_ST_NOENT:
	case WEFT_ST_STALE:
		return -ENOENT;
	case WEFT_ST_NO_GROUP:
		return mount && READ_ONCE(mount->flags) & WEFT_VF_DEGRADED_REFUSE ? -EIO : -EAGAIN;
	default:
		return -EAGAIN;
	}
}

static void ask_end(struct group_ask *ask, int error, u64 id)
{
	struct weft_node_cluster *node = &ask->cluster->node;
	struct weft_group_waiter *waiter;

	spin_lock(&node->lock);
	hash_del(&ask->node);
	while ((waiter = list_first_entry_or_null(&ask->waiters, struct weft_group_waiter, link))) {
		list_del_init(&waiter->link);
		waiter->error = error;
		waiter->group = id;
		/* Under the lock: who takes a waiter back must find it either waiting or woken. .wake only queues work. */
		waiter->wake(waiter);
	}
	spin_unlock(&node->lock);
	weft_cluster_put(ask->cluster);
	kfree(ask);
}

static void ask_answered(struct weft_request *req)
{
	const struct nlattr *tb[WEFT_P_NR];
	int error = ask_errno(req->status, req->mount);
	u64 id = 0;

	if (!error)
		error = weft_answer_parse(req, tb);
	if (!error && tb[WEFT_P_GROUP])
		id = le64_to_cpup(nla_data(tb[WEFT_P_GROUP]));
	ask_end(req->private, error, id);
}

/* The same question that somebody has asked already. */
static struct group_ask *ask_find(struct weft_node_cluster *node, u16 op, u64 key, u8 k, u8 m)
{
	struct group_ask *ask;

	lockdep_assert_held(&node->lock);
	hash_for_each_possible(node->asks, ask, node, key)
		if (ask->op == op && ask->key == key && ask->k == k && ask->m == m)
			return ask;
	return NULL;
}

/* Returns a new question that the caller must send, NULL if it is on its way, or -ENOMEM. */
static struct group_ask *ask_join(struct weft_cluster *cluster, u16 op, u64 key, u8 k, u8 m,
				  struct weft_group_waiter *waiter)
{
	struct weft_node_cluster *node = &cluster->node;
	struct group_ask *fresh = kzalloc(sizeof(*fresh), WEFT_NODE_GFP);
	struct group_ask *ask;

	if (fresh) {
		fresh->cluster = cluster;
		fresh->op = op;
		fresh->key = key;
		fresh->k = k;
		fresh->m = m;
		INIT_LIST_HEAD(&fresh->waiters);
	}
	spin_lock(&node->lock);
	ask = ask_find(node, op, key, k, m);
	if (!ask && fresh) {
		weft_cluster_get(cluster);
		hash_add(node->asks, &fresh->node, key);
	}
	if (ask || fresh) {
		if (waiter)
			list_add_tail(&waiter->link, ask ? &ask->waiters : &fresh->waiters);
	}
	spin_unlock(&node->lock);
	if (ask) {
		kfree(fresh);
		return NULL;
	}
	return fresh ?: ERR_PTR(-ENOMEM);
}

/* Send the question; if that fails whoever waits is told so. Consumes the caller's reference on @req. */
static void ask_send(struct group_ask *ask, struct weft_request *req)
{
	int err = -ENOMEM;

	if (req) {
		req->private = ask;
		req->done = ask_answered;
		err = weft_request_submit(req);
		weft_request_put(req);
	}
	if (err)
		ask_end(ask, -EAGAIN, 0);
}

int weft_group_ask(struct weft_mount *mount, u64 id, struct weft_group_waiter *waiter)
{
	struct weft_cluster *cluster = mount->cluster;
	struct group_ask *ask = ask_join(cluster, WEFT_REQ_GROUP, id, 0, 0, waiter);
	struct weft_request *req;

	if (IS_ERR_OR_NULL(ask))
		return PTR_ERR_OR_ZERO(ask);
	req = weft_request_alloc(cluster, NULL, WEFT_REQ_GROUP, 2, 32, WEFT_NODE_GFP);
	if (req) {
		/* In the name of the mount's session, but not ended with the mount: others may have joined. */
		req->session = mount->session;
		weft_request_add_u64(req, WEFT_P_GROUP, id);
	}
	ask_send(ask, req);
	return 0;
}

/* As many stores to avoid as an answer could respect; the leader knows of the others itself. */
#define AVOID_STORES 1024

int weft_group_ask_open(struct weft_mount *mount, u64 domain, unsigned int k, unsigned int m, u64 bytes,
			struct weft_group_waiter *waiter)
{
	struct weft_cluster *cluster = mount->cluster;
	struct group_ask *ask = ask_join(cluster, WEFT_REQ_GROUP_WANT, domain, k, m, waiter);
	struct weft_group_want want = { .k = k, .m = m, .bytes = cpu_to_le64(bytes) };
	struct weft_request *req;
	__le32 *avoid;

	if (IS_ERR_OR_NULL(ask))
		return PTR_ERR_OR_ZERO(ask);
	req = weft_request_alloc(cluster, mount, WEFT_REQ_GROUP_WANT, 2, 256, WEFT_NODE_GFP);
	avoid = kmalloc_array(AVOID_STORES, sizeof(*avoid), WEFT_NODE_GFP);
	if (req) {
		weft_request_add(req, WEFT_P_WANT, &want, sizeof(want));
		if (avoid) {
			unsigned int n = weft_host_unusable_stores(cluster, avoid, AVOID_STORES);

			if (n)
				weft_request_add(req, WEFT_P_STORES, avoid, n * sizeof(*avoid));
		}
	}
	kfree(avoid);
	ask_send(ask, req);
	return 0;
}

bool weft_group_unask(struct weft_cluster *cluster, struct weft_group_waiter *waiter)
{
	bool taken;

	spin_lock(&cluster->node.lock);
	taken = !list_empty(&waiter->link);
	list_del_init(&waiter->link);
	spin_unlock(&cluster->node.lock);
	return taken;
}

void weft_group_refresh(struct weft_mount *mount, u64 id)
{
	/* Joins a question that is on its way; the answer's GROUP_SET does the rest. */
	weft_group_ask(mount, id, NULL);
}

/* --- table -------------------------------------------------------------------------------------------------------------- */

int weft_group_table_init(struct weft_cluster *cluster)
{
	struct weft_node_cluster *node = &cluster->node;

	spin_lock_init(&node->lock);
	hash_init(node->classes);
	hash_init(node->asks);
	return rhashtable_init(&node->groups, &group_params);
}

static void group_free(void *ptr, void *arg)
{
	struct weft_group *group = ptr;

	group_withdraw(group);
	weft_group_put(group);
}

void weft_group_table_exit(struct weft_cluster *cluster)
{
	rhashtable_free_and_destroy(&cluster->node.groups, group_free, NULL);
}
