#include "chainwatch/light.h"

#include "os/base.h"
#include "os/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Peers say different things of one filter. Each that is claimed is fetched from one who claims it
 * and held against the block: a filter without a script that the block makes or, of ours, spends is
 * a lie, and so is one of more elements than the block has scripts. What is left then may differ in
 * scripts of others that the block spends, which cannot be seen from here: nobody is banned and the
 * block is read, whatever its filter says. */

enum { CLAIMS_MAX = P2P_PEERS_MAX };

/* Values of all scripts that have to be in the filter. */
struct scripts {
	const struct gcs *gcs;
	uint64_t *have; /* owned; the filter, ascending */
	size_t most;	/* elements that it may have */
	bool missing;
};

static int compare_values(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void need(struct scripts *s, struct span script)
{
	uint64_t value = gcs_value(s->gcs, script);

	s->missing |= !bsearch(&value, s->have, s->gcs->count, sizeof(value), compare_values);
}

static void need_of_tx(struct light *l, struct scripts *s, const struct tx_view *tx)
{
	const struct source_seal *seal;
	struct tx_iter it = tx_outputs(tx);
	struct tx_output output;
	struct tx_input input;

	while (tx_next_output(&it, &output)) {
		if (!gcs_has_output(output.script))
			continue;
		s->most++;
		need(s, output.script);
	}
	if (tx_is_coinbase(tx))
		return;
	s->most += tx->input_count;
	it = tx_inputs(tx);
	while (tx_next_input(&it, &input)) {
		seal = light_find_seal(l, input.outpoint);
		if (seal && seal->script.len > 0)
			need(s, seal->script);
	}
}

/* NULL, or what is wrong with a filter of this block. */
static const char *judge(struct light *l, const struct hash256 *hash, struct span filter,
			 struct span raw)
{
	struct scripts s = {.missing = false};
	struct block_view block;
	struct tx_view tx;
	struct gcs gcs;
	bool readable;

	if (!gcs_open(&gcs, hash, filter.data, filter.len))
		return "is malformed";
	s.gcs = &gcs;
	s.have = xcalloc(gcs.count + 1u, sizeof(*s.have));
	readable = gcs_values(&gcs, s.have);
	if (readable && block_open(&block, raw.data, raw.len) == TX_OK)
		while (block_next(&block, &tx))
			need_of_tx(l, &s, &tx);
	free(s.have);
	if (!readable)
		return "is malformed";
	if (s.missing)
		return "omits a script that is in the block";
	if (gcs.count > s.most)
		return "has more scripts than the block";
	return NULL;
}

/* The peers whose claim is under dispute, by their serials: some may go meanwhile. */
struct claim {
	uint64_t serial;
	struct hash256 hash; /* of the filter */
	bool judged;
};

static struct p2p_peer *find_peer(struct light *l, uint64_t serial)
{
	for (struct p2p_peer *p = p2p_net_next(l->net, NULL); p; p = p2p_net_next(l->net, p))
		if (p->serial == serial)
			return p;
	return NULL;
}

static size_t list_claims(struct light *l, size_t index, struct claim *ret)
{
	size_t count = 0;

	for (struct p2p_peer *p = p2p_net_next(l->net, NULL); p; p = p2p_net_next(l->net, p)) {
		const struct light_peer *lp = light_peer(p);

		if (lp->answered && index < lp->claim_count && count < CLAIMS_MAX)
			ret[count++] =
				(struct claim){.serial = p->serial, .hash = lp->claims[index]};
	}
	return count;
}

static void ban_claimants(struct light *l, struct claim *claims, size_t count,
			  const struct hash256 *hash, uint32_t height, const char *what)
{
	for (size_t i = 0; i < count; i++) {
		struct p2p_peer *p = find_peer(l, claims[i].serial);

		if (p && memcmp(&claims[i].hash, hash, sizeof(*hash)) == 0)
			p2p_net_ban(l->net, p, "its filter of block %u %s", height, what);
	}
}

/* One claim: its filter against the block. */
static int judge_claim(struct light *l, struct claim *claims, size_t count, size_t at,
		       uint32_t height, const struct hash256 *block, struct span raw)
{
	struct p2p_peer *p = find_peer(l, claims[at].serial);
	struct span filter = {.data = NULL};
	const char *wrong;
	struct hash256 hash;
	int result;

	claims[at].judged = true;
	if (!p)
		return 0;
	result = light_ask_filters(l, p, height, block, 1, &filter);
	if (result == 0 && filter.data) {
		gcs_hash(filter.data, filter.len, &hash);
		wrong = judge(l, block, filter, raw);
		if (memcmp(&hash, &claims[at].hash, sizeof(hash)) != 0)
			p2p_net_ban(l->net, p,
				    "its filter of block %u is not the one of its filter header",
				    height);
		else if (wrong)
			ban_claimants(l, claims, count, &hash, height, wrong);
		/* the others that claim it need not be asked */
		for (size_t i = 0; i < count; i++)
			claims[i].judged |= memcmp(&claims[i].hash, &hash, sizeof(hash)) == 0;
	}
	free((void *)filter.data);
	return result == -EAGAIN ? 0 : result;
}

int light_dispute(struct light *l, uint32_t height, size_t index, bool *ret_undecided)
{
	struct claim claims[CLAIMS_MAX];
	size_t count = list_claims(l, index, claims);
	_cleanup_(freep) uint8_t *copy = NULL;
	const struct hash256 *first = NULL;
	struct headers_block block;
	struct span raw;
	int result;

	l->counts.disputes++;
	*ret_undecided = false;
	if (!headers_at(l->headers, height, &block))
		return -EAGAIN;
	result = light_blocks_fetch(l, &block.hash, &raw);
	if (result)
		return result;
	copy = xmalloc(raw.len);
	memcpy(copy, raw.data, raw.len);
	raw.data = copy;
	for (size_t i = 0; !result && i < count; i++)
		if (!claims[i].judged)
			result = judge_claim(l, claims, count, i, height, &block.hash, raw);
	/* who is left, and still of several minds? */
	for (size_t i = 0; i < count; i++) {
		if (!find_peer(l, claims[i].serial))
			continue;
		if (first && memcmp(first, &claims[i].hash, sizeof(*first)) != 0)
			*ret_undecided = true;
		first = &claims[i].hash;
	}
	l->counts.undecided += *ret_undecided;
	if (*ret_undecided)
		log_limited(LOG_LEVEL_WARN, 10,
			    "light: peers differ on the filter of block %u, and none provably "
			    "lies: the block is read whatever they say",
			    height);
	return result;
}

/* ------------------------------------------------------------------ the past */

/* The filter header of one block as a peer says it now. */
static int ask_header(struct light *l, uint64_t serial, uint32_t height, struct hash256 *ret_prev,
		      struct hash256 *ret_hash, struct hash256 *ret_header)
{
	struct p2p_peer *p = find_peer(l, serial);
	struct headers_block block;
	int result;

	if (!p || !headers_at(l->headers, height, &block))
		return -EAGAIN;
	result = light_ask_cfheaders(l, p, height, &block.hash, 1);
	if (result)
		return result;
	*ret_prev = light_peer(p)->claim_prev;
	*ret_hash = light_peer(p)->claims[0];
	gcs_header(ret_hash, ret_prev, ret_header);
	return 0;
}

/* The block after one on which they agreed: who does not stand by that, or their filters. */
static int decide(struct light *l, const uint64_t peers[2], uint32_t height,
		  const struct hash256 *agreed, bool *ret_undecided)
{
	struct hash256 prev, hash[2], header;
	struct p2p_peer *p;
	int result = 0;

	for (unsigned i = 0; !result && i < 2; i++) {
		result = ask_header(l, peers[i], height, &prev, &hash[i], &header);
		p = find_peer(l, peers[i]);
		if (result || !p || memcmp(&prev, agreed, sizeof(prev)) == 0)
			continue;
		p2p_net_ban(l->net, p, "its filter headers contradict themselves at block %u",
			    height);
		return 0;
	}
	if (result || memcmp(&hash[0], &hash[1], sizeof(hash[0])) == 0)
		return result;
	/* both have claimed this one block: only these are under dispute */
	for (p = p2p_net_next(l->net, NULL); p; p = p2p_net_next(l->net, p))
		light_peer(p)->answered &= p->serial == peers[0] || p->serial == peers[1];
	return light_dispute(l, height, 0, ret_undecided);
}

/* What it says of the block before start now, and what it said when it was asked for a range. */
static int check_word(struct light *l, uint64_t serial, uint32_t start, const struct hash256 *said)
{
	struct hash256 prev, hash, header;
	struct p2p_peer *p;
	int result = ask_header(l, serial, start - 1, &prev, &hash, &header);

	p = find_peer(l, serial);
	if (!result && p && memcmp(&header, said, sizeof(header)) != 0)
		p2p_net_ban(l->net, p, "its filter headers contradict themselves at block %u",
			    start - 1);
	return result;
}

int light_dispute_past(struct light *l, uint64_t a, uint64_t b, uint32_t start, bool *ret_undecided)
{
	const uint64_t peers[2] = {a, b};
	struct hash256 prev, hash, header[2], agreed = {{0}};
	uint32_t low = 0, high = start; /* they differ at a block in [low, high) */
	struct hash256 said[2] = {{{0}}};
	const struct p2p_peer *p;
	int result = 0;

	*ret_undecided = false;
	for (unsigned i = 0; i < 2; i++) {
		p = find_peer(l, peers[i]);
		if (!p)
			return 0;
		said[i] = light_peer(p)->claim_prev;
	}
	while (!result && high - low > 1) {
		uint32_t middle = low + (high - low) / 2 - 1;

		for (unsigned i = 0; !result && i < 2; i++)
			result = ask_header(l, peers[i], middle, &prev, &hash, &header[i]);
		if (result)
			break;
		if (memcmp(&header[0], &header[1], sizeof(header[0])) == 0) {
			low = middle + 1;
			agreed = header[0];
		} else {
			high = middle + 1;
		}
	}
	if (!result)
		result = decide(l, peers, low, &agreed, ret_undecided);
	for (unsigned i = 0; !result && start > 0 && i < 2; i++)
		if (find_peer(l, peers[i]))
			result = check_word(l, peers[i], start, &said[i]);
	/* one of them went: the next comparison is among others */
	return result == -EAGAIN ? 0 : result;
}
