#include "chainwatch/schema.h"

#include <stddef.h>

/* Where a row comes from and how long it lives; the same in each state table. */
#define STATE_COLUMNS                                                                              \
	"sequence INTEGER NOT NULL, from_height INTEGER NOT NULL, to_height INTEGER,"              \
	"txid TEXT NOT NULL, tx_index INTEGER NOT NULL, vout INTEGER NOT NULL,"                    \
	"pos INTEGER NOT NULL"

/* object: whose seal moved; subject: what a later record replaces or removes it by. */
#define ROW_TABLE(name, columns)                                                                   \
	"CREATE TABLE " name " (object TEXT NOT NULL, " columns ", subject BLOB NOT NULL,"         \
	" record BLOB NOT NULL, " STATE_COLUMNS ");"

/* RECORDS 5.3 as a condition on the row x, for revocations of the given type. A CLOSE hides the
 * CREATE for ever, and so everything of the object, whatever branch goes on without it. Two
 * conditions, because each is found by the key of the table then. */
#define NOT_REVOKED(type)                                                                          \
	" NOT EXISTS (SELECT 1 FROM revocation r WHERE r.object = x.object"                        \
	" AND r.type = 'CLOSE') AND NOT EXISTS (SELECT 1 FROM revocation r"                        \
	" WHERE r.object = x.object AND r.type = '" type "' AND r.subject = x.subject"             \
	" AND (r.sequence > x.sequence OR (r.sequence = x.sequence AND (r.txid <> x.txid"          \
	" OR (r.vout, r.pos) > (x.vout, x.pos)))))"

#define IN_FORCE(type) " x.to_height IS NULL AND" NOT_REVOKED(type)

const char *const schema_state_tables[] = {
	"object", "seal", "node", "link", "roster", "endpoint", "grant_", "transfer", NULL,
};

/* Indexes are in store_index.c. */
const char schema_tables_sql[] =
	"CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"

	"CREATE TABLE block (height INTEGER PRIMARY KEY, hash TEXT NOT NULL,"
	" time INTEGER NOT NULL);"

	"CREATE TABLE record_log (n INTEGER PRIMARY KEY, height INTEGER NOT NULL,"
	" tx_index INTEGER NOT NULL, vout INTEGER NOT NULL, pos INTEGER NOT NULL,"
	" txid TEXT NOT NULL, time INTEGER NOT NULL, object TEXT, sequence INTEGER,"
	" type TEXT NOT NULL, text TEXT NOT NULL, refused TEXT, raw BLOB NOT NULL);"

	"CREATE TABLE object (id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL,"
	" key TEXT NOT NULL, ipv4_prefix TEXT, record BLOB NOT NULL, " STATE_COLUMNS ");"

	"CREATE TABLE seal (object TEXT NOT NULL, txid TEXT NOT NULL, vout INTEGER NOT NULL,"
	" value INTEGER NOT NULL, script BLOB NOT NULL, sequence INTEGER NOT NULL,"
	" tx_index INTEGER NOT NULL, from_height INTEGER NOT NULL, to_height INTEGER);"

	/* clang-format off */
	ROW_TABLE("node", "key TEXT NOT NULL, name TEXT NOT NULL, ipv4 TEXT, ipv6 TEXT, flags INTEGER")
	ROW_TABLE("link", "kind TEXT NOT NULL, helper TEXT NOT NULL, priority INTEGER, weight INTEGER")
	ROW_TABLE("roster", "number INTEGER NOT NULL, root TEXT NOT NULL")
	ROW_TABLE("endpoint", "transport TEXT NOT NULL, port INTEGER NOT NULL, host TEXT NOT NULL")
	ROW_TABLE("grant_", "dnet TEXT NOT NULL, expiry INTEGER, rate_kbit INTEGER,"
			    " volume_mib INTEGER")
	ROW_TABLE("transfer", "admin_key TEXT NOT NULL")

	"CREATE TABLE revocation (object TEXT NOT NULL, type TEXT NOT NULL,"
	" subject BLOB NOT NULL, sequence INTEGER NOT NULL, txid TEXT NOT NULL,"
	" vout INTEGER NOT NULL, pos INTEGER NOT NULL, seen INTEGER NOT NULL, height INTEGER,"
	" source TEXT NOT NULL, text TEXT NOT NULL,"
	" PRIMARY KEY (object, type, subject, sequence, txid, vout, pos)) WITHOUT ROWID;"

	"CREATE TABLE pending (n INTEGER PRIMARY KEY, txid TEXT NOT NULL, object TEXT NOT NULL,"
	" kind TEXT NOT NULL, sequence INTEGER NOT NULL, spent_txid TEXT, spent_vout INTEGER,"
	" seal_txid TEXT, seal_vout INTEGER, value INTEGER, script BLOB, name TEXT, record BLOB,"
	" seen INTEGER NOT NULL);"
	"CREATE TABLE pending_log (n INTEGER PRIMARY KEY, txid TEXT NOT NULL,"
	" vout INTEGER NOT NULL, pos INTEGER NOT NULL, seen INTEGER NOT NULL, object TEXT,"
	" sequence INTEGER, type TEXT NOT NULL, text TEXT NOT NULL, refused TEXT,"
	" raw BLOB NOT NULL);";
