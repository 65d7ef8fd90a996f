#include "hub/tenant.h"

#include "adapters/adapter.h"
#include "adapters/tinc_key.h"
#include "adapters/tincd.h"
#include "core/book.h"
#include "node/spawn.h"
#include "os/base.h"
#include "os/file.h"
#include "os/log.h"
#include "wire/bech32.h"
#include "wire/hex.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NODES_MAX = 65536, ID_FILE_MAX = 128, CHANGE_SIZE = 64 };

struct node {
	struct node_key key;
	char name[TINC_NAME_SIZE];
	char text[TINC_PUBLIC_MAX]; /* of its key; "": none yet */
	uint64_t date;		    /* of the statement that said it */
	struct address subnets[TINC_SUBNETS_MAX];
	size_t subnet_count;
	bool up;
};

struct nodes {
	struct node *list; /* owned; in the order of their keys, as ovcd says them */
	size_t count;
};

struct tenant {
	struct object_id dnet, ovc;
	char id[OBJECT_ID_TEXT_SIZE];
	char interface[16], folder[256];
	struct spawn *spawn; /* borrowed */
	struct adapter_os os;
	struct tincd *tincd; /* owned */
	struct nodes nodes, coming;
	bool busy, wanted;
	/* What ovcd said of this dnet as its change: last (""; it says none), before the list under
	 * way, before the one in force, and before the one after which it knew our key. */
	char said[CHANGE_SIZE], asked[CHANGE_SIZE], taken[CHANGE_SIZE], told[CHANGE_SIZE];
	uint64_t lists; /* that were taken */
};

struct tenants {
	struct loop *loop;
	struct spawn *spawn;
	char *state_folder;		  /* owned */
	struct tenant *list[TENANTS_MAX]; /* owned */
	size_t count;
};

/* ---- Its tincd ---- */

static const char *os_error(void *ctx)
{
	return spawn_error(((const struct tenant *)ctx)->spawn);
}

static int os_start(void *ctx, enum adapter_program program, const int *fds, size_t fds_count,
		    int *ret_pidfd, int *ret_pid)
{
	const struct tenant *t = ctx;
	return spawn_child(t->spawn, program, t->interface, fds, fds_count, ret_pidfd, ret_pid);
}

static int os_signal(void *ctx, int pid, int signal)
{
	return spawn_signal(((const struct tenant *)ctx)->spawn, pid, signal);
}

static int os_reap(void *ctx, int pid, int *ret_status)
{
	return spawn_reap(((const struct tenant *)ctx)->spawn, pid, ret_status);
}

static void on_ready(void *ctx)
{
	(void)ctx; /* the next list of nodes, a second later, starts it */
}

static void on_event(void *ctx, const struct tinc_event *event)
{
	struct tenant *t = ctx;
	for (size_t i = 0; i < t->nodes.count; i++) {
		if (strcmp(t->nodes.list[i].name, event->name) == 0)
			t->nodes.list[i].up = event->up;
	}
}

static void on_ended(void *ctx)
{
	struct tenant *t = ctx;
	for (size_t i = 0; i < t->nodes.count; i++)
		t->nodes.list[i].up = false;
}

/* ---- Nodes ---- */

static int compare_key(const void *key, const void *node)
{
	return node_key_compare(key, &((const struct node *)node)->key);
}

static const struct node *find_node(const struct nodes *nodes, const struct node_key *key)
{
	return nodes->count
		       ? bsearch(key, nodes->list, nodes->count, sizeof(*nodes->list), compare_key)
		       : NULL;
}

/* The newest that the node itself has signed for this dnet. */
static void take_statement(const struct tenant *t, const struct id *curve, const char *hex,
			   struct node *n)
{
	uint8_t bytes[STATEMENT_MAX];
	struct statement s;
	char text[TINC_PUBLIC_MAX];
	size_t len;
	if (!hex || !hex_parse_any(hex, bytes, sizeof(bytes), &len) ||
	    !statement_parse(bytes, len, &s) || s.date <= n->date || s.backend != BACKEND_TINC ||
	    s.kind != OBJECT_DNET || !object_id_equal(&s.object, &t->dnet) ||
	    !node_key_equal(&s.signer, &n->key) || !book_is_signed(curve, &s) ||
	    !tinc_key_format(s.key, s.key_len, text))
		return;
	memcpy(n->text, text, sizeof(text));
	n->date = s.date;
}

static bool take_node(struct tenant *t, const struct id *curve, const json_t *json)
{
	struct node *n = &t->coming.list[t->coming.count];
	const char *key = json_string_value(json_object_get(json, "key"));
	const json_t *addresses = json_object_get(json, "addresses");
	memset(n, 0, sizeof(*n));
	if (!key || strlen(key) != 2 * PUBKEY_LEN || !hex_parse(key, n->key.bytes, PUBKEY_LEN) ||
	    json_array_size(addresses) > TINC_SUBNETS_MAX)
		return false;
	if (t->coming.count > 0 && node_key_compare(&n[-1].key, &n->key) >= 0)
		return false;
	for (size_t i = 0; i < json_array_size(addresses); i++) {
		const char *text = json_string_value(json_array_get(addresses, i));
		if (!text || !address_parse(text, &n->subnets[n->subnet_count++]))
			return false;
	}
	const struct node *before = find_node(&t->nodes, &n->key);
	if (before) {
		memcpy(n->text, before->text, sizeof(n->text));
		n->date = before->date;
		n->up = before->up;
	}
	tinc_node_name(&n->key, n->name);
	take_statement(t, curve, json_string_value(json_object_get(json, "statement")), n);
	t->coming.count++;
	return true;
}

