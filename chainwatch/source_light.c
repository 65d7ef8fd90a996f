#include "chainwatch/light.h"

#include "os/base.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/rand.h"
#include "wire/hex.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	IDLE_MS = 1, /* a look at the network when nothing is waited for… */
	IDLE_ROUNDS = 32,
	SCRYPT_EVERY = 100,
	START_MS = 250, /* … while there is nothing to do but wait for it */
	PEERS_MAX = P2P_PEERS_MAX - 4,
};

int light_fail(struct light *l, int result, enum source_trouble trouble, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(l->error, sizeof(l->error), format, args);
	va_end(args);
	l->trouble = trouble;
	return result;
}

int light_run(struct light *l, uint64_t timeout_ms)
{
	if (atomic_load(l->config.stop))
		return light_fail(l, -ECANCELED, SOURCE_DOWN, "stopping");
	p2p_net_run(l->net, timeout_ms);
	return 0;
}

/* ------------------------------------------------------------------ peers */

static void on_ready(void *arg, struct p2p_peer *peer)
{
	struct light *l = arg;

	peer->user = xcalloc(1, sizeof(struct light_peer));
	light_headers_on_ready(l, peer);
	light_pool_on_ready(l->pool, peer);
}

static void on_gone(void *arg, struct p2p_peer *peer)
{
	struct light *l = arg;
	struct light_peer *lp = peer->user;

	light_filters_on_gone(l, peer);
	light_blocks_on_gone(l, peer);
	free(lp->claims);
	free(lp);
	peer->user = NULL;
}

static void on_inv(struct light *l, struct p2p_peer *peer, struct span payload)
{
	struct p2p_invs invs;
	struct p2p_inv inv;

	if (!p2p_invs_parse(payload.data, payload.len, &invs)) {
		p2p_net_ban(l->net, peer, "it sent a malformed inv");
		return;
	}
	for (uint32_t i = 0; i < invs.count; i++) {
		inv = p2p_invs_at(&invs, i);
		if (inv.type == P2P_INV_BLOCK && i + 1 == invs.count)
			light_headers_on_block_inv(l, peer, &inv.hash);
	}
	light_pool_on_inv(l->pool, peer, payload);
}

static void on_message(void *arg, struct p2p_peer *peer, const struct p2p_message *m)
{
	struct light *l = arg;

	if (m->type == P2P_HEADERS)
		light_headers_on_message(l, peer, m->payload);
	else if (m->type == P2P_INV)
		on_inv(l, peer, m->payload);
	else if (m->type == P2P_CFHEADERS)
		light_filters_on_cfheaders(l, peer, m->payload);
	else if (m->type == P2P_CFILTER)
		light_filters_on_cfilter(l, peer, m->payload);
	else if (m->type == P2P_BLOCK)
		light_blocks_on_message(l, peer, m->payload);
	else if (m->type == P2P_NOTFOUND)
		light_blocks_on_notfound(l, peer, m->payload);
	else if (m->type == P2P_TX)
		light_pool_on_tx(l->pool, peer, m->payload);
	else if (m->type == P2P_GETDATA)
		light_pool_on_getdata(l->pool, peer, m->payload);
	/* what a node asks of a node is not for us: BIP157 and others let it be silent */
}

/* ------------------------------------------------------------------ the vtable */

static int light_genesis(struct source *source, struct hash256 *ret_hash)
{
	*ret_hash = ((struct light *)source)->config.params->genesis;
	return 0;
}

