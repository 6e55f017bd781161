// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: slots of a session: which class gets which, who waits, who is next, and the numbers that
 * requests get.
 */
#include <kunit/test.h>

#include "nl/internal.h"

/* A mount of a cluster, as far as slots need them. */
static struct weft_mount *slot_mount_alloc(struct kunit *test)
{
	struct weft_cluster *cluster = kunit_kzalloc(test, sizeof(*cluster), GFP_KERNEL);
	struct weft_mount *mount = kunit_kzalloc(test, sizeof(*mount), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, cluster);
	KUNIT_ASSERT_NOT_NULL(test, mount);
	spin_lock_init(&cluster->nl.lock);
	for (unsigned int class = 0; class < WEFT_CLASSES; class++) {
		INIT_LIST_HEAD(&cluster->nl.queue[class]);
		INIT_LIST_HEAD(&mount->nl.slot_waiting[class]);
	}
	mount->cluster = cluster;
	return mount;
}

static struct weft_request *slot_request_alloc(struct kunit *test, struct weft_mount *mount, u8 class)
{
	struct weft_request *req = kunit_kzalloc(test, sizeof(*req), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, req);
	INIT_LIST_HEAD(&req->link);
	req->cluster = mount->cluster;
	req->mount = mount;
	req->class = class;
	req->mutating = true;
	req->slot = WEFT_SLOT_NONE;
	return req;
}

static bool slot_take(struct weft_request *req)
{
	bool taken;

	spin_lock(&req->cluster->nl.lock);
	taken = weft_slot_take(req);
	spin_unlock(&req->cluster->nl.lock);
	return taken;
}

static void slot_release(struct weft_request *req, bool sent)
{
	spin_lock(&req->cluster->nl.lock);
	weft_slot_release(req, sent);
	spin_unlock(&req->cluster->nl.lock);
}

/* Takes n slots for the class; the last request. */
static struct weft_request *slot_take_many(struct kunit *test, struct weft_mount *mount, u8 class,
					   unsigned int n)
{
	struct weft_request *req = NULL;

	while (n--) {
		req = slot_request_alloc(test, mount, class);
		KUNIT_ASSERT_TRUE(test, slot_take(req));
	}
	return req;
}

static void slot_class_three_leaves_the_reserve(struct kunit *test)
{
	struct weft_mount *mount = slot_mount_alloc(test);
	struct weft_request *late = slot_request_alloc(test, mount, 3);
	struct weft_request *clean = slot_request_alloc(test, mount, 2);
	struct weft_request *back = slot_request_alloc(test, mount, 1);

	slot_take_many(test, mount, 3, WEFT_SLOTS - WEFT_SLOTS_RESERVE);

	KUNIT_EXPECT_EQ(test, find_first_bit(mount->nl.slot_busy, WEFT_SLOTS), WEFT_SLOTS_RESERVE);
	KUNIT_EXPECT_FALSE(test, slot_take(late));
	KUNIT_EXPECT_EQ(test, late->place, WEFT_REQUEST_SLOT);
	KUNIT_EXPECT_EQ(test, late->slot, WEFT_SLOT_NONE);
	KUNIT_EXPECT_TRUE(test, slot_take(clean));
	KUNIT_EXPECT_TRUE(test, slot_take(back));
	KUNIT_EXPECT_LT(test, clean->slot, WEFT_SLOTS_RESERVE);
	KUNIT_EXPECT_LT(test, back->slot, WEFT_SLOTS_RESERVE);
	KUNIT_EXPECT_NE(test, clean->slot, back->slot);
}

static void slot_lower_classes_take_all(struct kunit *test)
{
	struct weft_mount *mount = slot_mount_alloc(test);
	struct weft_request *late = slot_request_alloc(test, mount, 1);

	slot_take_many(test, mount, 2, WEFT_SLOTS);

	KUNIT_EXPECT_TRUE(test, bitmap_full(mount->nl.slot_busy, WEFT_SLOTS));
	KUNIT_EXPECT_FALSE(test, slot_take(late));
}

static void slot_goes_to_the_lowest_class_first(struct kunit *test)
{
	struct weft_mount *mount = slot_mount_alloc(test);
	struct weft_request *holder = slot_take_many(test, mount, 2, WEFT_SLOTS);
	struct weft_request *waiting[4];
	static const u8 classes[] = { 3, 2, 1, 2 }, order[] = { 2, 1, 3, 0 };
	struct weft_request *last = holder;

	for (unsigned int i = 0; i < ARRAY_SIZE(classes); i++) {
		waiting[i] = slot_request_alloc(test, mount, classes[i]);
		KUNIT_ASSERT_FALSE(test, slot_take(waiting[i]));
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(order); i++) {
		struct weft_request *next = waiting[order[i]];

		slot_release(last, true);

		KUNIT_EXPECT_EQ(test, next->slot, WEFT_SLOTS - 1);
		KUNIT_EXPECT_EQ(test, next->place, WEFT_REQUEST_QUEUED);
		KUNIT_EXPECT_FALSE(test, list_empty(&mount->cluster->nl.queue[next->class - 1]));
		last = next;
	}
}

static void slot_of_the_reserve_is_not_for_class_three(struct kunit *test)
{
	struct weft_mount *mount = slot_mount_alloc(test);
	struct weft_request *reserved = slot_take_many(test, mount, 1, 1);
	struct weft_request *late = slot_request_alloc(test, mount, 3);
	struct weft_request *later = slot_request_alloc(test, mount, 3);

	slot_take_many(test, mount, 3, WEFT_SLOTS - WEFT_SLOTS_RESERVE);
	KUNIT_ASSERT_FALSE(test, slot_take(late));

	slot_release(reserved, true);

	KUNIT_EXPECT_EQ(test, late->place, WEFT_REQUEST_SLOT);
	KUNIT_EXPECT_FALSE(test, slot_take(later));
}

static void slot_numbers_grow_by_what_was_seen(struct kunit *test)
{
	struct weft_mount *mount = slot_mount_alloc(test);
	struct weft_request *first = slot_take_many(test, mount, 1, 1);
	struct weft_request *again, *second;

	slot_release(first, false);
	again = slot_take_many(test, mount, 1, 1);
	slot_release(again, true);
	second = slot_take_many(test, mount, 1, 1);

	KUNIT_EXPECT_EQ(test, first->sequence, 1);
	KUNIT_EXPECT_EQ(test, again->sequence, 1);
	KUNIT_EXPECT_EQ(test, second->sequence, 2);
	KUNIT_EXPECT_EQ(test, second->slot, 0);
	KUNIT_EXPECT_EQ(test, first->slot, WEFT_SLOT_NONE);
}

static struct kunit_case slot_kunit_cases[] = {
	KUNIT_CASE(slot_class_three_leaves_the_reserve),
	KUNIT_CASE(slot_lower_classes_take_all),
	KUNIT_CASE(slot_goes_to_the_lowest_class_first),
	KUNIT_CASE(slot_of_the_reserve_is_not_for_class_three),
	KUNIT_CASE(slot_numbers_grow_by_what_was_seen),
	{}
};

static struct kunit_suite slot_kunit_suite = {
	.name = "weft_slot",
	.test_cases = slot_kunit_cases,
};

kunit_test_suite(slot_kunit_suite);
