#ifndef CHAINWATCH_STORE_PRIVATE_H
#define CHAINWATCH_STORE_PRIVATE_H

/* Shared by the files of the store only. */

#include "chainwatch/store.h"

#include "os/base.h"
#include "wire/bech32.h"
#include "wire/hex.h"

#include <sqlite3.h>
#include <sys/types.h>

enum store_statement {
	STORE_ADD_BLOCK,
	STORE_DROP_BLOCKS,
	STORE_TIP,
	STORE_HASH_AT,
	STORE_LOWEST,
	STORE_CHANGE,
	STORE_LOG,
	STORE_OBJECT,
	STORE_OBJECT_END,
	STORE_SEAL,
	STORE_SEAL_SPENT,
	STORE_REVOCATION,
	STORE_PENDING,
	STORE_PENDING_SEAL,
	STORE_PENDING_LOG,
	STORE_NODE,
	STORE_LINK,
	STORE_ROSTER,
	STORE_ENDPOINT,
	STORE_GRANT,
	STORE_TRANSFER,
	STORE_NODE_END,
	STORE_LINK_END,
	STORE_ROSTER_END,
	STORE_ENDPOINT_END,
	STORE_GRANT_END,
	STORE_TRANSFER_END,
	STORE_STATEMENTS
};

struct store {
	char *path;   /* owned */
	dev_t device; /* of the file that is open */
	ino_t inode;
	sqlite3 *db;
	sqlite3_stmt *statements[STORE_STATEMENTS];
	struct registry_sink sink;
	struct store_tip tip;	    /* as written, perhaps not committed */
	struct store_tip committed; /* what store_rollback() goes back to */
	bool has_tip;
	bool dirty; /* rows changed since store_begin() */
	uint32_t keep;
	uint64_t now_s;
	struct store_counts counts;
	bool indexed; /* see store_index() */
	/* Texts that the next row is likely to want again. */
	struct store_memo {
		enum object_kind kind; /* 0: none yet */
		struct object_id id;
		struct hash256 hash;
		char id_text[OBJECT_ID_TEXT_SIZE], hash_text[HASH_TEXT_SIZE];
	} memo;
	char error[STORE_ERROR_MAX];
};

#define STORE_END_ROW_BY_KEY(table)                                                                \
	"UPDATE " table " SET to_height = ? WHERE object = ? AND subject = ? AND to_height IS "    \
	"NULL"
#define STORE_SEAL_SPENT_BY_KEY                                                                    \
	"UPDATE seal SET to_height = ? WHERE txid = ? AND vout = ? AND to_height IS NULL"

/* Notes why, by SQLite's code; returns the negative errno. */
int store_fail(struct store *store, const char *what);
/* The same in words of ours; returns result. */
_printf_(3, 4) int store_refuse(struct store *store, int result, const char *format, ...);
/* A statement, reset and unbound. */
sqlite3_stmt *store_statement(struct store *store, enum store_statement which);
/* Runs one that returns no rows. */
int store_step(struct store *store, sqlite3_stmt *statement);
/* *ret_text is the caller's (sqlite3_free), NULL when there is no such row or no such table. */
int store_read_meta(struct store *store, const char *name, char **ret_text);
_printf_(3, 4) int store_write_meta(struct store *store, const char *name, const char *format, ...);
void sqlite3_freep(char **text);
/* Brings an older schema to CHAINDB_SCHEMA, all or nothing. */
int store_migrate(struct store *store);
/* Sets store->indexed. */
int store_look_for_indexes(struct store *store);
/* Removes them all, where the tables have been emptied. */
int store_drop_indexes(struct store *store);
/* The callbacks of store_sink(). */
void store_init_sink(struct store *store);

#endif
