// SPDX-License-Identifier: GPL-2.0-only
/* Which codecs there are, and pools of workspaces. See codec.h. */
#include <linux/cpumask.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "chunk/codec.h"

#define HAVE_CODEC_ZSTD    (IS_ENABLED(CONFIG_ZSTD_COMPRESS) && IS_ENABLED(CONFIG_ZSTD_DECOMPRESS))
#define HAVE_CODEC_LZ4     (IS_ENABLED(CONFIG_LZ4_COMPRESS) && IS_ENABLED(CONFIG_LZ4_DECOMPRESS))
#define HAVE_CODEC_DEFLATE (IS_ENABLED(CONFIG_ZLIB_DEFLATE) && IS_ENABLED(CONFIG_ZLIB_INFLATE))

#define SPACES_MAX 16u

struct weft_codec_pool weft_codec_unpackers;

static const struct weft_codec_ops *const codecs[] = {
	[WEFT_CODEC_RAW] = NULL,
	[WEFT_CODEC_ZSTD] = HAVE_CODEC_ZSTD ? &weft_codec_zstd : NULL,
	[WEFT_CODEC_LZ4] = HAVE_CODEC_LZ4 ? &weft_codec_lz4 : NULL,
	[WEFT_CODEC_DEFLATE] = HAVE_CODEC_DEFLATE ? &weft_codec_deflate : NULL,
};

const struct weft_codec_ops *weft_codec(unsigned int codec)
{
	return codec < ARRAY_SIZE(codecs) ? codecs[codec] : NULL;
}

static void space_free(struct weft_codec_space *space)
{
	if (!space)
		return;
	kvfree(space->packed);
	kvfree(space->plain);
	kvfree(space->work);
	kfree(space);
}

static struct weft_codec_space *space_alloc(const struct weft_codec_pool *pool, gfp_t gfp)
{
	struct weft_codec_space *space = kzalloc(sizeof(*space), gfp);

	if (!space)
		return NULL;
	space->work_size = max_t(size_t, pool->work_size, 1);
	space->work = kvmalloc(space->work_size, gfp);
	space->plain = kvmalloc(WEFT_FRAME_SIZE, gfp);
	space->packed = pool->packs ? kvmalloc(WEFT_FRAME_SIZE, gfp) : NULL;
	if (space->work && space->plain && (space->packed || !pool->packs))
		return space;
	space_free(space);
	return NULL;
}

int weft_codec_pool_init(struct weft_codec_pool *pool, size_t work_size, bool packs)
{
	struct weft_codec_space *space;

	spin_lock_init(&pool->lock);
	INIT_LIST_HEAD(&pool->idle);
	init_waitqueue_head(&pool->wait);
	pool->work_size = work_size;
	pool->packs = packs;
	pool->max = min(num_online_cpus(), SPACES_MAX);
	space = space_alloc(pool, GFP_KERNEL);
	if (!space)
		return -ENOMEM;
	list_add(&space->link, &pool->idle);
	pool->made = 1;
	return 0;
}

void weft_codec_pool_exit(struct weft_codec_pool *pool)
{
	struct weft_codec_space *space, *next;

	if (!pool->made)
		return;
	list_for_each_entry_safe(space, next, &pool->idle, link)
		space_free(space);
	INIT_LIST_HEAD(&pool->idle);
	pool->made = 0;
}

static struct weft_codec_space *space_take(struct weft_codec_pool *pool)
{
	struct weft_codec_space *space;

	spin_lock(&pool->lock);
	space = list_first_entry_or_null(&pool->idle, struct weft_codec_space, link);
	if (space)
		list_del(&space->link);
	spin_unlock(&pool->lock);
	return space;
}

/* One more, if there may be one more and there is memory for it. */
static struct weft_codec_space *space_make(struct weft_codec_pool *pool)
{
	struct weft_codec_space *space = NULL;
	bool may;

	spin_lock(&pool->lock);
	may = pool->made < pool->max;
	pool->made += may;
	spin_unlock(&pool->lock);
	if (may)
		space = space_alloc(pool, GFP_NOFS | __GFP_NORETRY | __GFP_NOWARN);
	if (may && !space) {
		spin_lock(&pool->lock);
		pool->made--;
		spin_unlock(&pool->lock);
	}
	return space;
}

struct weft_codec_space *weft_codec_space_get(struct weft_codec_pool *pool)
{
	struct weft_codec_space *space = space_take(pool);

	if (!space)
		space = space_make(pool);
	if (!space)
		wait_event(pool->wait, (space = space_take(pool)));
	return space;
}

void weft_codec_space_put(struct weft_codec_pool *pool, struct weft_codec_space *space)
{
	spin_lock(&pool->lock);
	list_add(&space->link, &pool->idle);
	spin_unlock(&pool->lock);
	wake_up(&pool->wait);
}

bool weft_codec_space_fit(struct weft_codec_space *space, size_t work_size)
{
	void *work;

	if (space->work_size >= work_size)
		return true;
	work = kvmalloc(work_size, GFP_NOFS | __GFP_NORETRY | __GFP_NOWARN);
	if (!work)
		return false;
	kvfree(space->work);
	space->work = work;
	space->work_size = work_size;
	return true;
}

/* Whatever this kernel can unpack. */
static size_t unpack_size(void)
{
	size_t size = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(codecs); i++)
		if (codecs[i])
			size = max(size, codecs[i]->unpack_size());
	return size;
}

int weft_codec_init(void)
{
	return weft_codec_pool_init(&weft_codec_unpackers, unpack_size(), false);
}

void weft_codec_exit(void)
{
	weft_codec_pool_exit(&weft_codec_unpackers);
}