static int too_few(struct light *l, size_t synced, uint32_t before)
{
	const struct p2p_event *event = p2p_net_event_at(l->net, 0);
	struct p2p_counts counts;

	p2p_net_count(l->net, &counts);
	if (counts.ready == 0)
		return light_fail(l, -ENOTCONN, SOURCE_DOWN,
				  "no peer of the chain answers%s%s%s%s: check the network, proxy "
				  "and peer",
				  event ? "; the last one was " : "", event ? event->name : "",
				  event ? ": " : "", event ? event->what : "");
	if (counts.filters < l->config.filters)
		return light_fail(l, -ENOTCONN, SOURCE_DOWN,
				  "%zu of %u peers that serve block filters are there, and %zu "
				  "without: waiting for more%s%s%s%s",
				  counts.filters, l->config.filters, counts.ready - counts.filters,
				  event ? "; the last one that left was " : "",
				  event ? event->name : "", event ? ": " : "",
				  event ? event->what : "");
	if (headers_height(l->headers) > before) {
		snprintf(l->doing, sizeof(l->doing), "reading headers: %u so far",
			 headers_height(l->headers));
		return -EINPROGRESS;
	}
	return light_fail(l, -EAGAIN, SOURCE_WARMUP,
			  "headers up to %u from %zu of %u peers: reading on",
			  headers_height(l->headers), synced, l->config.filters);
}

/* Enough peers have told all their headers: nobody's short chain is taken for the best. */
static int begin(struct light *l)
{
	uint64_t until = clock_monotonic_ns() + START_MS * NS_PER_MS;
	uint32_t before = headers_height(l->headers);
	size_t synced;
	int result;

	do {
		result = light_run(l, START_MS);
		if (result)
			return result;
		synced = light_headers_synced(l, true);
	} while (synced < l->config.filters && clock_monotonic_ns() < until);
	if (synced < l->config.filters)
		return too_few(l, synced, before);
	if (!headers_enough_work(l->headers))
		return light_fail(l, -EAGAIN, SOURCE_WARMUP,
				  "the best chain that peers tell, %u headers, has less work than "
				  "the real one: looking for other peers",
				  headers_height(l->headers));
	if (!l->started)
		log_notice("light: %u headers, %zu peers with filters", headers_height(l->headers),
			   synced);
	l->started = true;
	l->doing[0] = '\0';
	return 0;
}

/* All that waits to be read, and nothing more. */
static int catch_up(struct light *l)
{
	struct p2p_counts counts = {.bytes_in = 0};
	uint64_t before;
	int result;

	for (unsigned round = 0; round < IDLE_ROUNDS; round++) {
		before = counts.bytes_in;
		result = light_run(l, IDLE_MS);
		if (result)
			return result;
		p2p_net_count(l->net, &counts);
		if (round > 0 && counts.bytes_in == before)
			break;
	}
	return 0;
}

static int light_tip(struct source *source, struct hash256 *ret_hash)
{
	struct light *l = (struct light *)source;
	struct p2p_counts counts;
	int result;

	l->error[0] = '\0';
	l->trouble = SOURCE_FINE;
	result = catch_up(l);
	if (result)
		return result;
	light_headers_check(l);
	p2p_net_count(l->net, &counts);
	if (!l->started || counts.filters < l->config.filters) {
		result = begin(l);
		if (result)
			return result;
	}
	*ret_hash = headers_tip(l->headers);
	return 0;
}

static int light_header(struct source *source, const struct hash256 *hash,
			struct source_header *ret_header)
{
	struct light *l = (struct light *)source;
	struct headers_place place;
	struct headers_block block = {.time = 0}, prev = {.time = 0};

	if (!headers_find(l->headers, hash, &place))
		return -ENOENT;
	*ret_header = (struct source_header){.height = place.height, .active = place.active};
	if (place.active && headers_at(l->headers, place.height, &block))
		ret_header->time = block.time;
	if (place.active && place.height > 0 && headers_at(l->headers, place.height - 1, &prev))
		ret_header->prev = prev.hash;
	return 0;
}

static int light_hashes(struct source *source, uint32_t height, size_t count,
			struct hash256 *ret_hashes, size_t *ret_count)
{
	struct light *l = (struct light *)source;
	struct headers_block block;
	size_t found = 0;

	while (found < count && headers_at(l->headers, height + (uint32_t)found, &block))
		ret_hashes[found++] = block.hash;
	*ret_count = found;
	return 0;
}

/* The transaction that makes an object spends nothing that we know and makes nothing that we know:
 * only its height leads to it. */