bool tenant_begin(struct tenant *t)
{
	if (t->busy || (t->said[0] && strcmp(t->said, t->told) == 0))
		return false;
	t->busy = true;
	t->coming.count = 0;
	memcpy(t->asked, t->said, sizeof(t->asked));
	return true;
}

void tenant_told(struct tenant *t)
{
	memcpy(t->told, t->taken, sizeof(t->told));
}

bool tenant_take(struct tenant *t, const struct id *curve, const json_t *nodes)
{
	size_t more = json_array_size(nodes);
	bool good = json_is_array(nodes) && t->coming.count + more <= NODES_MAX;
	if (good && more > 0)
		t->coming.list = xrealloc(t->coming.list,
					  (t->coming.count + more) * sizeof(*t->coming.list));
	for (size_t i = 0; i < more && good; i++)
		good = take_node(t, curve, json_array_get(nodes, i));
	if (!good)
		tenant_abort(t);
	return good;
}

void tenant_abort(struct tenant *t)
{
	t->busy = false;
}

void tenant_keep(struct tenant *t)
{
	struct tinc_net net = {0};
	struct tinc_host *hosts = xcalloc(t->nodes.count + 1, sizeof(*hosts));
	tinc_hub_name(&t->ovc, net.name);
	memcpy(hosts[0].name, net.name, sizeof(net.name));
	hosts[0].key = tincd_key_text(t->tincd);
	net.hosts = hosts;
	net.host_count = 1;
	for (size_t i = 0; i < t->nodes.count; i++) {
		const struct node *n = &t->nodes.list[i];
		struct tinc_host *host = &hosts[net.host_count];
		if (!n->text[0])
			continue;
		*host = (struct tinc_host){.key = n->text,
					   .subnets = n->subnets,
					   .subnet_count = n->subnet_count,
					   .connected = n->up};
		memcpy(host->name, n->name, sizeof(host->name));
		net.host_count++;
	}
	int r = tincd_apply(t->tincd, &net, false);
	if (r < 0)
		log_limited(LOG_LEVEL_ERROR, 1, "%s: cannot write the files of tincd in %s: %s",
			    t->id, t->folder, strerror(-r));
	free(hosts);
}

void tenant_apply(struct tenant *t)
{
	struct nodes former = t->nodes;
	t->nodes = t->coming;
	t->coming = former;
	memcpy(t->taken, t->asked, sizeof(t->taken));
	t->busy = false;
	t->lists++;
	tenant_keep(t);
}

/* ---- Tenants ---- */

static void id_file(const struct tenant *t, char path[static 300])
{
	snprintf(path, 300, "%s/dnet", t->folder);
}

static void tenant_free(struct tenant *t)
{
	tincd_free(t->tincd);
	free(t->nodes.list);
	free(t->coming.list);
	free(t);
}

/* A free folder becomes this dnet's. What is in it is of another one, whose removal came to no end:
 * no dnet has the key of another. */
static int make_folder(const struct tenants *all, const struct tenant *t)
{
	char path[300], parent[256];
	int r = file_remove_folder(t->folder);
	snprintf(parent, sizeof(parent), "%s/backend", all->state_folder);
	id_file(t, path);
	if (r == 0 && ((mkdirat(AT_FDCWD, parent, 0700) && errno != EEXIST) ||
		       mkdirat(AT_FDCWD, t->folder, 0700)))
		r = -errno;
	return r < 0 ? r : file_replace(path, t->id, strlen(t->id), 0600);
}

/* The folder that is this dnet's already, else the first free one. Which it is cannot be told while
 * one of them cannot be read. 0 or -errno. */
static int choose_folder(const struct tenants *all, struct tenant *t)
{
	char path[300], chosen[sizeof(t->folder)] = "", name[sizeof(t->interface)] = "";
	for (unsigned i = 0; i < TENANTS_MAX; i++) {
		_cleanup_(freep) char *text = NULL;
		snprintf(t->interface, sizeof(t->interface), TENANT_PREFIX "%u", i);
		spawn_folder(all->state_folder, t->interface, t->folder, sizeof(t->folder));
		id_file(t, path);
		int r = file_read(path, ID_FILE_MAX, &text, NULL);
		if (r == 0 && strcmp(text, t->id) == 0)
			return 0;
		if (r < 0 && r != -ENOENT && r != -EFBIG)
			return r;
		if (r == -ENOENT && !chosen[0]) {
			memcpy(chosen, t->folder, sizeof(chosen));
			memcpy(name, t->interface, sizeof(name));
		}
	}
	if (!chosen[0])
		return -ENOSPC;
	memcpy(t->folder, chosen, sizeof(chosen));
	memcpy(t->interface, name, sizeof(name));
	return make_folder(all, t);
}

