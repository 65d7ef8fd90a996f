#ifndef CLI_PSBT_FILE_H
#define CLI_PSBT_FILE_H

/* PSBTs in files: Base64 as chain nodes print it, or the bytes themselves. Exit codes after the
 * error was printed. */

#include "cli/draft.h"
#include "cli/seal.h"
#include "core/psbtsign.h"

struct psbt_file {
	uint8_t *bytes; /* owned; what psbt borrows */
	size_t len;
	struct psbt psbt;
	struct txbuild tx; /* unsigned */
};

void psbt_file_done(struct psbt_file *file);
int psbt_file_read(struct cli *cli, const char *path, struct psbt_file *ret_file);
/* As Base64; "-" is standard output. */
int psbt_file_write(struct cli *cli, const char *path, const uint8_t *bytes, size_t len);
/* Takes the place of what file has; bytes are file's from then on (malloc). */
int psbt_file_set(struct cli *cli, struct psbt_file *file, uint8_t *bytes, size_t len);
/* What the node's wallet knows of its inputs goes in; sign: it signs them too. */
int psbt_file_process(struct cli *cli, struct psbt_file *file, bool sign);
/* A new one of an unsigned draft with the seal (NULL: none) that it spends. */
int psbt_file_new(struct cli *cli, const char *path, const struct draft *draft,
		  const struct seal *seal, struct multisig *multisig);
/* The transaction with all signatures, by the node. The caller's (free), hex. */
int psbt_file_extract(struct cli *cli, const struct psbt_file *file, char **ret_hex);

#endif
