#include "core/registry.h"
#include "fuzz/fuzz.h"
#include "wire/hash.h"

#include <string.h>

/* Histories of well-formed transactions that spend seals which are there: the input is what is done
 * one after the other, and what the transactions carry. Whatever that is, undoing it leads back to
 * the numbers that were there before. */

enum {
	OP_NODE = 0xb9,
	TX_MAX = 2048,
	SEALS_MAX = 64,
	HEIGHTS_MAX = 256,
};

struct world {
	struct registry *registry; /* owned */
	struct reader r;
	struct outpoint seals[SEALS_MAX]; /* the latest ones, also what was spent or undone */
	size_t seal_count;
	uint32_t next_coin, height, pruned;
	struct registry_counts at[HEIGHTS_MAX]; /* by height, at its end */
};

/* ---- The sink ---- */

static int on_object(void *arg, const struct registry_place *place, const struct record_row *row)
{
	FUZZ_CHECK(row->kind >= OBJECT_DNET && row->kind <= OBJECT_OVR);
	return 0;
}

static int on_object_end(void *arg, const struct registry_place *place, enum object_kind kind,
			 const struct object_id *object)
{
	return 0;
}

static int on_seal(void *arg, const struct registry_place *place, const struct registry_seal *seal,
		   uint64_t *ref)
{
	struct world *w = arg;

	w->seals[w->seal_count++ % SEALS_MAX] = seal->outpoint;
	return 0;
}

static int on_seal_spent(void *arg, const struct registry_place *place,
			 const struct registry_seal *seal)
{
	return 0;
}

static int on_row(void *arg, const struct registry_place *place, const struct record_row *row,
		  uint64_t *ref)
{
	uint8_t key[RECORD_KEY_MAX];

	FUZZ_CHECK(record_fits_kind(&row->record, (enum object_kind)row->kind));
	FUZZ_CHECK(record_key(&row->record, key) <= sizeof(key));
	return 0;
}

static int on_row_end(void *arg, const struct registry_place *place,
		      const struct registry_row_end *end)
{
	FUZZ_CHECK(end->key_len <= RECORD_KEY_MAX);
	return 0;
}

static int on_event(void *arg, const struct registry_place *place,
		    const struct registry_event *event)
{
	FUZZ_CHECK(record_reason_text(event->reason));
	return 0;
}

static int on_revocation(void *arg, const struct registry_place *place,
			 const struct registry_revocation *revocation)
{
	FUZZ_CHECK(revocation->key_len <= RECORD_KEY_MAX);
	return 0;
}

/* ---- Transactions ---- */

static void write_input(struct world *w, struct writer *tx)
{
	uint8_t choice = reader_u8(&w->r);
	size_t there = w->seal_count < SEALS_MAX ? w->seal_count : SEALS_MAX;
	struct outpoint o = {.vout = 7};

	if (choice & 1 && there) {
		o = w->seals[(w->seal_count - 1 - (choice >> 1) % there) % SEALS_MAX];
	} else {
		store_u32(o.txid.bytes, ++w->next_coin);
		o.txid.bytes[31] = 0xcc;
	}
	writer_copy(tx, o.txid.bytes, HASH_LEN);
	writer_u32(tx, o.vout);
	writer_compact(tx, 0);
	writer_u32(tx, 0xfffffffd);
}

/* Records as they are in the input, behind the header that makes them a payload. */
static size_t make_payload(struct world *w, uint8_t payload[PAYLOAD_MAX])
{
	size_t want = reader_u8(&w->r) % (PAYLOAD_MAX - PAYLOAD_HEADER_LEN + 1);
	struct writer p;

	want = want < reader_left(&w->r) ? want : reader_left(&w->r);
	payload_begin(&p, payload);
	writer_copy(&p, reader_bytes(&w->r, want), want);
	return payload_finish(&p);
}

static void write_output(struct world *w, struct writer *tx)
{
	static const uint8_t owner[] = {0x51};
	uint8_t payload[PAYLOAD_MAX], mem[2 * PAYLOAD_MAX + 64];
	uint8_t choice = reader_u8(&w->r) % 4;
	struct writer script;
	size_t len = 0;

	writer_init(&script, mem, sizeof(mem));
	if (choice == 1 || choice == 2)
		len = make_payload(w, payload);
	if (choice == 0 || (choice < 3 && !len)) {
		writer_copy(&script, owner, sizeof(owner));
	} else if (choice == 3) {
		len = reader_u8(&w->r) % 64;
		len = len < reader_left(&w->r) ? len : reader_left(&w->r);
		writer_copy(&script, reader_bytes(&w->r, len), len);
	} else if (choice == 1) {
		carrier_op_return_script(&script, payload, len);
	} else {
		carrier_prefix_script(&script, payload, len, (struct span){owner, sizeof(owner)});
	}
	FUZZ_CHECK(!script.failed);
	writer_u64(tx, 10000);
	writer_compact(tx, writer_len(&script));
	writer_copy(tx, mem, writer_len(&script));
}

static void apply(struct world *w, uint32_t height)
{
	const struct registry_sink sink = {w,	       on_object,     on_object_end,
					   on_seal,    on_seal_spent, on_row,
					   on_row_end, on_event,      on_revocation};
	uint8_t raw[TX_MAX], shape = reader_u8(&w->r);
	unsigned inputs = 1 + shape % 3, outputs = 1 + shape / 3 % 4;
	struct tx_view view;
	struct writer tx;

	writer_init(&tx, raw, sizeof(raw));
	writer_u32(&tx, 2);
	writer_compact(&tx, inputs);
	for (unsigned i = 0; i < inputs; i++)
		write_input(w, &tx);
	writer_compact(&tx, outputs);
	for (unsigned i = 0; i < outputs; i++)
		write_output(w, &tx);
	writer_u32(&tx, 0);
	FUZZ_CHECK(!tx.failed && tx_parse(raw, writer_len(&tx), &view) == TX_OK);
	FUZZ_CHECK(!registry_apply_tx(w->registry, height, 1, &view, &sink));
}

/* ---- The chain ---- */

static struct registry_counts counts(const struct world *w)
{
	struct registry_counts c;

	registry_count(w->registry, &c);
	FUZZ_CHECK(c.seals <= c.objects);
	return c;
}

static void undo(struct world *w, uint32_t height)
{
	struct registry_counts now;

	registry_undo(w->registry, height);
	now = counts(w);
	FUZZ_CHECK(now.objects == w->at[height].objects && now.seals == w->at[height].seals &&
		   now.rows == w->at[height].rows);
	w->height = height;
}

static void step(struct world *w)
{
	uint8_t choice = reader_u8(&w->r);
	uint32_t back = choice / 8;

	switch (choice % 8) {
	case 0:
		undo(w, back < w->height - w->pruned ? w->height - back : w->pruned);
		break;
	case 1:
		apply(w, REGISTRY_PENDING);
		undo(w, w->height);
		break;
	case 2:
		w->pruned = back < w->height - w->pruned ? w->height - back : w->pruned;
		registry_prune(w->registry, w->pruned);
		break;
	default:
		if (choice % 8 > 4 && w->height + 1 < HEIGHTS_MAX)
			w->height++;
		apply(w, w->height);
	}
	w->at[w->height] = counts(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t seed[16] = {1, 2, 3};
	static struct world w;

	memset(&w, 0, sizeof(w));
	FUZZ_CHECK(!registry_new(OP_NODE, seed, &w.registry));
	reader_init(&w.r, data, len);
	while (reader_left(&w.r))
		step(&w);
	if (w.pruned == 0)
		undo(&w, 0);
	registry_free(w.registry);
	return 0;
}
