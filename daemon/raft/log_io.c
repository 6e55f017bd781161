// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * log_io.c - struct rlog_io over a directory
 *
 * Used by one thread at a time. Durable writes go through RWF_DSYNC: to blocks that were written
 * before this costs one write and one flush, no metadata. A partial write is completed; everything
 * else that goes wrong is the caller's end.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>
#include "raft/internal.h"

struct dir_io {
	struct rlog_io io;
	int fd;
};

static int dir_fd(struct rlog_io *io)
{
	return ((struct dir_io *)io)->fd;
}

static int dir_open(struct rlog_io *io, const char *name, bool create)
{
	int fd = openat(dir_fd(io), name,
			O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT | O_EXCL : 0), 0600);

	return fd < 0 ? -errno : fd;
}

static void dir_close(struct rlog_io *io, int file)
{
	close(file);
}

static int64_t dir_size(struct rlog_io *io, int file)
{
	struct stat st;

	return fstat(file, &st) ? -errno : st.st_size;
}

static int dir_read(struct rlog_io *io, int file, void *buf, size_t len, uint64_t offset)
{
	while (len) {
		ssize_t n = pread(file, buf, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		buf = (char *)buf + n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int dir_write(struct rlog_io *io, int file, const void *buf, size_t len, uint64_t offset,
		     bool durable)
{
	while (len) {
		struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
		ssize_t n = pwritev2(file, &iov, 1, (off_t)offset, durable ? RWF_DSYNC : 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		buf = (const char *)buf + n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int dir_sync(struct rlog_io *io, int file)
{
	return fdatasync(file) ? -errno : 0;
}

static int dir_rename(struct rlog_io *io, const char *from, const char *to)
{
	return renameat(dir_fd(io), from, dir_fd(io), to) ? -errno : 0;
}

static int dir_unlink(struct rlog_io *io, const char *name)
{
	return unlinkat(dir_fd(io), name, 0) ? -errno : 0;
}

static int dir_sync_dir(struct rlog_io *io)
{
	return fsync(dir_fd(io)) ? -errno : 0;
}

static int dir_list(struct rlog_io *io, int (*each)(void *arg, const char *name), void *arg)
{
	int fd = openat(dir_fd(io), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	int ret = 0;
	DIR *dir;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		ret = -errno;
		close(fd);
		return ret;
	}
	while (!ret) {
		errno = 0;
		entry = readdir(dir);
		if (!entry) {
			ret = -errno;
			break;
		}
		ret = each(arg, entry->d_name);
	}
	closedir(dir);
	return ret;
}

static int dir_space(struct rlog_io *io, uint64_t *total)
{
	struct statvfs st;

	if (fstatvfs(dir_fd(io), &st))
		return -errno;
	*total = (uint64_t)st.f_blocks * st.f_frsize;
	return 0;
}

static const struct rlog_io_ops dir_ops = {
	.name = "directory",
	.open = dir_open,
	.close = dir_close,
	.size = dir_size,
	.read = dir_read,
	.write = dir_write,
	.sync = dir_sync,
	.rename = dir_rename,
	.unlink = dir_unlink,
	.sync_dir = dir_sync_dir,
	.list = dir_list,
	.space = dir_space,
};

int rlog_io_open_dir(const char *directory, struct rlog_io **io, char *why)
{
	struct dir_io *dir = calloc(1, sizeof(*dir));
	int ret;

	if (!dir)
		return -ENOMEM;
	dir->io.ops = &dir_ops;
	dir->fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir->fd < 0) {
		ret = -errno;
		snprintf(why, RNODE_WHY_MAX,
			 "cannot open the log directory %s: %s; create it or correct the path",
			 directory, strerror(-ret));
		goto err_free;
	}
	if (flock(dir->fd, LOCK_EX | LOCK_NB)) {
		ret = errno == EWOULDBLOCK ? -EBUSY : -errno;
		snprintf(why, RNODE_WHY_MAX,
			 "the log directory %s is in use by another process; stop that one first",
			 directory);
		goto err_close;
	}
	*io = &dir->io;
	return 0;

err_close:
	close(dir->fd);
err_free:
	free(dir);
	return ret;
}

void rlog_io_close_dir(struct rlog_io *io)
{
	if (!io)
		return;
	close(dir_fd(io));
	free(io);
}