static bool is_followed(const struct light *l, uint32_t height)
{
	for (size_t i = 0; i < l->config.follow_count; i++)
		if (height >= l->follows[i].height &&
		    height - l->follows[i].height < LIGHT_FOLLOW_SPAN)
			return true;
	return false;
}

static int hand_out(struct light *l, size_t index, const struct hash256 *hash, source_bytes_cb cb,
		    void *arg)
{
	struct span raw = {.data = NULL};
	struct headers_place place;
	bool match = false;
	int result = 0;

	if (!headers_find(l->headers, hash, &place) || !place.active)
		return light_fail(l, -ESTALE, SOURCE_FINE,
				  "the chain was reorganised meanwhile: reading on");
	if (is_followed(l, place.height))
		match = true;
	else if (l->script_count > 0)
		result = light_filters_match(l, place.height, &match);
	if (!result && match)
		result = light_blocks_fetch(l, hash, &raw);
	if (result)
		return result;
	l->counts.blocks += match;
	l->counts.passed += !match;
	return cb(arg, index, raw.data, raw.len);
}

static int light_blocks(struct source *source, const struct hash256 *hashes, size_t count,
			source_bytes_cb cb, void *arg)
{
	struct light *l = (struct light *)source;
	int result = 0;

	l->error[0] = '\0';
	for (size_t i = 0; !result && i < count; i++)
		result = hand_out(l, i, &hashes[i], cb, arg);
	return result;
}

static int light_mempool(struct source *source, struct hash256 **ret_txids, size_t *ret_count)
{
	struct light *l = (struct light *)source;

	return light_pool_list(l->pool, ret_txids, ret_count);
}

static int light_transactions(struct source *source, const struct hash256 *txids, size_t count,
			      source_bytes_cb cb, void *arg)
{
	struct light *l = (struct light *)source;

	return light_pool_visit(l->pool, txids, count, cb, arg);
}

static int light_submit(struct source *source, const uint8_t *raw, size_t len,
			struct hash256 *ret_txid)
{
	struct light *l = (struct light *)source;

	l->error[0] = '\0';
	return light_pool_submit(l->pool, raw, len, ret_txid);
}

static enum source_trouble light_trouble(const struct source *source)
{
	const struct light *l = (const struct light *)source;

	return l->error[0] ? l->trouble : SOURCE_FINE;
}

static const char *light_error(const struct source *source)
{
	return ((const struct light *)source)->error;
}

static const char *light_doing(const struct source *source)
{
	return ((const struct light *)source)->doing;
}

static uint64_t light_requests(const struct source *source)
{
	return ((const struct light *)source)->counts.requests;
}

/* ------------------------------------------------------------------ what is watched */

static int compare_seals(const void *a, const void *b)
{
	return memcmp(&((const struct source_seal *)a)->outpoint,
		      &((const struct source_seal *)b)->outpoint, sizeof(struct outpoint));
}

const struct source_seal *light_find_seal(const struct light *l,
					  const uint8_t outpoint[OUTPOINT_LEN])
{
	const struct source_seal *found = NULL;
	struct source_seal key;

	memcpy(&key.outpoint.txid, outpoint, HASH_LEN);
	key.outpoint.vout = load_u32(outpoint + HASH_LEN);
	for (size_t i = 0; !found && i < SOURCE_READERS; i++)
		if (l->seals[i].count > 0)
			found = bsearch(&key, l->seals[i].list, l->seals[i].count, sizeof(key),
					compare_seals);
	return found;
}

static void free_seals(struct light_seals *s)
{
	for (size_t i = 0; i < s->count; i++)
		free((void *)s->list[i].script.data);
	free(s->list);
	*s = (struct light_seals){.list = NULL};
}

static int copy_seals(struct light_seals *s, const struct source_seal *seals, size_t count)
{
	free_seals(s);
	s->list = calloc(count + 1, sizeof(*s->list));
	if (!s->list)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		uint8_t *script = malloc(seals[i].script.len + 1);

		if (!script)
			return -ENOMEM;
		memcpy(script, seals[i].script.data, seals[i].script.len);
		s->list[i] = seals[i];
		s->list[i].script.data = script;
		s->count++;
	}
	qsort(s->list, count, sizeof(*s->list), compare_seals);
	return 0;
}

