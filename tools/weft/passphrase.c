// SPDX-License-Identifier: GPL-2.0-or-later
/* passphrase.c - passphrases from files and terminals, in locked memory. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <sodium.h>

#include "weft.h"

#define SECRET_MAX 4096u

/* A line, without its end. NULL after a failure that was said. */
static char *line_read(int fd, const char *from, size_t *len)
{
	char *secret = sodium_malloc(SECRET_MAX);
	ssize_t n = 0;

	if (!secret) {
		fail("there is no locked memory for a passphrase: raise RLIMIT_MEMLOCK");
		return NULL;
	}
	for (*len = 0; *len < SECRET_MAX - 1; ++*len) {
		n = read(fd, secret + *len, 1);
		if (n <= 0 || secret[*len] == '\n')
			break;
	}
	if (n >= 0 && *len && *len < SECRET_MAX - 1)
		return secret;
	if (n < 0)
		fail("cannot read the passphrase from %s: %s", from, strerror(errno));
	else
		fail("the passphrase from %s is empty or longer than %u bytes", from, SECRET_MAX - 2);
	sodium_free(secret);
	return NULL;
}

static char *terminal_read(const char *prompt, size_t *len)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	struct termios old, quiet;
	char *secret;

	if (fd < 0 || tcgetattr(fd, &old)) {
		fail("there is no terminal to ask for the passphrase; name a file with it by --passphrase-file (or '-')");
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	quiet = old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(fd, TCSAFLUSH, &quiet);
	dprintf(fd, "%s: ", prompt);
	secret = line_read(fd, "the terminal", len);
	dprintf(fd, "\n");
	tcsetattr(fd, TCSAFLUSH, &old);
	close(fd);
	return secret;
}

char *secret_read(const char *path, const char *prompt, size_t *len)
{
	char *secret;
	int fd;

	if (!path)
		return terminal_read(prompt, len);
	fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (fd < 0) {
		fail("cannot open %s: %s", path, strerror(errno));
		return NULL;
	}
	secret = line_read(fd, fd == STDIN_FILENO ? "standard input" : path, len);
	if (fd != STDIN_FILENO)
		close(fd);
	return secret;
}
