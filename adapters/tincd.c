#include "adapters/tincd.h"

#include "adapters/adapter.h"
#include "adapters/child.h"
#include "adapters/tinc_key.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/log.h"
#include "os/loop.h"
#include "os/rand.h"
#include "wire/hash.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	STOP_WAIT_MS = 2000,
	LOOK_S = 10,	/* at files that something else may have changed */
	PAUSE_MS = 200, /* before it is started again: all of the dnet waits for it */
	PAUSE_MAX_MS = 30000,
	SETTLED_MS = 5000,
	GONE_MS = 300,	    /* without an interface, before it is started anew */
	PORT_FIRST = 20000, /* below those that the kernel gives to whoever asks for any */
	PORT_COUNT = 12000,
	PORT_TRIES = 50,
	PORT_TEXT_MAX = 8,
};

/* Makes the private key beside the loop. */
struct maker {
	pthread_t thread;
	bool running; /* it is to be joined */
	int done;     /* eventfd */
	struct loop_fd *watch;
	char *text; /* of the thread until done; NULL then: it could not */
};

struct tincd {
	struct tincd_io io;
	struct loop *loop;
	char *folder, *name; /* owned */
	struct child *child;
	struct maker *maker; /* NULL: none is at work */
	uint8_t key[ADAPTER_KEY_MAX];
	size_t key_len; /* 0: none yet */
	char key_text[TINC_PUBLIC_MAX];
	uint16_t port;
	bool key_failed;
	struct hash256 written; /* of the net that the files are of */
	uint64_t written_ns;	/* when they were found so; 0: they may not be */
	char version[16];
	char text[CHILD_TEXT_MAX + 32];
};

/* ---- The key ---- */

static void path_of(const struct tincd *t, const char *name, char path[static PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s", t->folder, name);
}

static bool take_key(struct tincd *t, const char *text)
{
	size_t len;
	if (!tinc_key_public(text, t->key, &len) || !tinc_key_format(t->key, len, t->key_text))
		return false;
	t->key_len = len;
	return true;
}

/* 1: it is there; 0: one has to be made; -errno, logged: it cannot be read, which is no reason to
 * make another one. */
static int read_key(struct tincd *t)
{
	char path[PATH_MAX], *text = NULL;
	size_t len = 0;
	path_of(t, "rsa_key.priv", path);
	int r = file_read(path, TINC_PRIVATE_MAX, &text, &len);
	bool good = r == 0 && take_key(t, text);
	if (text)
		secret_wipe(text, len);
	free(text);
	if (good || r == -ENOENT)
		return good;
	if (r < 0 && r != -EFBIG) {
		log_error("%s: cannot read %s: %s", t->name, path, strerror(-r));
		return r;
	}
	log_warn("%s: %s is no RSA key of %d bits or more: another one is made", t->name, path,
		 TINC_RSA_BITS_MIN);
	return 0;
}

static void *make(void *arg)
{
	struct maker *m = arg;
	uint64_t one = 1;
	m->text = tinc_key_make();
	(void)!write(m->done, &one, sizeof(one));
	return NULL;
}

static void wait_for(struct maker *m)
{
	if (m->running)
		pthread_join(m->thread, NULL);
	m->running = false;
}

static void free_maker(struct maker *m)
{
	if (!m)
		return;
	wait_for(m);
	loop_fd_free(m->watch);
	closep(&m->done);
	if (m->text)
		secret_wipe(m->text, strlen(m->text));
	free(m->text);
	free(m);
}

static void on_made(void *arg, int fd, unsigned events)
{
	struct tincd *t = arg;
	char path[PATH_MAX];
	(void)fd;
	(void)events;
	wait_for(t->maker);
	const char *text = t->maker->text;
	path_of(t, "rsa_key.priv", path);
	int r = text ? file_replace(path, text, strlen(text), 0600) : -EIO;
	t->key_failed = r < 0 || !take_key(t, text);
	if (t->key_failed)
		log_error("%s: cannot make %s: %s", t->name, path, strerror(r < 0 ? -r : EIO));
	free_maker(steal(t->maker));
	if (!t->key_failed)
		t->io.ready(t->io.ctx);
}

static int start_maker(struct tincd *t)
{
	struct maker *m = xcalloc(1, sizeof(*m));
	m->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->done >= 0)
		m->watch = loop_fd_new(t->loop, m->done, LOOP_READ, on_made, t);
	int r = !m->watch ? -errno : -pthread_create(&m->thread, NULL, make, m);
	m->running = r == 0;
	if (r == 0) {
		t->maker = m;
		return 0;
	}
	log_error("%s: cannot make a key: %s", t->name, strerror(-r));
	free_maker(m);
	return r;
}

/* ---- The port ---- */

static bool port_is_free(uint16_t port, int family, int type)
{
	struct sockaddr_storage address = {.ss_family = (sa_family_t)family};
	_cleanup_(closep) int fd = socket(family, type | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(struct sockaddr_in);
	if (fd < 0)
		return family == AF_INET6; /* a machine without it */
	if (family == AF_INET6) {
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int));
		((struct sockaddr_in6 *)&address)->sin6_port = htons(port);
		len = sizeof(struct sockaddr_in6);
	} else {
		((struct sockaddr_in *)&address)->sin_port = htons(port);
	}
	/* The sandbox forbids TCP: then tincd itself will find out. */
	return bind(fd, (struct sockaddr *)&address, len) == 0 || errno != EADDRINUSE;
}

static uint16_t choose_port(void)
{
	for (int i = 0; i < PORT_TRIES; i++) {
		uint16_t port = (uint16_t)(PORT_FIRST + rand_below(PORT_COUNT));
		if (port_is_free(port, AF_INET, SOCK_STREAM) &&
		    port_is_free(port, AF_INET, SOCK_DGRAM) &&
		    port_is_free(port, AF_INET6, SOCK_STREAM) &&
		    port_is_free(port, AF_INET6, SOCK_DGRAM))
			return port;
	}
	return 0;
}

