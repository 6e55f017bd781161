// SPDX-License-Identifier: GPL-2.0-only
/*
 * A socket that the daemon opened, authenticated and handed over: checks, callbacks, release.
 *
 * The connection object is its only owner: sk_user_data says so, and a socket that somebody else owns is refused. The
 * file reference keeps the socket alive whatever becomes of the daemon. Callbacks run in any context under
 * sk_callback_lock and do nothing but call the saved ones and queue work. The saved ones must be called: kTLS moves
 * what it has sealed from sk_write_space and stalls without.
 *
 * Between attach and detach the pointers of the socket are ours; detach gives them back under the same lock, and after
 * it no callback of ours runs. TLS must be fully set up before: pointers installed below it could not be taken back.
 */
#include <linux/file.h>
#include <linux/net.h>
#include <linux/tcp.h>
#include <net/sock.h>
#include <net/tcp.h>
#include <net/tls.h>

#include "node/internal.h"

static void socket_data_ready(struct sock *sk)
{
	struct weft_conn *conn;

	read_lock_bh(&sk->sk_callback_lock);
	conn = sk->sk_user_data;
	if (conn) {
		conn->saved_data_ready(sk);
		queue_work(weft_conn_wq, &conn->rx_work);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

static void socket_write_space(struct sock *sk)
{
	struct weft_conn *conn;

	read_lock_bh(&sk->sk_callback_lock);
	conn = sk->sk_user_data;
	if (conn) {
		conn->saved_write_space(sk);
		queue_work(weft_conn_wq, &conn->tx_work);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

static void socket_state_change(struct sock *sk)
{
	struct weft_conn *conn;

	read_lock_bh(&sk->sk_callback_lock);
	conn = sk->sk_user_data;
	if (conn) {
		conn->saved_state_change(sk);
		/* The receiver finds out what it is: end of file, reset. */
		queue_work(weft_conn_wq, &conn->rx_work);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

static void socket_error_report(struct sock *sk)
{
	struct weft_conn *conn;

	read_lock_bh(&sk->sk_callback_lock);
	conn = sk->sk_user_data;
	if (conn) {
		conn->saved_error_report(sk);
		queue_work(weft_conn_wq, &conn->rx_work);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

/*
 * A TCP socket is plain, or has TLS in both directions: one that was switched half way would send in clear what the
 * other side expects sealed.
 */
static int socket_check_tls(struct sock *sk, bool *tls, struct netlink_ext_ack *extack)
{
	const struct tcp_ulp_ops *ulp = inet_csk(sk)->icsk_ulp_ops;
	const struct tls_context *ctx;

	*tls = false;
	if (!ulp)
		return 0;
	if (strcmp(ulp->name, "tls") != 0) {
		NL_SET_ERR_MSG(extack, "the socket has an upper layer protocol that is not TLS");
		return -EINVAL;
	}
	ctx = tls_get_ctx(sk);
	if (!ctx || ctx->tx_conf == TLS_BASE || ctx->rx_conf == TLS_BASE) {
		NL_SET_ERR_MSG(extack, "TLS is not set up in both directions; install TLS_TX and TLS_RX before handing over");
		return -EINVAL;
	}
	*tls = true;
	return 0;
}

static int socket_check(const struct weft_cluster *cluster, struct socket *sock, bool *tls,
			struct netlink_ext_ack *extack)
{
	struct sock *sk = sock->sk;

	*tls = false;
	if (!net_eq(sock_net(sk), cluster->net)) {
		NL_SET_ERR_MSG(extack, "the socket is of another network namespace");
		return -EXDEV;
	}
	if (!sk_is_tcp(sk) && !sk_is_stream_unix(sk)) {
		NL_SET_ERR_MSG(extack, "not a TCP or AF_UNIX stream socket");
		return -EPROTONOSUPPORT;
	}
	if (READ_ONCE(sk->sk_state) != TCP_ESTABLISHED) {
		NL_SET_ERR_MSG(extack, "the socket is not connected");
		return -ENOTCONN;
	}
	return sk_is_tcp(sk) ? socket_check_tls(sk, tls, extack) : 0;
}

int weft_socket_attach(struct weft_conn *conn, struct socket *sock, struct netlink_ext_ack *extack)
{
	struct sock *sk = sock->sk;
	int err;

	lock_sock(sk);
	err = socket_check(conn->host->cluster, sock, &conn->tls, extack);
	release_sock(sk);
	if (err)
		return err;
	if (sk_is_tcp(sk)) {
		tcp_sock_set_nodelay(sk);
		tcp_sock_set_user_timeout(sk, weft_param_peer_timeout());
	}

	write_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_user_data) {
		write_unlock_bh(&sk->sk_callback_lock);
		NL_SET_ERR_MSG(extack, "the socket is in use by another part of the kernel");
		return -EBUSY;
	}
	/* Page cache is written through this: no file system may be entered, nor the task's page fragment be shared. */
	sk->sk_allocation = GFP_NOFS;
	sk->sk_use_task_frag = false;
	conn->sock = sock;
	conn->saved_data_ready = sk->sk_data_ready;
	conn->saved_write_space = sk->sk_write_space;
	conn->saved_state_change = sk->sk_state_change;
	conn->saved_error_report = sk->sk_error_report;
	sk->sk_data_ready = socket_data_ready;
	sk->sk_write_space = socket_write_space;
	sk->sk_state_change = socket_state_change;
	sk->sk_error_report = socket_error_report;
	sk->sk_user_data = conn;
	get_file(sock->file);
	write_unlock_bh(&sk->sk_callback_lock);
	return 0;
}

void weft_socket_detach(struct weft_conn *conn)
{
	struct sock *sk = conn->sock->sk;

	write_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_user_data == conn) {
		sk->sk_data_ready = conn->saved_data_ready;
		sk->sk_write_space = conn->saved_write_space;
		sk->sk_state_change = conn->saved_state_change;
		sk->sk_error_report = conn->saved_error_report;
		sk->sk_user_data = NULL;
	}
	write_unlock_bh(&sk->sk_callback_lock);
}

/* kTLS says nothing by itself when a stream ends; without this the peer must take it for cut off. Best effort. */
static void socket_close_notify(struct socket *sock)
{
	u8 control[CMSG_SPACE(sizeof(u8))] = {};
	u8 alert[2] = { 1, 0 }; /* warning, close_notify: RFC 8446, section 6.1 */
	struct kvec vec = { .iov_base = alert, .iov_len = sizeof(alert) };
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
	struct cmsghdr *cmsg;

	msg.msg_control = control;
	msg.msg_controllen = sizeof(control);
	cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_level = SOL_TLS;
	cmsg->cmsg_type = TLS_SET_RECORD_TYPE;
	cmsg->cmsg_len = CMSG_LEN(sizeof(u8));
	*(u8 *)CMSG_DATA(cmsg) = 21;
	kernel_sendmsg(sock, &msg, &vec, 1, sizeof(alert));
}

void weft_socket_release(struct weft_conn *conn)
{
	struct socket *sock = conn->sock;

	conn->sock = NULL;
	if (conn->tls)
		socket_close_notify(sock);
	kernel_sock_shutdown(sock, SHUT_RDWR);
	sockfd_put(sock);
}
