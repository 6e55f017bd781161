// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * room.c - what deletions need when others have filled the disk
 *
 * A DEL of a small shard is a record, too. segments/room is a file without content that occupies a
 * megabyte, so that there is something to give up then: 16384 records. The keeper lays it down again
 * when there is room for it. A start gives it up as well, before it writes anything.
 *
 * It is given up by the batches' chain and laid down by the keeper, each only in the state that the
 * other one left.
 */
#include <fcntl.h>
#include <unistd.h>

#include "store/append.h"

#define NAME "room"
#define SIZE (1u << 20)

void store_room_clear(int store_dir)
{
	unlinkat(store_dir, "segments/" NAME, 0);
}

void store_room_take(struct store_segments *segments)
{
	bool taken;
	int fd;

	if (atomic_load(&segments->room_kept) || atomic_load(&segments->store->available) < 4 * SIZE)
		return;
	fd = openat(segments->dir, NAME, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	taken = !fallocate(fd, 0, 0, SIZE);
	close(fd);
	if (taken)
		atomic_store(&segments->room_kept, true);
	else
		unlinkat(segments->dir, NAME, 0);
}

void store_room_give(struct store_segments *segments)
{
	if (!atomic_load(&segments->room_kept))
		return;
	unlinkat(segments->dir, NAME, 0);
	atomic_store(&segments->room_kept, false);
}
