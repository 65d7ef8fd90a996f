#ifndef OS_CHAINDB_PRIVATE_H
#define OS_CHAINDB_PRIVATE_H

/* Shared by chaindb.c, chaindb_find.c and the writer of chain.db. */

#include "os/chaindb.h"

#include <sqlite3.h>

struct chaindb {
	sqlite3 *db;
	char *path;
	char error[CHAINDB_ERROR_MAX];
};

/* What chaindb_read_row() reads; the table `object` says "id AS object". */
#define CHAINDB_ROW_COLUMNS "object, record, sequence, from_height, to_height, tx_index, vout, pos"

/* The columns from `column` on; false when they are not what chainwatch writes. */
bool chaindb_read_row(sqlite3_stmt *statement, int column, struct record_row *ret_row);
bool chaindb_read_id(sqlite3_stmt *statement, int column, enum object_kind *ret_kind,
		     struct object_id *ret_id);
bool chaindb_read_hash(sqlite3_stmt *statement, int column, struct hash256 *ret_hash);
/* An integer of 32 bits without sign; false for anything else. */
bool chaindb_read_u32(sqlite3_stmt *statement, int column, uint32_t *ret_number);
/* Copies; "" for NULL. */
void chaindb_read_text(sqlite3_stmt *statement, int column, char *ret_text, size_t size);

/* Notes what SQLite says; the negative errno. */
int chaindb_fail(struct chaindb *db);
/* A row that chainwatch cannot have written. */
int chaindb_damaged(struct chaindb *db, const char *what);
/* NULL: chaindb_fail(). */
sqlite3_stmt *chaindb_prepare(struct chaindb *db, const char *sql);
/* An id of either kind is stored as text, and an object_id does not say its kind: binds all three,
 * as ?1, ?2 and ?3. */
void chaindb_bind_id(sqlite3_stmt *statement, const struct object_id *id);
void chaindb_finalizep(sqlite3_stmt **statement);

#endif
