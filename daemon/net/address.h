/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * address.h - addresses as people write them: "IP:PORT", "[IP6]:PORT", "NAME:PORT", "unix:/path"
 */
#ifndef WEFT_NET_ADDRESS_H
#define WEFT_NET_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

struct address {
	bool unix_path;
	char host[256]; /* or the path */
	char port[16];
};

/* 0; -EINVAL: not of one of the forms; -ENAMETOOLONG: a part is too long (a socket path has at most 107 bytes). */
int address_parse(const char *text, struct address *address);

/*
 * Without asking a name service: 0 and the socket address, or -ENOENT for a NAME. For unix paths too.
 */
int address_sockaddr(const struct address *address, struct sockaddr_storage *sockaddr, socklen_t *len);

/* The peer or own address of a socket as text for messages; never fails ("?"). */
void address_of_socket(int fd, bool peer, char *text, size_t size);

#endif
