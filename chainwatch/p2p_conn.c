#include "chainwatch/p2p_conn.h"

#include "os/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	IN_SIZE = 64 << 10,   /* of the buffer while messages are small */
	IN_KEEP = 512 << 10,  /* a larger one is given back when it is empty */
	SOCKS_REPLY_MAX = 262 /* RFC 1928, 6: 4, a name of 255 with its length, port */
};

/*	DIALLING ──► GREETED ──► ASKED ──► OPEN
 *	      └──────── without proxy ──────┘     any failure: DEAD
 */
enum state {
	DIALLING, /* connect() is under way */
	GREETED,  /* the proxy was offered "no authentication" */
	ASKED,	  /* the proxy was asked to connect */
	OPEN,
	DEAD,
};

struct buffer {
	uint8_t *data; /* owned */
	size_t len, size;
};

struct p2p_conn {
	int fd; /* owned; -1: none */
	enum state state;
	uint8_t magic[P2P_MAGIC_LEN];
	struct p2p_target to;
	bool proxied;
	struct buffer in, out;
	size_t used;   /* of `in`: the message that was handed out last */
	uint64_t skip; /* bytes of a message that nobody wants */
	uint64_t received;
	char error[P2P_CONN_ERROR_SIZE];
};

_printf_(2, 3) static bool die(struct p2p_conn *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->error, sizeof(c->error), format, args);
	va_end(args);
	c->state = DEAD;
	return false;
}

static bool reserve(struct buffer *b, size_t size)
{
	uint8_t *grown;

	if (b->size >= size)
		return true;
	grown = realloc(b->data, size);
	if (!grown)
		return false;
	b->data = grown;
	b->size = size;
	return true;
}

static bool append(struct p2p_conn *c, const void *data, size_t len)
{
	struct buffer *b = &c->out;

	if (b->len + len > P2P_CONN_OUT_MAX || !reserve(b, b->len + len))
		return false;
	memcpy(b->data + b->len, data, len);
	b->len += len;
	return true;
}

static void take(struct buffer *b, size_t len)
{
	memmove(b->data, b->data + len, b->len - len);
	b->len -= len;
	if (b->len == 0 && b->size > IN_KEEP) {
		free(b->data);
		*b = (struct buffer){.data = NULL};
	}
}

static socklen_t to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ret)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;

	memset(ret, 0, sizeof(*ret));
	if (e->addr.family == ADDR_V6) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(e->port);
		memcpy(&v6->sin6_addr, e->addr.bytes, 16);
		return sizeof(*v6);
	}
	v4->sin_family = AF_INET;
	v4->sin_port = htons(e->port);
	memcpy(&v4->sin_addr, e->addr.bytes, 4);
	return sizeof(*v4);
}

struct p2p_conn *p2p_conn_open(const uint8_t magic[static P2P_MAGIC_LEN],
			       const struct p2p_target *to, const struct endpoint *proxy)
{
	const struct endpoint *first = proxy ? proxy : &to->endpoint;
	struct p2p_conn *c = calloc(1, sizeof(*c));
	struct sockaddr_storage addr;
	socklen_t len = to_sockaddr(first, &addr);
	int one = 1;

	if (!c)
		return NULL;
	memcpy(c->magic, magic, sizeof(c->magic));
	c->to = *to;
	c->proxied = proxy;
	c->fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd >= 0)
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (c->fd < 0 || (connect(c->fd, (struct sockaddr *)&addr, len) && errno != EINPROGRESS)) {
		p2p_conn_free(c);
		return NULL;
	}
	return c;
}

void p2p_conn_free(struct p2p_conn *c)
{
	if (!c)
		return;
	closep(&c->fd);
	free(c->in.data);
	free(c->out.data);
	free(c);
}

int p2p_conn_fd(const struct p2p_conn *c)
{
	return c->fd;
}

short p2p_conn_events(const struct p2p_conn *c)
{
	if (c->state == DIALLING)
		return POLLOUT;
	return (short)(POLLIN | (c->out.len > 0 ? POLLOUT : 0));
}

bool p2p_conn_is_open(const struct p2p_conn *c)
{
	return c->state == OPEN;
}

static bool on_connected(struct p2p_conn *c)
{
	static const uint8_t greeting[] = {5, 1, 0}; /* version, one method: none needed */
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (error)
		return die(c, "%s%s", c->proxied ? "the proxy cannot be reached: " : "",
			   strerror(error));
	if (!c->proxied) {
		c->state = OPEN;
		return true;
	}
	c->state = GREETED;
	return append(c, greeting, sizeof(greeting)) || die(c, "out of memory");
}

/* RFC 1928, 4 */
static bool ask_proxy(struct p2p_conn *c)
{
	uint8_t mem[SOCKS_REPLY_MAX] = {5, 1, 0};
	const struct address *a = &c->to.endpoint.addr;
	struct writer w;

	writer_init(&w, mem, sizeof(mem));
	w.pos += 3;
	if (a->family == ADDR_NONE) {
		writer_u8(&w, 3);
		writer_u8(&w, (uint8_t)strlen(c->to.host));
		writer_copy(&w, c->to.host, strlen(c->to.host));
	} else {
		writer_u8(&w, a->family == ADDR_V4 ? 1 : 4);
		writer_copy(&w, a->bytes, a->family == ADDR_V4 ? 4 : 16);
	}
	writer_u16be(&w, c->to.port);
	c->state = ASKED;
	return append(c, mem, writer_len(&w)) || die(c, "out of memory");
}

