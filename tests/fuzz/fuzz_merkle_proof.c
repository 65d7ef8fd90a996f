#include "fuzz/fuzz.h"
#include "wire/merkle_proof.h"
#include "wire/tx.h"

#include <string.h>

/* The same bytes as gettxoutproof's form, as a branch, and as a proof: u8 length of the
 * transaction, it, its branch, then the coinbase's in the same way; root: the rest. */

static void partial_tree(const uint8_t *data, size_t len)
{
	struct merkle_match matches[4];
	struct merkle_block m;
	static uint8_t out[1 << 20];
	struct writer w;
	size_t count;

	if (merkle_block_parse(data, len, &m) != MERKLE_OK)
		return;
	FUZZ_CHECK(m.tx_count && m.tx_count <= MERKLE_TXS_MAX && m.hash_count <= m.tx_count);
	writer_init(&w, out, sizeof(out));
	merkle_block_write(&w, &m);
	FUZZ_CHECK(writer_len(&w) == (len < sizeof(out) ? len : writer_len(&w)));
	FUZZ_CHECK(w.failed || !memcmp(out, data, len));
	if (merkle_block_check(&m, matches, 4, &count) != MERKLE_OK)
		return;
	FUZZ_CHECK(count <= m.tx_count);
	for (size_t i = 0; i < count && i < 4; i++)
		FUZZ_CHECK(matches[i].index < m.tx_count &&
			   (!i || matches[i - 1].index < matches[i].index));
}

static struct span read_tx(struct reader *r)
{
	struct span tx = {.len = reader_u8(r)};

	tx.data = reader_bytes(r, tx.len);
	if (r->failed)
		tx.len = 0;
	return tx;
}

static void proof(const uint8_t *data, size_t len)
{
	struct merkle_proof p = {.tx = {NULL, 0}};
	struct hash256 root, got;
	struct reader r;

	reader_init(&r, data, len);
	p.tx = read_tx(&r);
	if (!merkle_branch_read(&r, &p.branch))
		return;
	p.coinbase = read_tx(&r);
	if (!merkle_branch_read(&r, &p.coinbase_branch))
		return;
	reader_copy(&r, &root, sizeof(root));
	if (r.failed)
		return;
	if (merkle_proof_check(&p, &root) != MERKLE_OK)
		return;
	FUZZ_CHECK(p.branch.depth == p.coinbase_branch.depth);
	FUZZ_CHECK(p.branch.index >> p.branch.depth == 0);
	/* one root a leaf and a branch */
	root.bytes[0] ^= 1;
	FUZZ_CHECK(merkle_proof_check(&p, &root) == MERKLE_ROOT);
	FUZZ_CHECK(merkle_branch_root(&p.branch, &root, &got) != MERKLE_DEEP);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct merkle_branch branch;
	uint8_t out[5 + MERKLE_DEPTH_MAX * HASH_LEN];
	struct reader r;
	struct writer w;

	partial_tree(data, len);
	proof(data, len);
	reader_init(&r, data, len);
	if (merkle_branch_read(&r, &branch)) {
		writer_init(&w, out, sizeof(out));
		merkle_branch_write(&w, &branch);
		FUZZ_CHECK(!w.failed && !memcmp(out, data, writer_len(&w)));
	}
	block_witness_ok(data, len);
	return 0;
}
