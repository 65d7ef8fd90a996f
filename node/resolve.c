#include "node/resolve.h"

#include "os/base.h"
#include "os/loop.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The thread owns its lookup until it has written the pointer into the pipe. When nobody reads
 * there any more, it frees the lookup itself: so a resolver that hangs keeps nobody from stopping.
 */
struct lookup {
	char *host;
	int fd; /* to send to */
	struct address addresses[RESOLVE_ADDRESSES_MAX];
	size_t count;
	const char *error; /* static */
};

struct resolve {
	int fd; /* to receive from */
	struct loop_fd *watch;
	resolve_cb cb;
	void *arg;
};

static void lookup_free(struct lookup *l)
{
	close(l->fd);
	free(l->host);
	free(l);
}

static void add_address(struct lookup *l, const struct sockaddr *sa)
{
	if (l->count == RESOLVE_ADDRESSES_MAX)
		return;
	struct address *a = &l->addresses[l->count];
	if (sa->sa_family == AF_INET) {
		a->family = ADDR_V4;
		memcpy(a->bytes, &((const struct sockaddr_in *)sa)->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		a->family = ADDR_V6;
		memcpy(a->bytes, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
	} else {
		return;
	}
	l->count++;
}

static void *lookup_main(void *arg)
{
	struct lookup *l = arg;
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM}, *list = NULL;
	int r = getaddrinfo(l->host, NULL, &hints, &list);
	if (r != 0)
		l->error = gai_strerror(r);
	for (const struct addrinfo *i = list; i; i = i->ai_next)
		add_address(l, i->ai_addr);
	if (list)
		freeaddrinfo(list);
	if (send(l->fd, &l, sizeof(l), MSG_NOSIGNAL) != sizeof(l))
		lookup_free(l);
	return NULL;
}

static void on_done(void *arg, int fd, unsigned events)
{
	struct resolve *r = arg;
	struct lookup *l;
	(void)events;
	if (recv(fd, &l, sizeof(l), MSG_DONTWAIT) != sizeof(l))
		return;
	resolve_cb cb = r->cb;
	void *cb_arg = r->arg;
	resolve_cancel(r);
	cb(cb_arg, l->addresses, l->count, l->error);
	lookup_free(l);
}

struct resolve *resolve_start(struct loop *loop, const char *host, resolve_cb cb, void *arg)
{
	int fds[2];
	pthread_t thread;
	pthread_attr_t attributes;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return NULL;
	struct lookup *l = xcalloc(1, sizeof(*l));
	l->host = xstrdup(host);
	l->fd = fds[1];
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, 256 * 1024);
	int failed = pthread_create(&thread, &attributes, lookup_main, l);
	pthread_attr_destroy(&attributes);
	if (failed) {
		lookup_free(l);
		close(fds[0]);
		return NULL;
	}
	struct resolve *r = xcalloc(1, sizeof(*r));
	r->fd = fds[0];
	r->cb = cb;
	r->arg = arg;
	r->watch = loop_fd_new(loop, fds[0], LOOP_READ, on_done, r);
	return r;
}

void resolve_cancel(struct resolve *r)
{
	struct lookup *l;
	if (!r)
		return;
	loop_fd_free(r->watch);
	/* From here on the thread cannot send any more; what it has sent is ours to free. */
	shutdown(r->fd, SHUT_RD);
	if (recv(r->fd, &l, sizeof(l), MSG_DONTWAIT) == sizeof(l))
		lookup_free(l);
	close(r->fd);
	free(r);
}
