#ifndef CHAINWATCH_SCHEMA_H
#define CHAINWATCH_SCHEMA_H

/* The tables of chain.db (doc/chain-db.md). The number of this schema is CHAINDB_SCHEMA in
 * os/chaindb.h: it grows with every change that an older reader would misread. */

/* Makes all tables and indices in an empty database. */
extern const char schema_tables_sql[];
/* Makes all views, in place of those of any version that are there: a view holds nothing. */
extern const char schema_views_sql[];

/* Every table whose rows live from from_height to to_height: undone in two statements each. */
extern const char *const schema_state_tables[];

#endif
