#include "cli/psbt_file.h"

#include "cli/wallet.h"
#include "core/error.h"
#include "os/file.h"
#include "wire/hex.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TEXT_MAX = PSBT_SIZE_MAX / 3 * 4 + 8, /* Base64, a newline and the NUL */
	VARIANT = sodium_base64_VARIANT_ORIGINAL,
};

void psbt_file_done(struct psbt_file *file)
{
	free(file->bytes);
	file->bytes = NULL;
}

static int no_memory(struct cli *cli)
{
	return cli_error(cli, CLI_FAILED, NULL, "out of memory");
}

int psbt_file_set(struct cli *cli, struct psbt_file *file, uint8_t *bytes, size_t len)
{
	enum psbt_reason reason;

	free(file->bytes);
	file->bytes = bytes;
	file->len = len;
	reason = psbt_parse(bytes, len, &file->psbt);
	if (reason != PSBT_OK)
		return cli_error(cli, CLI_USAGE, "name a file that --psbt wrote",
				 "this is no PSBT (BIP174) that dnet reads: %s",
				 psbt_reason_text(reason));
	if (txbuild_parse(file->psbt.tx.raw.data, file->psbt.tx.raw.len, &file->tx))
		return cli_error(cli, CLI_USAGE, "name a file that --psbt wrote",
				 "the PSBT's transaction is none that dnet makes");
	return 0;
}

static int set_base64(struct cli *cli, struct psbt_file *file, const char *text)
{
	size_t len = strlen(text), got = 0;
	uint8_t *bytes = malloc(len + 1);

	if (!bytes)
		return no_memory(cli);
	if (sodium_base642bin(bytes, len + 1, text, len, " \t\r\n", &got, NULL, VARIANT))
		got = 0;
	return psbt_file_set(cli, file, bytes, got);
}

int psbt_file_read(struct cli *cli, const char *path, struct psbt_file *ret_file)
{
	char *text;
	size_t len;
	int r = file_read(path, TEXT_MAX, &text, &len);

	memset(ret_file, 0, sizeof(*ret_file));
	if (r)
		return cli_error(cli, CLI_USAGE, "name a file that --psbt wrote",
				 "cannot read %s: %s", path, error_text(r));
	if (len && (uint8_t)text[0] == 'p')
		return psbt_file_set(cli, ret_file, (uint8_t *)text, len);
	r = set_base64(cli, ret_file, text);
	free(text);
	return r;
}

static char *to_base64(const uint8_t *bytes, size_t len)
{
	size_t size = sodium_base64_encoded_len(len, VARIANT);
	char *text = malloc(size + 1);

	if (text)
		sodium_bin2base64(text, size, bytes, len, VARIANT);
	return text;
}

int psbt_file_write(struct cli *cli, const char *path, const uint8_t *bytes, size_t len)
{
	_cleanup_(freep) char *text = to_base64(bytes, len);
	int r;

	if (!text)
		return no_memory(cli);
	if (!strcmp(path, "-")) {
		puts(text);
		return 0;
	}
	len = strlen(text);
	text[len] = '\n';
	r = file_replace(path, text, len + 1, 0644);
	if (r)
		return cli_error(cli, CLI_FAILED, "name another file", "cannot write %s: %s", path,
				 error_text(r));
	return 0;
}

int psbt_file_process(struct cli *cli, struct psbt_file *file, bool sign)
{
	_cleanup_(freep) char *text = to_base64(file->bytes, file->len);
	struct psbt_file made = {0};
	char *answer = NULL;
	int r = text ? wallet_process_psbt(cli, text, sign, &answer) : no_memory(cli);

	if (!r)
		r = set_base64(cli, &made, answer);
	free(answer);
	if (!r && !psbt_same(&made.psbt, &file->psbt))
		r = cli_error(cli, CLI_FAILED, "use another chain node",
			      "the chain node changed the transaction; nothing was written");
	if (r) {
		psbt_file_done(&made);
		return r;
	}
	psbt_file_done(file);
	*file = made;
	return 0;
}

/* bytes become file's, with one pair more. */
static int put(struct cli *cli, struct psbt_file *file, size_t map, uint8_t type, const void *value,
	       size_t len)
{
	size_t size = file->len + len + 32;
	uint8_t *bytes = malloc(size);
	struct writer w;

	if (!bytes)
		return no_memory(cli);
	writer_init(&w, bytes, size);
	psbt_put(&w, &file->psbt, map, type, NULL, 0, value, len);
	return psbt_file_set(cli, file, bytes, writer_len(&w));
}

static int put_seal(struct cli *cli, struct psbt_file *file, const struct seal *seal,
		    struct multisig *multisig)
{
	uint8_t output[8 + 1 + TXBUILD_SCRIPT_MAX], script[MULTISIG_SCRIPT_MAX];
	struct writer w;
	size_t len;
	int r;

	writer_init(&w, output, sizeof(output));
	writer_u64(&w, seal->value);
	writer_compact(&w, seal->script_len);
	writer_copy(&w, seal->script, seal->script_len);
	r = put(cli, file, psbt_input(0), PSBT_IN_OUTPUT, output, writer_len(&w));
	if (r || !multisig->count)
		return r;
	len = multisig_write(multisig, script);
	return put(cli, file, psbt_input(0), PSBT_IN_WITNESS, script, len);
}

int psbt_file_new(struct cli *cli, const char *path, const struct draft *draft,
		  const struct seal *seal, struct multisig *multisig)
{
	struct psbt_file *file = calloc(1, sizeof(*file));
	uint8_t *raw = malloc(TXBUILD_RAW_MAX), *bytes = malloc(2 * TXBUILD_RAW_MAX);
	struct writer w;
	size_t len;
	int r;

	if (!file || !raw || !bytes) {
		free(bytes);
		r = no_memory(cli);
		goto out;
	}
	len = txbuild_write(&draft->tx, false, raw, TXBUILD_RAW_MAX);
	writer_init(&w, bytes, 2 * TXBUILD_RAW_MAX);
	psbt_create(&w, raw, len, draft->tx.input_count, draft->tx.output_count);
	r = psbt_file_set(cli, file, bytes, writer_len(&w));
	if (!r && seal)
		r = put_seal(cli, file, seal, multisig);
	if (!r)
		r = psbt_file_process(cli, file, false);
	if (!r)
		r = psbt_file_write(cli, path, file->bytes, file->len);
out:
	if (file)
		psbt_file_done(file);
	free(file);
	free(raw);
	return r;
}

int psbt_file_extract(struct cli *cli, const struct psbt_file *file, char **ret_hex)
{
	_cleanup_(freep) char *text = to_base64(file->bytes, file->len);
	_cleanup_(freep) struct txbuild *tx = malloc(sizeof(*tx));
	_cleanup_(freep) uint8_t *raw = malloc(TXBUILD_RAW_MAX);
	struct hash256 wanted, got;
	char *hex = NULL;
	size_t len;
	int r = text && tx && raw ? wallet_finish_psbt(cli, text, &hex) : no_memory(cli);

	if (r)
		return r;
	txbuild_txid(&file->tx, &wanted);
	if (hex_parse_any(hex, raw, TXBUILD_RAW_MAX, &len) && !txbuild_parse(raw, len, tx)) {
		txbuild_txid(tx, &got);
		if (!memcmp(&wanted, &got, sizeof(got))) {
			*ret_hex = hex;
			return 0;
		}
	}
	free(hex);
	return cli_error(cli, CLI_FAILED, "use another chain node, or inputs that are all segwit",
			 "the chain node changed the transaction, or an input is not segwit");
}
