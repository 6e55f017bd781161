// SPDX-License-Identifier: GPL-2.0-or-later
/* address.c - addresses as people write them; pure but for address_of_socket(). */
#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static int copy_part(char *to, size_t size, const char *from, size_t len)
{
	if (!len)
		return -EINVAL;
	if (len >= size)
		return -ENAMETOOLONG;
	memcpy(to, from, len);
	to[len] = 0;
	return 0;
}

static bool port_valid(const char *port)
{
	char *end;
	unsigned long n;

	if (*port < '0' || *port > '9')
		return false;
	n = strtoul(port, &end, 10);
	return !*end && n <= 65535;
}

int address_parse(const char *text, struct address *address)
{
	const char *host = text, *colon;
	size_t host_len;
	int ret;

	memset(address, 0, sizeof(*address));
	if (!strncmp(text, "unix:", 5)) {
		struct sockaddr_un un;

		address->unix_path = true;
		if (text[5] != '/')
			return -EINVAL;
		return copy_part(address->host, sizeof(un.sun_path), text + 5, strlen(text + 5));
	}
	colon = strrchr(text, ':');
	if (!colon)
		return -EINVAL;
	host_len = (size_t)(colon - text);
	if (*text == '[') {
		if (host_len < 3 || colon[-1] != ']')
			return -EINVAL;
		host++;
		host_len -= 2;
	} else if (memchr(text, ':', host_len)) {
		return -EINVAL;
	}
	ret = copy_part(address->host, sizeof(address->host), host, host_len);
	if (!ret)
		ret = copy_part(address->port, sizeof(address->port), colon + 1, strlen(colon + 1));
	if (!ret && !port_valid(address->port))
		ret = -EINVAL;
	return ret;
}

int address_sockaddr(const struct address *address, struct sockaddr_storage *sockaddr, socklen_t *len)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	struct addrinfo *info;

	memset(sockaddr, 0, sizeof(*sockaddr));
	if (address->unix_path) {
		struct sockaddr_un *un = (struct sockaddr_un *)sockaddr;

		un->sun_family = AF_UNIX;
		snprintf(un->sun_path, sizeof(un->sun_path), "%.*s", (int)sizeof(un->sun_path) - 1, address->host);
		*len = sizeof(*un);
		return 0;
	}
	if (getaddrinfo(address->host, address->port, &hints, &info))
		return -ENOENT;
	memcpy(sockaddr, info->ai_addr, info->ai_addrlen);
	*len = info->ai_addrlen;
	freeaddrinfo(info);
	return 0;
}

void address_of_socket(int fd, bool peer, char *text, size_t size)
{
	struct sockaddr_storage storage;
	socklen_t len = sizeof(storage);
	char host[INET6_ADDRSTRLEN];

	snprintf(text, size, "?");
	if (peer ? getpeername(fd, (struct sockaddr *)&storage, &len) : getsockname(fd, (struct sockaddr *)&storage, &len))
		return;
	if (storage.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&storage;

		if (inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)))
			snprintf(text, size, "%s:%u", host, ntohs(in->sin_port));
	} else if (storage.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&storage;

		if (inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host)))
			snprintf(text, size, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else if (storage.ss_family == AF_UNIX) {
		const struct sockaddr_un *un = (const struct sockaddr_un *)&storage;

		if (len > offsetof(struct sockaddr_un, sun_path) && un->sun_path[0])
			snprintf(text, size, "unix:%.*s", (int)sizeof(un->sun_path), un->sun_path);
		else
			snprintf(text, size, "unix socket");
	}
}
