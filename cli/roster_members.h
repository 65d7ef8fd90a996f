#ifndef CLI_ROSTER_MEMBERS_H
#define CLI_ROSTER_MEMBERS_H

/* Who is in a dnet by its records as chain.db has them now (confirmed or not), its admin key and
 * the last anchor of its roster. */

#include "cli/cli.h"
#include "wire/addr.h"
#include "wire/record.h"

struct roster;

struct member {
	struct node_key key;
	char name[RECORD_NAME_MAX + 1];
};

struct roster_members {
	struct member *list; /* owned; sorted by key */
	size_t count, room;
	struct node_key *revoked; /* owned; by NODE_DEL, whatever came later; sorted */
	size_t revoked_count, revoked_room;
	bool has_admin;
	uint8_t admin_key[XONLY_LEN];
	struct prefix ipv4;	  /* ADDR_NONE: none */
	uint32_t roster_sequence; /* 0: none */
	struct hash256 roster_root;
};

/* Exit code; the error was printed. */
int roster_members_load(struct cli *cli, const struct object_id *dnet, struct roster_members *ret);
void roster_members_done(struct roster_members *members);
const struct member *roster_members_find(const struct roster_members *members,
					 const struct node_key *key);
const struct member *roster_members_find_name(const struct roster_members *members,
					      const char *name);
bool roster_members_revoked(const struct roster_members *members, const struct node_key *key);
/* Whether the prefix overlaps the dnet's own, a further address of the roster, or a route of it. */
bool roster_members_in_prefix(const struct roster_members *members, const struct roster *roster,
			      const struct object_id *dnet, const struct prefix *prefix);

#endif
