#ifndef CLI_PUBLISH_H
#define CLI_PUBLISH_H

/* Writing records to the chain: payloads, transactions that spend the seal, the question before
 * they go out, and the wait until chainwatch has seen them. */

#include "cli/cli.h"
#include "cli/names.h"
#include "wire/record.h"

enum {
	PUBLISH_RECORDS_MAX = 64, /* of a command line */
	PUBLISH_BATCH_MAX = 20000,
};

struct publish {
	char what[96];		  /* for people: "create dnet office" */
	struct cli_object object; /* for a CREATE: kind, label; the id comes out */
	bool create;		  /* makes a new key and object; records[0] is the CREATE */
	bool close;		  /* the seal's value goes back to the wallet */
	/* Script of the new seal; length 0: as the one before. */
	uint8_t seal_script[34];
	size_t seal_script_len;
	/* After the question and before anything is sent: what has to be there first. An exit code
	 * other than 0, after its error was printed: nothing is sent. NULL: nothing to do. */
	int (*before_send)(void *arg);
	void *before_send_arg; /* borrowed until publish_run() returns */
	/* A batch waits for blocks where the node takes no more, and goes on after an interruption:
	 * the records whose done is set are on their way, or in force. "": it is none. */
	char batch[33];
	const char *source; /* file of the records, for errors; NULL: the command line */
	uint32_t *lines;    /* of each record in it */
	bool *done;
	size_t count, size;
	struct record records[];
};

extern const struct arg_option publish_options[];

/* All zeros but for what it is for, with room for PUBLISH_RECORDS_MAX records. NULL after the error
 * was printed; the caller frees it. */
struct publish *publish_new(struct cli *cli, const char *format, ...) _printf_(2, 3);
/* With room for size records. */
struct publish *publish_new_batch(struct cli *cli, size_t size);
/* The next record, all zeros but for its type; NULL when there is no room. */
struct record *publish_add(struct publish *publish, enum record_type type);

/* The whole command; prints the result. Returns an exit code. In a CREATE the admin key is filled
 * in here. */
int publish_run(struct cli *cli, const struct args *args, struct publish *publish);

#endif