/* clang-format on */

#define DROP_VIEW(name) "DROP VIEW IF EXISTS " name ";"

const char schema_views_sql[] =
	/* clang-format off */
	DROP_VIEW("dnet_in_force") DROP_VIEW("node_in_force") DROP_VIEW("link_in_force")
	DROP_VIEW("endpoint_in_force") DROP_VIEW("grant_in_force") DROP_VIEW("roster_in_force")
	DROP_VIEW("helper_in_use") DROP_VIEW("served_dnet") DROP_VIEW("history")

	"CREATE VIEW dnet_in_force AS SELECT id, name, ipv4_prefix, coalesce((SELECT admin_key"
	" FROM transfer t WHERE t.object = o.id AND t.to_height IS NULL), key) AS admin_key,"
	" from_height FROM object o WHERE kind = 'dnet' AND to_height IS NULL AND NOT EXISTS"
	" (SELECT 1 FROM revocation r WHERE r.object = o.id AND r.type = 'CLOSE');"
	"CREATE VIEW node_in_force AS SELECT object AS dnet, name, key, ipv4, ipv6, flags,"
	" from_height FROM node x WHERE" IN_FORCE("NODE_DEL") ";"
	"CREATE VIEW link_in_force AS SELECT object AS dnet, kind, helper, priority, weight,"
	" from_height FROM link x WHERE" IN_FORCE("UNLINK") ";"
	"CREATE VIEW endpoint_in_force AS SELECT object AS helper, transport, host, port,"
	" from_height FROM endpoint x WHERE" IN_FORCE("ENDPOINT_DEL") ";"
	"CREATE VIEW grant_in_force AS SELECT object AS helper, dnet, expiry, rate_kbit,"
	" volume_mib, from_height FROM grant_ x WHERE" IN_FORCE("REVOKE")
	" AND (expiry = 0 OR expiry >= (SELECT max(height) FROM block));"
	"CREATE VIEW roster_in_force AS SELECT object AS dnet, number, root, from_height"
	" FROM roster x WHERE" IN_FORCE("-") ";"
	/* RECORDS 5.4 */
	"CREATE VIEW helper_in_use AS SELECT l.dnet, l.kind, l.helper, o.name, o.key, l.priority,"
	" l.weight, g.expiry, g.rate_kbit, g.volume_mib FROM link_in_force l"
	" JOIN grant_in_force g ON g.helper = l.helper AND g.dnet = l.dnet"
	" JOIN object o ON o.id = l.helper AND o.to_height IS NULL;"
	/* Of every dnet that a grant is made to: whether its owner wants it, and for how long. */
	"CREATE VIEW served_dnet AS SELECT g.helper, g.dnet, o.name, EXISTS (SELECT 1 FROM"
	" link_in_force l WHERE l.dnet = g.dnet AND l.helper = g.helper) AS linked,"
	" (SELECT count(*) FROM node_in_force n WHERE n.dnet = g.dnet) AS members, g.expiry,"
	" CASE WHEN g.expiry > 0 THEN g.expiry - (SELECT max(height) FROM block) END"
	" AS blocks_left, g.rate_kbit, g.volume_mib, g.from_height FROM grant_in_force g"
	" LEFT JOIN object o ON o.id = g.dnet;"
	"CREATE VIEW history AS SELECT n, height, time, object, sequence, type, text, refused, txid"
	" FROM record_log UNION ALL SELECT n, NULL, seen, object, sequence, type, text, refused,"
	" txid FROM pending_log;";
/* clang-format on */
