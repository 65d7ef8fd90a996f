#ifndef CLI_DRAFT_H
#define CLI_DRAFT_H

/* One transaction that carries records: funded by the node's wallet, with the seal that it spends
 * before the wallet's coins, and signed. */

#include "cli/cli.h"
#include "core/id.h"
#include "core/txbuild.h"
#include "wire/record.h"

struct draft_payload {
	uint8_t bytes[PAYLOAD_MAX];
	uint8_t len;
	size_t first, count; /* of the records that it has */
};

enum {
	DRAFT_SCRIPT_MAX = 34, /* P2WPKH, P2WSH, P2TR */
};

struct draft {
	/* Given. */
	const struct draft_payload *payloads; /* borrowed */
	size_t payload_count;
	bool spends; /* a seal; else it makes an object */
	struct outpoint seal;
	uint64_t seal_value;
	size_t seal_vsize;		  /* of its input */
	uint8_t script[DRAFT_SCRIPT_MAX]; /* of the new seal */
	size_t script_len;
	const struct identity *owner; /* signs the seal; NULL: nothing is signed */
	uint64_t rate, max_fee;
	bool lock; /* the wallet's coins, until draft_unlock() or the end of the chain node */

	/* Made. */
	struct txbuild tx;
	uint8_t *raw; /* owned; what tx borrows */
	uint8_t witness[TXBUILD_WITNESS_MAX];
	uint64_t fee;
	struct hash256 txid;
};

/* Exit code after the error was printed. May be called again: what was made before is made anew.
 */
int draft_build(struct cli *cli, struct draft *draft);
/* Signs what was built: first the wallet its inputs, then owner the seal at input 0. */
int draft_sign(struct cli *cli, struct draft *draft);
int draft_check_fee(struct cli *cli, const struct draft *draft);
/* The wallet may use its coins again. */
void draft_unlock(struct cli *cli, const struct draft *draft);
void draft_done(struct draft *draft);

#endif
