// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * watch.c - what a library does to its file, mirrored into the disk model
 *
 * The calls below take the place of libc's for the whole process: a shared library resolves them to
 * the program's. Those on a watched file go to the model first, and fail as it says; then they are
 * done to the real file, which mappings read. Syncs are done to the model only. Everything else
 * passes through.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include "disk.h"

#define WATCHES 8
#define FILES	1024

static struct {
	struct sim_disk *disk;
	char path[512];
	char name[64];
} watches[WATCHES];

static struct {
	struct sim_disk *disk;
	struct sim_file *file;
	bool durable; /* opened with O_DSYNC */
} files[FILES];

void sim_disk_watch(struct sim_disk *disk, const char *directory, const char *name)
{
	for (int i = 0; i < WATCHES; i++) {
		if (watches[i].disk)
			continue;
		watches[i].disk = disk;
		snprintf(watches[i].path, sizeof(watches[i].path), "%s/%s", directory, name);
		snprintf(watches[i].name, sizeof(watches[i].name), "%s", name);
		return;
	}
	fprintf(stderr, "too many directories are watched\n");
	abort();
}

void sim_disk_unwatch(struct sim_disk *disk)
{
	for (int i = 0; i < WATCHES; i++)
		if (watches[i].disk == disk)
			watches[i].disk = NULL;
}

static bool watched(int fd)
{
	return fd >= 0 && fd < FILES && files[fd].disk;
}

/* errno and -1, as libc has it. */
static int give(int ret)
{
	if (ret >= 0)
		return ret;
	errno = -ret;
	return -1;
}

static int open_file(const char *path, int flags, mode_t mode)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);

	if (fd < 0 || fd >= FILES)
		return fd;
	files[fd].disk = NULL;
	for (int i = 0; i < WATCHES; i++) {
		if (!watches[i].disk || strcmp(watches[i].path, path))
			continue;
		files[fd].disk = watches[i].disk;
		files[fd].file = sim_disk_file(watches[i].disk, watches[i].name, true);
		files[fd].durable = flags & (O_DSYNC | O_SYNC);
	}
	return fd;
}

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode = 0;

	va_start(args, flags);
	if (flags & (O_CREAT | O_TMPFILE))
		mode = va_arg(args, mode_t);
	va_end(args);
	return open_file(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode = 0;

	va_start(args, flags);
	if (flags & (O_CREAT | O_TMPFILE))
		mode = va_arg(args, mode_t);
	va_end(args);
	return open_file(path, flags, mode);
}

int close(int fd)
{
	if (watched(fd))
		files[fd].disk = NULL;
	return (int)syscall(SYS_close, fd);
}

static ssize_t write_vector(int fd, const struct iovec *iov, int n, off_t offset)
{
	off_t at = offset;

	for (int i = 0; i < n && watched(fd); i++) {
		int ret = sim_file_write(files[fd].disk, files[fd].file, iov[i].iov_base,
					 iov[i].iov_len, (uint64_t)at, files[fd].durable);

		if (ret)
			return give(ret);
		at += (off_t)iov[i].iov_len;
	}
	return syscall(SYS_pwritev, fd, iov, n, offset, 0);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };

	return write_vector(fd, &iov, 1, offset);
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t offset)
{
	return pwrite(fd, buf, len, offset);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	return write_vector(fd, iov, n, offset);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int n, off64_t offset)
{
	return write_vector(fd, iov, n, offset);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
	off_t at;
	ssize_t done;

	if (!watched(fd))
		return syscall(SYS_writev, fd, iov, n);
	at = lseek(fd, 0, SEEK_CUR);
	done = write_vector(fd, iov, n, at);
	if (done > 0)
		lseek(fd, at + done, SEEK_SET);
	return done;
}

ssize_t write(int fd, const void *buf, size_t len)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };

	return watched(fd) ? writev(fd, &iov, 1) : syscall(SYS_write, fd, buf, len);
}

static int sync_file(int fd)
{
	struct rlog_io *io = sim_disk_io(files[fd].disk);
	int ret = sim_file_sync(files[fd].disk, files[fd].file);

	/* ext4 and XFS: the name of a new file is durable with it. */
	return give(ret ? ret : io->ops->sync_dir(io));
}

int fdatasync(int fd)
{
	return watched(fd) ? sync_file(fd) : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	return watched(fd) ? sync_file(fd) : (int)syscall(SYS_fsync, fd);
}

int ftruncate(int fd, off_t size)
{
	int ret =
		watched(fd) ? sim_file_truncate(files[fd].disk, files[fd].file, (uint64_t)size) : 0;

	return ret ? give(ret) : (int)syscall(SYS_ftruncate, fd, size);
}

int ftruncate64(int fd, off64_t size)
{
	return ftruncate(fd, size);
}
