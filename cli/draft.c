#include "cli/draft.h"

#include "cli/wallet.h"
#include "core/amount.h"
#include "core/chainparams.h"

#include <stdlib.h>
#include <string.h>

int draft_check_fee(struct cli *cli, const struct draft *draft)
{
	char fee[AMOUNT_TEXT_MAX];

	if (draft->fee <= draft->max_fee)
		return 0;
	amount_format(draft->fee, fee);
	return cli_error(cli, CLI_FUNDS, "raise --max-fee, or lower --fee-rate",
			 "the fee of %s coins is over the cap of %s", fee, cli->conf.max_fee);
}

static int splice(struct cli *cli, struct draft *draft)
{
	uint64_t before = txbuild_output_sum(&draft->tx);

	if (txbuild_splice_seal(&draft->tx, &draft->seal, draft->seal_value, draft->seal_vsize,
				draft->rate, cli->params->dust))
		return cli_error(cli, CLI_FUNDS, "join the wallet's coins, or lower --fee-rate",
				 "the seal's input cannot be paid");
	draft->fee += before + draft->seal_value - txbuild_output_sum(&draft->tx);
	return 0;
}

static void set_carrier(struct cli *cli, const struct draft *draft, struct txbuild *carrier)
{
	const struct draft_payload *first = &draft->payloads[0];

	txbuild_carrier(carrier, first->bytes, first->len, draft->script, draft->script_len,
			cli->params->seal);
	for (size_t i = 1; i < draft->payload_count; i++)
		txbuild_add_payload(carrier, draft->payloads[i].bytes, draft->payloads[i].len);
}

int draft_sign(struct cli *cli, struct draft *draft)
{
	uint8_t *raw = malloc(TXBUILD_RAW_MAX);
	int r;

	if (!raw)
		return cli_error(cli, CLI_FAILED, NULL, "out of memory");
	r = wallet_sign(cli, &draft->tx, draft->spends ? 0 : SIZE_MAX, raw);
	if (r) {
		free(raw);
		return r;
	}
	free(draft->raw);
	draft->raw = raw;
	if (draft->spends &&
	    !txbuild_sign(&draft->tx, 0, cli->id, draft->owner, draft->seal_value, draft->witness))
		return cli_error(cli, CLI_FAILED, NULL, "cannot sign the seal");
	txbuild_txid(&draft->tx, &draft->txid);
	return 0;
}

int draft_build(struct cli *cli, struct draft *draft)
{
	_cleanup_(freep) struct txbuild *carrier = malloc(sizeof(*carrier));
	int r;

	draft_done(draft);
	draft->raw = malloc(TXBUILD_RAW_MAX);
	if (!carrier || !draft->raw)
		return cli_error(cli, CLI_FAILED, NULL, "out of memory");
	set_carrier(cli, draft, carrier);
	r = wallet_fund(cli, carrier, draft->rate, draft->lock, draft->raw, &draft->tx,
			&draft->fee);
	if (r) {
		draft->tx.input_count = 0;
		return r;
	}
	if (draft->spends)
		r = splice(cli, draft);
	if (!r)
		r = draft_check_fee(cli, draft);
	if (!r && draft->owner)
		r = draft_sign(cli, draft);
	if (r)
		draft_unlock(cli, draft);
	txbuild_txid(&draft->tx, &draft->txid);
	return r;
}

void draft_unlock(struct cli *cli, const struct draft *draft)
{
	if (draft->lock)
		wallet_unlock(cli, &draft->tx, draft->spends ? &draft->seal : NULL);
}

void draft_done(struct draft *draft)
{
	free(draft->raw);
	draft->raw = NULL;
	memset(&draft->tx, 0, sizeof(draft->tx));
	draft->fee = 0;
}