static void drop_scripts(struct light *l, bool live_too)
{
	struct light_script *script, *next;

	HASH_ITER(hh, l->scripts, script, next)
	{
		if (script->live && !live_too)
			continue;
		HASH_DEL(l->scripts, script);
		free(script->data);
		free(script);
	}
	l->script_count = HASH_COUNT(l->scripts);
}

static int add_script(struct light *l, struct span bytes)
{
	struct light_script *script;

	HASH_FIND(hh, l->scripts, bytes.data, bytes.len, script);
	if (!script) {
		script = calloc(1, sizeof(*script));
		if (script)
			script->data = malloc(bytes.len);
		if (!script || !script->data) {
			free(script);
			return -ENOMEM;
		}
		memcpy(script->data, bytes.data, bytes.len);
		script->len = bytes.len;
		HASH_ADD_KEYPTR(hh, l->scripts, script->data, script->len, script);
		l->script_count = HASH_COUNT(l->scripts);
	}
	script->live = true;
	return 0;
}

static int make_room(struct light *l)
{
	size_t room = l->script_count + 16;
	uint64_t *values;

	if (room <= l->script_room)
		return 0;
	values = reallocarray(l->values, room, sizeof(*values));
	if (!values)
		return -ENOMEM;
	l->values = values;
	l->script_room = room;
	return 0;
}

/* Scripts of seals that were stay: a reorganisation may bring their transactions again, in blocks
 * where nothing else would tell of them. */
static int light_watch(struct source *source, enum source_reader reader,
		       const struct source_seal *seals, size_t count)
{
	struct light *l = (struct light *)source;
	struct light_script *script, *next;
	int result;

	HASH_ITER(hh, l->scripts, script, next)
	{
		script->live = false;
	}
	result = copy_seals(&l->seals[reader], seals, count);
	for (size_t r = 0; r < SOURCE_READERS; r++)
		for (size_t i = 0; !result && i < l->seals[r].count; i++)
			if (l->seals[r].list[i].script.len > 0)
				result = add_script(l, l->seals[r].list[i].script);
	if (l->script_count > LIGHT_SCRIPTS_MAX)
		drop_scripts(l, false);
	if (!result)
		result = make_room(l);
	light_pool_check(l->pool);
	return result;
}

