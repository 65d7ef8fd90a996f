#include "cli/summary.h"

#include "cli/out.h"
#include "cli/records.h"
#include "core/amount.h"
#include "wire/describe.h"
#include "wire/hex.h"
#include "wire/tx.h"

#include <stdio.h>

enum {
	RECORDS_SHOWN_MAX = 40, /* of one transaction; the others are counted */
};

static json_t *records_json(const struct record *records, size_t first, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, record_json(&records[first + i]));
	return list;
}

json_t *summary_later_json(const struct record *records, size_t first, size_t count)
{
	return json_pack("{s:o}", "records", records_json(records, first, count));
}

json_t *summary_json(const struct draft *draft, const struct record *records, size_t first,
		     size_t count)
{
	json_t *inputs = json_array(), *outputs = json_array();
	char txid[HASH_TEXT_SIZE], script[2 * TXBUILD_SCRIPT_MAX + 1];
	const struct txbuild *tx = &draft->tx;

	for (size_t i = 0; i < tx->input_count; i++) {
		hash_format(&tx->inputs[i].prev.txid, txid);
		json_array_append_new(inputs, json_pack("{s:s, s:I}", "txid", txid, "vout",
							(json_int_t)tx->inputs[i].prev.vout));
	}
	for (size_t i = 0; i < tx->output_count; i++) {
		hex_format(tx->outputs[i].script, tx->outputs[i].script_len, script);
		json_array_append_new(outputs, json_pack("{s:I, s:s}", "value",
							 (json_int_t)tx->outputs[i].value, "script",
							 script));
	}
	hash_format(&draft->txid, txid);
	return json_pack("{s:s, s:I, s:I, s:o, s:o, s:o}", "txid", txid, "fee",
			 (json_int_t)draft->fee, "vsize", (json_int_t)txbuild_vsize(tx), "records",
			 records_json(records, first, count), "inputs", inputs, "outputs", outputs);
}

static void print_records(const struct record *records, size_t first, size_t count)
{
	char line[RECORD_TEXT_SIZE];

	for (size_t i = 0; i < count && i < RECORDS_SHOWN_MAX; i++) {
		record_describe(&records[first + i], line);
		printf("  record  %s\n", line);
	}
	if (count > RECORDS_SHOWN_MAX)
		printf("  and %zu more\n", count - RECORDS_SHOWN_MAX);
}

void summary_later_print(const struct cli *cli, const struct record *records, size_t first,
			 size_t count)
{
	printf("%stransaction after that, paid from its change%s\n", out_on(cli, OUT_BOLD),
	       out_off(cli));
	print_records(records, first, count);
}

static bool is_record(const struct txbuild_output *output)
{
	return output->script_len && output->script[0] == OP_RETURN;
}

/* By what it is, and not by its place alone: it may be a transaction of others (dnet psbt). Without
 * records it is one that pays for another (dnet bump --child). */
static const char *role(const struct txbuild *tx, size_t count, size_t i, bool close)
{
	if (is_record(&tx->outputs[i]))
		return "record";
	if (!count)
		return "payment";
	if (i == 1)
		return close ? "back to the wallet" : "seal";
	return i && i == txbuild_change(tx) ? "change" : "payment";
}

void summary_print(const struct cli *cli, const struct draft *draft, const struct record *records,
		   size_t first, size_t count, bool close)
{
	char txid[HASH_TEXT_SIZE], amount[AMOUNT_TEXT_MAX];
	const struct txbuild *tx = &draft->tx;
	uint64_t rest = 0;
	size_t hidden = 0;

	hash_format(&draft->txid, txid);
	printf("%stransaction %s%s\n", out_on(cli, OUT_BOLD), txid, out_off(cli));
	print_records(records, first, count);
	for (size_t i = 0; i < tx->input_count; i++) {
		hash_format(&tx->inputs[i].prev.txid, txid);
		printf("  input   %s:%u%s\n", txid, tx->inputs[i].prev.vout,
		       draft->spends && !i ? "  the seal" : "");
	}
	for (size_t i = 0; i < tx->output_count; i++) {
		if (i > 2 && is_record(&tx->outputs[i])) {
			hidden++;
			rest += tx->outputs[i].value;
			continue;
		}
		amount_format(tx->outputs[i].value, amount);
		printf("  output  %s  %s\n", amount, role(tx, count, i, close));
	}
	amount_format(rest, amount);
	if (hidden)
		printf("  output  %s  record, %zu more\n", amount, hidden);
	amount_format(draft->fee, amount);
	printf("  fee     %s coins for %zu virtual bytes\n", amount, txbuild_vsize(tx));
}