/* NULL: it cannot be served. */
static struct tenant *add_tenant(struct tenants *all, const struct object_id *ovc,
				 const struct object_id *dnet)
{
	struct tenant *t = xcalloc(1, sizeof(*t));
	t->dnet = *dnet;
	t->ovc = *ovc;
	t->spawn = all->spawn;
	t->os = (struct adapter_os){.ctx = t,
				    .error = os_error,
				    .child_start = os_start,
				    .child_signal = os_signal,
				    .child_reap = os_reap};
	object_id_format(OBJECT_DNET, dnet, t->id);
	int r = all->count < TENANTS_MAX ? choose_folder(all, t) : -ENOSPC;
	if (r == 0)
		r = tincd_new(&(struct tincd_config){.loop = all->loop,
						     .os = &t->os,
						     .folder = t->folder,
						     .name = t->id},
			      &(struct tincd_io){t, on_ready, on_event, on_ended}, &t->tincd);
	if (r == 0) {
		log_notice("%s: served, port %u", t->id, tincd_port(t->tincd));
		all->list[all->count++] = t;
		return t;
	}
	log_limited(
		LOG_LEVEL_ERROR, 1,
		"%s: not served: %s (there may be %d dnets, and %s must be readable and writable)",
		t->id, strerror(-r), TENANTS_MAX, all->state_folder);
	tenant_free(t);
	return NULL;
}

static void remove_tenant(struct tenants *all, size_t i)
{
	struct tenant *t = all->list[i];
	char folder[sizeof(t->folder)];
	memcpy(folder, t->folder, sizeof(folder));
	log_notice("%s: served no longer", t->id);
	all->list[i] = all->list[--all->count];
	tenant_free(t);
	int r = file_remove_folder(folder);
	if (r < 0)
		log_error("cannot remove the folder %s: %s", folder, strerror(-r));
}

void tenants_set(struct tenants *all, const struct object_id *ovc, const json_t *list)
{
	for (size_t i = 0; i < all->count; i++)
		all->list[i]->wanted = false;
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < json_array_size(list); i++) {
			const json_t *one = json_array_get(list, i);
			const char *id = json_string_value(json_object_get(one, "dnet"));
			const char *change = json_string_value(json_object_get(one, "change"));
			enum object_kind kind;
			struct object_id dnet;
			if (!id || !object_id_parse(id, &kind, &dnet) || kind != OBJECT_DNET)
				continue;
			struct tenant *t = tenants_find(all, &dnet);
			if (!t && pass == 1)
				t = add_tenant(all, ovc, &dnet);
			if (!t)
				continue;
			t->wanted = true;
			snprintf(t->said, sizeof(t->said), "%s", change ? change : "");
		}
		for (size_t i = all->count; pass == 0 && i-- > 0;) {
			if (!all->list[i]->wanted)
				remove_tenant(all, i);
		}
	}
}

struct tenants *tenants_new(struct loop *loop, struct spawn *spawn, const char *state_folder)
{
	struct tenants *all = xcalloc(1, sizeof(*all));
	all->loop = loop;
	all->spawn = spawn;
	all->state_folder = xstrdup(state_folder);
	return all;
}

void tenants_free(struct tenants *all)
{
	if (!all)
		return;
	for (size_t i = 0; i < all->count; i++)
		tenant_free(all->list[i]);
	free(all->state_folder);
	free(all);
}

size_t tenants_count(const struct tenants *all)
{
	return all->count;
}

struct tenant *tenants_at(struct tenants *all, size_t i)
{
	return all->list[i];
}

struct tenant *tenants_find(struct tenants *all, const struct object_id *dnet)
{
	for (size_t i = 0; i < all->count; i++) {
		if (object_id_equal(&all->list[i]->dnet, dnet))
			return all->list[i];
	}
	return NULL;
}

const struct object_id *tenant_dnet(const struct tenant *t)
{
	return &t->dnet;
}

const char *tenant_id(const struct tenant *t)
{
	return t->id;
}

struct tincd *tenant_tincd(struct tenant *t)
{
	return t->tincd;
}

json_t *tenant_describe(struct tenant *t)
{
	size_t known = 0, up = 0;
	for (size_t i = 0; i < t->nodes.count; i++) {
		known += t->nodes.list[i].text[0] != '\0';
		up += t->nodes.list[i].up;
	}
	return json_pack("{s:s, s:i, s:s, s:I, s:I, s:I, s:I}", "dnet", t->id, "port",
			 (int)tincd_port(t->tincd), "program", tincd_text(t->tincd), "members",
			 (json_int_t)t->nodes.count, "with_key", (json_int_t)known, "connected",
			 (json_int_t)up, "lists", (json_int_t)t->lists);
}
