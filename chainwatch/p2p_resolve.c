#include "chainwatch/p2p_resolve.h"

#include "os/base.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct p2p_resolve {
	atomic_int owners; /* the thread and who started it; the last one frees */
	atomic_bool done;
	char host[256];
	uint16_t port;
	struct endpoint found[P2P_RESOLVE_MAX];
	size_t count;
};

static void let_go(struct p2p_resolve *r)
{
	if (atomic_fetch_sub(&r->owners, 1) == 1)
		free(r);
}

static void keep(struct p2p_resolve *r, const struct sockaddr *addr)
{
	struct endpoint e = {.port = r->port};

	if (addr->sa_family == AF_INET) {
		e.addr.family = ADDR_V4;
		memcpy(e.addr.bytes, &((const struct sockaddr_in *)addr)->sin_addr, 4);
	} else if (addr->sa_family == AF_INET6) {
		e.addr.family = ADDR_V6;
		memcpy(e.addr.bytes, &((const struct sockaddr_in6 *)addr)->sin6_addr, 16);
	} else {
		return;
	}
	if (r->count < P2P_RESOLVE_MAX)
		r->found[r->count++] = e;
}

static void *run(void *arg)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct p2p_resolve *r = arg;
	struct addrinfo *list = NULL;

	if (getaddrinfo(r->host, NULL, &hints, &list) == 0)
		for (const struct addrinfo *a = list; a; a = a->ai_next)
			keep(r, a->ai_addr);
	if (list)
		freeaddrinfo(list);
	atomic_store(&r->done, true);
	let_go(r);
	return NULL;
}

struct p2p_resolve *p2p_resolve_start(const char *host, uint16_t port)
{
	struct p2p_resolve *r = calloc(1, sizeof(*r));
	sigset_t all, before;
	pthread_t thread;
	int error;

	if (!r)
		return NULL;
	atomic_store(&r->owners, 2);
	snprintf(r->host, sizeof(r->host), "%s", host);
	r->port = port;
	/* signals are the loop's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, NULL, run, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		free(r);
		return NULL;
	}
	pthread_detach(thread);
	return r;
}

void p2p_resolve_free(struct p2p_resolve *r)
{
	if (r)
		let_go(r);
}

bool p2p_resolve_is_done(const struct p2p_resolve *r)
{
	return atomic_load(&r->done);
}

size_t p2p_resolve_result(const struct p2p_resolve *r, const struct endpoint **ret_list)
{
	*ret_list = r->found;
	return r->count;
}