static const char *socks_reply_text(uint8_t reply)
{
	static const char *const texts[] = {
		"",
		"it failed",
		"its rules forbid it",
		"the network cannot be reached",
		"the host cannot be reached",
		"the connection was refused",
		"it took too long",
		"it cannot connect",
		"it does not know that kind of address",
	};

	return reply < ARRAY_SIZE(texts) ? texts[reply] : "an answer that no proxy gives";
}

static bool on_proxy_bytes(struct p2p_conn *c)
{
	const uint8_t *in = c->in.data;
	size_t len = c->in.len, want;

	if (c->state == GREETED) {
		if (len < 2)
			return true;
		if (in[0] != 5 || in[1] != 0)
			return die(c, "the proxy is no SOCKS5 proxy, or wants a password");
		take(&c->in, 2);
		return ask_proxy(c);
	}
	if (len < 5)
		return true;
	if (in[0] != 5 || (in[3] != 1 && in[3] != 3 && in[3] != 4))
		return die(c, "the proxy answers what no SOCKS5 proxy does");
	if (in[1] != 0)
		return die(c, "the proxy: %s", socks_reply_text(in[1]));
	want = 4u + (in[3] == 1 ? 4u : in[3] == 4 ? 16u : 1u + in[4]) + 2u;
	if (len < want)
		return true;
	take(&c->in, want);
	c->state = OPEN;
	return true;
}

static bool receive(struct p2p_conn *c)
{
	ssize_t got;

	if (!reserve(&c->in, IN_SIZE))
		return die(c, "out of memory");
	/* a message that is longer made room for itself: p2p_conn_next() */
	if (c->in.len == c->in.size)
		return true;
	got = recv(c->fd, c->in.data + c->in.len, c->in.size - c->in.len, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (got < 0)
		return die(c, "%s", strerror(errno));
	if (got == 0)
		return die(c, "it closed the connection");
	c->in.len += (size_t)got;
	c->received += (uint64_t)got;
	return c->state == OPEN || on_proxy_bytes(c);
}

static bool flush(struct p2p_conn *c)
{
	ssize_t put;

	while (c->out.len > 0) {
		put = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);
		if (put < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (put < 0)
			return die(c, "%s", strerror(errno));
		take(&c->out, (size_t)put);
	}
	return true;
}

bool p2p_conn_step(struct p2p_conn *c, short events)
{
	if (c->state == DEAD)
		return false;
	if (c->state == DIALLING) {
		if (!(events & (POLLOUT | POLLERR | POLLHUP)))
			return true;
		if (!on_connected(c))
			return false;
	}
	if ((events & (POLLIN | POLLERR | POLLHUP)) && !receive(c))
		return false;
	return flush(c);
}

/* Forgets what was handed out or is skipped. */
static void drop_used(struct p2p_conn *c)
{
	size_t skip;

	if (c->used > 0)
		take(&c->in, c->used);
	c->used = 0;
	skip = MIN(c->skip, c->in.len);
	if (skip > 0)
		take(&c->in, skip);
	c->skip -= skip;
}

enum p2p_conn_result p2p_conn_next(struct p2p_conn *c, struct p2p_message *ret)
{
	enum p2p_reason reason;
	struct p2p_header header;
	size_t need = 0;

	if (c->state != OPEN)
		return P2P_CONN_NONE;
	for (;;) {
		drop_used(c);
		if (c->skip > 0 || c->in.len < P2P_HEADER_LEN)
			return P2P_CONN_NONE;
		reason = p2p_header_parse(c->magic, c->in.data, &header);
		if (reason == P2P_OK && header.type == P2P_OTHER) {
			c->skip = (uint64_t)P2P_HEADER_LEN + header.len;
			continue;
		}
		if (reason == P2P_OK)
			reason = p2p_open(c->magic, c->in.data, c->in.len, ret, &need);
		if (reason == P2P_OK) {
			c->used = ret->size;
			return P2P_CONN_MESSAGE;
		}
		if (reason != P2P_SHORT) {
			die(c, "it sent a message %s", p2p_reason_text(reason));
			return P2P_CONN_BROKEN;
		}
		if (!reserve(&c->in, need)) {
			die(c, "out of memory");
			return P2P_CONN_BROKEN;
		}
		return P2P_CONN_NONE;
	}
}

bool p2p_conn_send(struct p2p_conn *c, enum p2p_type type, const void *payload, size_t len)
{
	struct writer w;

	if (c->state == DEAD || c->out.len + P2P_HEADER_LEN + len > P2P_CONN_OUT_MAX ||
	    !reserve(&c->out, c->out.len + P2P_HEADER_LEN + len))
		return false;
	writer_init(&w, c->out.data + c->out.len, P2P_HEADER_LEN + len);
	p2p_write(&w, c->magic, type, payload, len);
	if (w.failed)
		return false;
	c->out.len += writer_len(&w);
	return c->state != OPEN || flush(c);
}

const char *p2p_conn_error(const struct p2p_conn *c)
{
	return c->error;
}

uint64_t p2p_conn_received(const struct p2p_conn *c)
{
	return c->received;
}
