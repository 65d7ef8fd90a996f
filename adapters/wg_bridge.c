#include "adapters/wg_bridge.h"

#include "os/base.h"
#include "os/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BATCH = 64, /* datagrams before others have their turn */
	DATAGRAM_MAX = 2048,
};

struct wg_bridge {
	int fd;
	uint16_t port;
	struct loop_fd *watch;
	wg_bridge_cb *cb;
	void *ctx;
};

static void on_readable(void *arg, int fd, unsigned events)
{
	struct wg_bridge *b = arg;
	uint8_t bytes[DATAGRAM_MAX];
	(void)events;
	for (int i = 0; i < BATCH; i++) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		/* What WireGuard's port refuses while it is away comes as an error here. */
		if (n > 0 && (size_t)n <= sizeof(bytes))
			b->cb(b->ctx, bytes, (size_t)n);
	}
}

/* Connected to WireGuard's port: the kernel drops what comes from elsewhere. */
static int open_socket(uint16_t wireguard_port, uint16_t *ret_port)
{
	struct sockaddr_in own = {.sin_family = AF_INET};
	struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(wireguard_port)};
	socklen_t len = sizeof(own);
	own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	_cleanup_(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof(own)) ||
	    connect(fd, (struct sockaddr *)&peer, sizeof(peer)) ||
	    getsockname(fd, (struct sockaddr *)&own, &len))
		return -errno;
	*ret_port = ntohs(own.sin_port);
	int opened = fd;
	fd = -1;
	return opened;
}

int wg_bridge_new(struct loop *loop, uint16_t wireguard_port, wg_bridge_cb *cb, void *ctx,
		  struct wg_bridge **ret_bridge)
{
	uint16_t port = 0;
	int fd = open_socket(wireguard_port, &port);
	if (fd < 0)
		return fd;
	struct wg_bridge *b = xcalloc(1, sizeof(*b));
	*b = (struct wg_bridge){.fd = fd, .port = port, .cb = cb, .ctx = ctx};
	b->watch = loop_fd_new(loop, fd, LOOP_READ, on_readable, b);
	if (!b->watch) {
		int r = -errno;
		wg_bridge_free(b);
		return r;
	}
	*ret_bridge = b;
	return 0;
}

void wg_bridge_free(struct wg_bridge *b)
{
	if (!b)
		return;
	loop_fd_free(b->watch);
	closep(&b->fd);
	free(b);
}

uint16_t wg_bridge_port(const struct wg_bridge *b)
{
	return b->port;
}

bool wg_bridge_send(struct wg_bridge *b, const uint8_t *bytes, size_t len)
{
	return send(b->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}