static int take_port(struct tincd *t)
{
	char path[PATH_MAX], text[PORT_TEXT_MAX];
	_cleanup_(freep) char *stored = NULL;
	path_of(t, "port", path);
	int r = file_read(path, PORT_TEXT_MAX, &stored, NULL);
	if (r < 0 && r != -ENOENT && r != -EFBIG) {
		log_error("%s: cannot read %s: %s", t->name, path, strerror(-r));
		return r;
	}
	if (r == 0) {
		char *end;
		unsigned long port = strtoul(stored, &end, 10);
		if (port > 0 && port <= UINT16_MAX && (*end == '\n' || !*end)) {
			t->port = (uint16_t)port;
			return 0;
		}
		log_warn("%s: %s is no port: another one is chosen", t->name, path);
	}
	t->port = choose_port();
	int n = snprintf(text, sizeof(text), "%u\n", t->port);
	r = t->port ? file_replace(path, text, (size_t)n, 0600) : -EADDRINUSE;
	if (r < 0)
		log_error("%s: cannot choose a port: %s: %s", t->name, path, strerror(-r));
	return r;
}

/* ---- The program ---- */

static int give_descriptors(void *ctx, int output, int fds[static ADAPTER_CHILD_FDS])
{
	char path[PATH_MAX];
	/* Of one that was killed. Its number may be another tincd's by now, and then this one would
	 * not start. */
	path_of(ctx, "pid", path);
	(void)unlink(path);
	fds[0] = output;
	return 1;
}

static void on_line(void *ctx, const char *line)
{
	struct tincd *t = ctx;
	struct tinc_event event;
	if (tinc_event_parse(line, &event))
		t->io.event(t->io.ctx, &event);
	else
		(void)sscanf(line, "tincd %15s", t->version);
}

static void on_ended(void *ctx, int status)
{
	struct tincd *t = ctx;
	(void)status;
	child_set_interface(t->child, 0); /* it went along */
	t->io.ended(t->io.ctx);
}

/* Reading the files of a thousand hosts takes longer than to see that nothing is new. */
static bool is_written(const struct tincd *t, const struct hash256 *hash)
{
	return t->written_ns && clock_monotonic_ns() - t->written_ns < LOOK_S * NS_PER_S &&
	       memcmp(hash, &t->written, sizeof(*hash)) == 0;
}

int tincd_apply(struct tincd *t, struct tinc_net *net, bool look)
{
	struct tinc_changes changes = {0};
	struct hash256 hash;
	int r = 0;
	net->port = t->port;
	tinc_net_hash(net, &hash);
	if (look || !is_written(t, &hash)) {
		r = tinc_files_write(t->folder, net, &changes);
		t->written = hash;
		t->written_ns = r == 0 ? clock_monotonic_ns() : 0;
	}
	if (t->key_len == 0)
		return r;
	if (!child_is_running(t->child))
		(void)child_start(t->child);
	else if (changes.written + changes.removed > 0)
		(void)child_signal(t->child, SIGHUP);
	return r;
}

void tincd_set_interface(struct tincd *t, uint32_t index)
{
	child_set_interface(t->child, index);
}

/* ---- Life and views ---- */

int tincd_new(const struct tincd_config *config, const struct tincd_io *io,
	      struct tincd **ret_tincd)
{
	struct tincd *t = xcalloc(1, sizeof(*t));
	const struct child_io child_io = {
		.ctx = t, .descriptors = give_descriptors, .line = on_line, .ended = on_ended};
	t->io = *io;
	t->loop = config->loop;
	t->folder = xstrdup(config->folder);
	t->name = xstrdup(config->name);
	t->child = child_new(&(struct child_config){.loop = config->loop,
						    .os = config->os,
						    .program = PROGRAM_TINCD,
						    .name = config->name,
						    .pause_ms = PAUSE_MS,
						    .pause_max_ms = PAUSE_MAX_MS,
						    .settled_ms = SETTLED_MS,
						    .gone_ms = GONE_MS},
			     &child_io);
	int r = file_sweep(t->folder); /* a killed one may have left half a key */
	if (r < 0)
		log_error("%s: cannot sweep %s: %s", t->name, t->folder, strerror(-r));
	if (r == 0)
		r = take_port(t);
	if (r == 0)
		r = read_key(t);
	if (r == 0)
		r = start_maker(t);
	if (r < 0) {
		tincd_free(t);
		return r;
	}
	*ret_tincd = t;
	return 0;
}

void tincd_free(struct tincd *t)
{
	if (!t)
		return;
	child_stop(t->child, STOP_WAIT_MS);
	child_free(t->child);
	free_maker(t->maker);
	free(t->folder);
	free(t->name);
	free(t);
}

uint16_t tincd_port(const struct tincd *t)
{
	return t->port;
}

const uint8_t *tincd_key(const struct tincd *t, size_t *ret_len)
{
	*ret_len = t->key_len;
	return t->key_len > 0 ? t->key : NULL;
}

const char *tincd_key_text(const struct tincd *t)
{
	return t->key_text;
}

bool tincd_is_running(const struct tincd *t)
{
	return child_is_running(t->child);
}

const char *tincd_text(struct tincd *t)
{
	const char *state = t->key_failed     ? "cannot make a key: see the log"
			    : t->key_len == 0 ? "its key is being made"
					      : child_text(t->child);
	snprintf(t->text, sizeof(t->text), "tincd%s%s: %s", t->version[0] ? " " : "", t->version,
		 state);
	return t->text;
}
