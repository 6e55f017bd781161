// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Feeds files to a fuzz target, for compilers without a fuzzer and for running a corpus as a test:
 *
 *	fuzz_NAME.replay FILE|DIRECTORY...
 *
 * Each input lies in a buffer of exactly its size, so that a sanitizer sees any byte read behind
 * it. The name of an input is printed when it crashes the target. Exit status 1 if a file cannot
 * be read or there is none.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char current[4096];
static unsigned long inputs;

static void crashed(int sig)
{
	static const char text[] = "crashed on this input: ";
	ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);

	n = write(STDERR_FILENO, current, strlen(current));
	n = write(STDERR_FILENO, "\n", 1);
	(void)n;
	signal(sig, SIG_DFL);
	raise(sig);
}

static int replay_file(const char *path, size_t size)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = malloc(size ? size : 1);
	int ret = file && data ? 0 : -EIO;

	if (!ret && fread(data, 1, size, file) != size)
		ret = -EIO;
	if (file)
		fclose(file);
	if (ret) {
		fprintf(stderr, "replay: cannot read %s: %s\n", path, strerror(errno));
	} else {
		snprintf(current, sizeof(current), "%s", path);
		LLVMFuzzerTestOneInput(data, size);
		inputs++;
	}
	free(data);
	return ret;
}

static int replay_path(const char *path)
{
	struct dirent *entry;
	struct stat st;
	int ret = 0;
	DIR *dir;

	if (stat(path, &st)) {
		fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
		return -errno;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path, (size_t)st.st_size);

	dir = opendir(path);
	if (!dir)
		return -errno;
	while (!ret && (entry = readdir(dir))) {
		char name[4096];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		ret = replay_path(name);
	}
	closedir(dir);
	return ret;
}

int main(int argc, char **argv)
{
	signal(SIGABRT, crashed);
	signal(SIGSEGV, crashed);
	signal(SIGBUS, crashed);
	for (int i = 1; i < argc; i++)
		if (replay_path(argv[i]))
			return 1;
	printf("%lu inputs\n", inputs);
	return inputs ? 0 : 1;
}