int source_light_follow(struct source *source, const struct light_follow *follows, size_t count)
{
	struct light *l = (struct light *)source;
	struct light_follow *copy = calloc(count + 1, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	if (count > 0)
		memcpy(copy, follows, count * sizeof(*copy));
	free(l->follows);
	l->follows = copy;
	l->config.follow_count = count;
	return 0;
}

/* ------------------------------------------------------------------ open, close */

static void light_free(struct source *source)
{
	struct light *l = (struct light *)source;

	p2p_net_free(l->net);
	light_filters_forget(l);
	light_pool_free(l->pool);
	headerfile_close(l->file);
	headers_free(l->headers);
	id_free(l->id);
	for (size_t i = 0; i < SOURCE_READERS; i++)
		free_seals(&l->seals[i]);
	drop_scripts(l, true);
	free(l->scripts);
	free(l->values);
	free(l->block.raw);
	free(l->follows);
	free(l);
}

static const struct source_ops light_ops = {
	.name = "light",
	.genesis = light_genesis,
	.tip = light_tip,
	.header = light_header,
	.hashes = light_hashes,
	.blocks = light_blocks,
	.mempool = light_mempool,
	.transactions = light_transactions,
	.submit = light_submit,
	.trouble = light_trouble,
	.error = light_error,
	.doing = light_doing,
	.requests = light_requests,
	.free = light_free,
	.watch = light_watch,
	.status = light_status,
};

static bool set_targets(const struct light_config *config, struct p2p_net_config *net, char *error,
			size_t error_size)
{
	struct p2p_target proxy;

	for (size_t i = 0; i < config->target_count; i++) {
		if (!p2p_target_parse(config->targets[i], config->params->p2p_port,
				      &net->fixed[i])) {
			snprintf(error, error_size, "peer '%.80s' is not HOST or HOST:PORT",
				 config->targets[i]);
			return false;
		}
	}
	net->fixed_count = config->target_count;
	if (!config->proxy || !config->proxy[0])
		return true;
	if (!p2p_target_parse(config->proxy, 9050, &proxy) || proxy.host[0]) {
		snprintf(error, error_size,
			 "proxy '%.80s' is not ADDRESS:PORT of a SOCKS5 proxy, such as "
			 "socks5://127.0.0.1:9050",
			 config->proxy);
		return false;
	}
	net->proxy = proxy.endpoint;
	return true;
}

/* Of a former run; no header is judged here that was not before. */
static int on_stored(void *arg, const uint8_t *raw, size_t count)
{
	struct light *l = arg;
	struct headers_added added;

	return headers_restore(l->headers, raw, BLOCK_HEADER_LEN, count, &added);
}

static int open_file(struct light *l, const char *path, char *error, size_t error_size)
{
	uint64_t cut = 0;
	int result =
		headerfile_open(path, &l->config.params->genesis, on_stored, l, &l->file, &cut);

	if (cut > 0)
		log_warn("light: %llu bytes at the end of %s were half written and are cut off",
			 (unsigned long long)cut, path);
	if (result)
		snprintf(error, error_size, "%s: %s: remove it to read the headers anew", path,
			 result == -EBADMSG ? "not the headers of this chain" : strerror(-result));
	return result;
}

static int open_parts(struct light *l, struct p2p_net_config *net, char *error, size_t error_size)
{
	const struct p2p_handler handler = {
		.arg = l, .on_ready = on_ready, .on_message = on_message, .on_gone = on_gone};
	/* scrypt of three million headers takes a quarter of an hour; the checkpoint above them
	 * commits to each */
	struct headers_config headers = {
		.params = l->config.params,
		.pow_every = l->config.params->pow == CHAIN_POW_SCRYPT ? SCRYPT_EVERY : 1};
	_cleanup_(freep) char *file = xasprintf("%s/headers", l->config.state_folder);
	_cleanup_(freep) char *peers = xasprintf("%s/peers", l->config.state_folder);
	uint8_t seed[ID_SEED_LEN];
	int result;

	rand_bytes(headers.seed, sizeof(headers.seed));
	rand_bytes(seed, sizeof(seed));
	l->id = id_new(seed);
	l->pool = light_pool_new(l);
	result = headers_new(&headers, &l->headers);
	if (result == -EINVAL)
		snprintf(error, error_size, "chain %s has no header chain that can be checked",
			 l->config.params->name);
	if (!result)
		result = open_file(l, file, error, error_size);
	if (result)
		return result;
	net->file = peers;
	l->net = p2p_net_new(net, &handler);
	return l->net && l->id && l->pool ? 0 : -ENOMEM;
}

int source_light_new(const struct light_config *config, struct source **ret_source, char *error,
		     size_t error_size)
{
	struct p2p_net_config net = {
		.params = config->params,
		.wanted = MIN(MAX(config->peers, config->filters), (unsigned)PEERS_MAX),
		.filters = config->filters,
		.timeout_ms = config->timeout_ms,
		.relay = config->mempool,
	};
	struct light *l;
	int result;

	if (!set_targets(config, &net, error, error_size))
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->source.ops = &light_ops;
	l->config = *config;
	l->moved_ns = clock_monotonic_ns();
	snprintf(error, error_size, "out of memory");
	result = source_light_follow(&l->source, config->follows, config->follow_count);
	if (!result)
		result = open_parts(l, &net, error, error_size);
	if (result) {
		light_free(&l->source);
		return result;
	}
	*ret_source = &l->source;
	return 0;
}
