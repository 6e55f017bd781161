// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * reencrypt.c - every file below a mount whose content is not under the newest key is written anew by the kernel
 *
 * Other programs go on meanwhile; what they write has the newest key anyway. It can be stopped and started again: what is
 * done is done.
 */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keyring.h"
#include "weft.h"

#define STEP (4ull << 20)

struct progress {
	uint64_t files, bytes;      /* that there are */
	uint64_t looked, rewritten; /* bytes */
	bool show;
};

static void progress_show(const struct progress *progress, bool last)
{
	char looked[16], bytes[16], rewritten[16];

	if (!progress->show)
		return;
	fprintf(stderr, "\r%3u %%: %s of %s looked at, %s written anew ",
		progress->bytes ? (unsigned int)(progress->looked * 100 / progress->bytes) : 100,
		format_bytes(progress->looked, looked), format_bytes(progress->bytes, bytes),
		format_bytes(progress->rewritten, rewritten));
	if (last)
		fputc('\n', stderr);
}

/* 0 or a negative errno. A file that has gone is none any more. */
static int rewrite_file(const char *path, uint64_t size, struct progress *progress)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOATIME), ret = 0;
	uint64_t done = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	for (uint64_t at = 0; at < size && !ret; at += STEP) {
		struct weft_key_rewrite range = { .offset = at, .length = STEP };

		if (ioctl(fd, WEFT_IOC_KEY_REWRITE, &range))
			ret = -errno;
		done += range.done;
		progress->looked += size - at < STEP ? size - at : STEP;
		progress->rewritten += range.done;
		progress_show(progress, false);
	}
	if (!ret && done && fsync(fd))
		ret = -errno;
	close(fd);
	return ret;
}

/* Counts, or with rewrite does it. 0, or 1 after a failure that was said. */
static int walk(const char *path, struct progress *progress, bool rewrite)
{
	char *root = strdup(path), *paths[] = { root, NULL };
	FTSENT *entry;
	FTS *fts = NULL;
	int ret = 0;

	if (root)
		fts = fts_open(paths, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL);
	if (!fts)
		ret = fail("cannot look through %s: %s", path, strerror(errno));
	while (!ret && (entry = fts_read(fts))) {
		if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR)
			ret = fail("cannot look through %s: %s", entry->fts_path, strerror(entry->fts_errno));
		if (entry->fts_info != FTS_F || !S_ISREG(entry->fts_statp->st_mode))
			continue;
		if (!rewrite) {
			progress->files++;
			progress->bytes += (uint64_t)entry->fts_statp->st_size;
			continue;
		}
		errno = -rewrite_file(entry->fts_path, (uint64_t)entry->fts_statp->st_size, progress);
		if (errno)
			ret = fail("%s cannot be written anew: %s", entry->fts_path, strerror(errno));
	}
	if (fts)
		fts_close(fts);
	free(root);
	return ret;
}

int reencrypt(const struct options *options, const char *path)
{
	struct progress progress = { .show = !options->json && isatty(STDERR_FILENO) };
	char text[16];
	int ret = walk(path, &progress, false);

	if (!ret)
		ret = walk(path, &progress, true);
	progress_show(&progress, true);
	if (ret)
		return ret;
	if (options->json)
		printf("{\"files\": %llu, \"bytes\": %llu, \"rewritten\": %llu}\n", (unsigned long long)progress.files,
		       (unsigned long long)progress.looked, (unsigned long long)progress.rewritten);
	else
		printf("%llu files are under the newest key; %s had to be written anew\n", (unsigned long long)progress.files,
		       format_bytes(progress.rewritten, text));
	return 0;
}
