// SPDX-License-Identifier: GPL-2.0-only
/* 6.19 "net: Introduce struct sockaddr_unsized" */
#include <linux/net.h>
#include <linux/socket.h>

int probe_connect(struct socket *sock, struct sockaddr_storage *address);
int probe_connect(struct socket *sock, struct sockaddr_storage *address)
{
#ifdef PROBE_NEW
	return kernel_connect(sock, (struct sockaddr_unsized *)address, sizeof(*address), 0);
#else
	return kernel_connect(sock, (struct sockaddr *)address, sizeof(*address), 0);
#endif
}
