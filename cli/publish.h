#ifndef CLI_PUBLISH_H
#define CLI_PUBLISH_H

/* Writing records to the chain: payloads, transactions that spend the seal, the question before
 * they go out, and the wait until chainwatch has seen them. */

#include "cli/cli.h"
#include "cli/names.h"
#include "wire/record.h"

enum {
	PUBLISH_RECORDS_MAX = 64,
};

struct publish {
	char what[96];		  /* for people: "create dnet office" */
	struct cli_object object; /* for a CREATE: kind, label; the id comes out */
	bool create;		  /* makes a new key and object; records[0] is the CREATE */
	bool close;		  /* the seal's value goes back to the wallet */
	struct record records[PUBLISH_RECORDS_MAX];
	size_t count;
	/* Script of the new seal; length 0: the key in the keystore. */
	uint8_t seal_script[34];
	size_t seal_script_len;
};

extern const struct arg_option publish_options[];

/* All zeros but for what it is for. NULL after the error was printed; the caller frees it. */
struct publish *publish_new(struct cli *cli, const char *format, ...) _printf_(2, 3);
/* The next record, all zeros but for its type; NULL when there are PUBLISH_RECORDS_MAX. */
struct record *publish_add(struct publish *publish, enum record_type type);

/* The whole command; prints the result. Returns an exit code. In a CREATE the admin key is filled
 * in here. */
int publish_run(struct cli *cli, const struct args *args, struct publish *publish);

#endif
