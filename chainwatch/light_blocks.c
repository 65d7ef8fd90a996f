#include "chainwatch/light.h"

#include "os/base.h"
#include "os/rand.h"

#include <errno.h>
#include <string.h>

enum { ROUND_MS = 50, BLOCK_TIMES = 3 };

void light_blocks_on_gone(struct light *l, const struct p2p_peer *peer)
{
	if (l->block.peer != peer)
		return;
	l->block.peer = NULL;
	l->block.failed = true;
}

/* All transactions are there, and they are those of the header. */
static enum tx_reason check_form(const uint8_t *raw, size_t len)
{
	struct block_view block;
	struct tx_view tx;

	if (block_open(&block, raw, len) == TX_OK)
		while (block_next(&block, &tx))
			;
	return block.reason;
}

void light_blocks_on_message(struct light *l, struct p2p_peer *peer, struct span payload)
{
	struct light_block *b = &l->block;
	enum tx_reason reason;
	struct hash256 hash;

	if (b->peer != peer || b->raw)
		return;
	b->peer = NULL;
	b->failed = true;
	p2p_peer_got(peer, P2P_WAIT_BLOCK);
	if (payload.len < BLOCK_HEADER_LEN) {
		p2p_net_ban(l->net, peer, "it sent a block that is too short");
		return;
	}
	block_hash(payload.data, &hash);
	if (memcmp(&hash, &b->hash, sizeof(hash)) != 0) {
		p2p_net_ban(l->net, peer, "it sent another block than it was asked for");
		return;
	}
	reason = check_form(payload.data, payload.len);
	if (reason != TX_OK) {
		p2p_net_ban(l->net, peer, "it sent a malformed block: %s", tx_reason_text(reason));
		return;
	}
	if (!block_merkle_ok(payload.data, payload.len)) {
		p2p_net_ban(l->net, peer,
			    "it sent a forged block: its transactions are not those of its "
			    "header (merkle root)");
		return;
	}
	if (!block_witness_ok(payload.data, payload.len)) {
		p2p_net_ban(l->net, peer,
			    "it sent a forged block: its witnesses are not those that its coinbase "
			    "commits to");
		return;
	}
	b->raw = xmalloc(payload.len);
	memcpy(b->raw, payload.data, payload.len);
	b->len = payload.len;
	b->failed = false;
}

void light_blocks_on_notfound(struct light *l, struct p2p_peer *peer, struct span payload)
{
	struct p2p_invs invs;
	struct p2p_inv inv;

	if (!p2p_invs_parse(payload.data, payload.len, &invs)) {
		p2p_net_ban(l->net, peer, "it sent a malformed notfound");
		return;
	}
	for (uint32_t i = 0; i < invs.count; i++) {
		inv = p2p_invs_at(&invs, i);
		if (inv.type == P2P_INV_WITNESS_TX && light_peer(peer)->asked_txs > 0)
			light_peer(peer)->asked_txs--;
		if (l->block.peer == peer &&
		    memcmp(&inv.hash, &l->block.hash, sizeof(inv.hash)) == 0) {
			p2p_peer_got(peer, P2P_WAIT_BLOCK);
			p2p_net_drop(l->net, peer, "it does not keep the blocks of its chain");
			return;
		}
	}
}

static bool can_give(const struct p2p_peer *peer, uint32_t height)
{
	const struct light_peer *lp = peer->user;

	/* who keeps the last 288 blocks only does not say more */
	return lp->best >= height && (peer->services & P2P_NODE_NETWORK || lp->best - height < 280);
}

static struct p2p_peer *choose(struct light *l, uint32_t height)
{
	size_t count = 0;
	uint32_t pick;

	for (struct p2p_peer *p = p2p_net_next(l->net, NULL); p; p = p2p_net_next(l->net, p))
		count += can_give(p, height);
	if (count == 0)
		return NULL;
	pick = rand_below((uint32_t)count);
	for (struct p2p_peer *p = p2p_net_next(l->net, NULL); p; p = p2p_net_next(l->net, p))
		if (can_give(p, height) && pick-- == 0)
			return p;
	return NULL;
}

static int ask(struct light *l, struct p2p_peer *peer, const struct hash256 *hash)
{
	const struct p2p_inv inv = {.type = P2P_INV_WITNESS_BLOCK, .hash = *hash};
	struct light_block *b = &l->block;
	uint8_t mem[3 + P2P_INV_LEN];
	struct writer w;
	int result = 0;

	free(b->raw);
	*b = (struct light_block){.peer = peer, .hash = *hash};
	writer_init(&w, mem, sizeof(mem));
	p2p_invs_write(&w, &inv, 1);
	l->counts.requests++;
	p2p_net_expect(l->net, peer, P2P_WAIT_BLOCK, BLOCK_TIMES);
	if (!p2p_net_send(l->net, peer, P2P_GETDATA, mem, writer_len(&w)))
		b->failed = true;
	while (!result && !b->raw && !b->failed)
		result = light_run(l, ROUND_MS);
	b->peer = NULL;
	return result;
}

int light_blocks_fetch(struct light *l, const struct hash256 *hash, struct span *ret_raw)
{
	struct headers_place place;
	struct p2p_peer *peer;
	int result = 0;

	for (unsigned i = 0; i < LIGHT_BLOCK_TRIES; i++) {
		if (!headers_find(l->headers, hash, &place) || !place.active)
			return light_fail(l, -ESTALE, SOURCE_FINE,
					  "the chain was reorganised meanwhile: reading on");
		peer = choose(l, place.height);
		if (!peer) {
			for (struct p2p_peer *p = p2p_net_next(l->net, NULL); p;
			     p = p2p_net_next(l->net, p))
				light_headers_probe(l, p);
			result = light_run(l, ROUND_MS);
		} else {
			result = ask(l, peer, hash);
		}
		if (result)
			return result;
		if (l->block.raw && memcmp(&l->block.hash, hash, sizeof(*hash)) == 0) {
			*ret_raw = (struct span){.data = l->block.raw, .len = l->block.len};
			return 0;
		}
	}
	return light_fail(l, -EAGAIN, SOURCE_DOWN,
			  "no peer gives block %u, which is ours to read: asking others",
			  place.height);
}
