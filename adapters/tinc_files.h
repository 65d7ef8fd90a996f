#ifndef ADAPTERS_TINC_FILES_H
#define ADAPTERS_TINC_FILES_H

/* The folder of one tincd as its manual has it: tinc.conf, hosts/NAME, host-up, host-down, written
 * from checked values alone. What is as wanted stays untouched, so that a tincd that reads them
 * again (SIGHUP) closes no connection but those that have to be. */

#include "wire/addr.h"
#include "wire/key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash256;

enum {
	TINC_NAME_SIZE = 1 + 40 + 1,
	TINC_SUBNETS_MAX = 3, /* addresses of a member */
};

/* The name of a node: "n" and 40 hexadecimal digits of a hash of its key; of an OVC's hub: "h" and
 * its id. Names in the records are for people, and never written here. */
void tinc_node_name(const struct node_key *key, char ret[static TINC_NAME_SIZE]);
void tinc_hub_name(const struct object_id *ovc, char ret[static TINC_NAME_SIZE]);

/* One node of the VPN, this one included. */
struct tinc_host {
	char name[TINC_NAME_SIZE];
	const char *key; /* lines of tinc_key_format(); "": none yet */
	const struct address *subnets;
	size_t subnet_count;
	unsigned weight; /* of its subnets: packets take the lowest that is reachable; 0: tinc's 10
			  */
	const struct endpoint *endpoints; /* best first; with any, a node connects to it */
	size_t endpoint_count;
	bool connected; /* other endpoints are for the next connection: nothing to reload for */
};

struct tinc_net {
	char name[TINC_NAME_SIZE]; /* of this node */
	const char *interface;	   /* NULL: a hub, without a device: it relays between its hosts */
	uint16_t port;
	const struct tinc_host *hosts;
	size_t host_count;
};

struct tinc_changes {
	unsigned written, removed; /* with any: SIGHUP */
	unsigned quiet;		   /* written as well, but not worth one */
};

/* Makes the folder (which is there) so; files that are not of this net are removed from hosts/. 0,
 * -EINVAL: the interface's name is not one; or -errno: the rest is done all the same. */
int tinc_files_write(const char *folder, const struct tinc_net *net,
		     struct tinc_changes *ret_changes);

/* Equal for nets with the same files. */
void tinc_net_hash(const struct tinc_net *net, struct hash256 *ret_hash);

/* What host-up and host-down print, which is a line of tincd's output. */
struct tinc_event {
	bool up;
	char name[TINC_NAME_SIZE];
	struct endpoint endpoint; /* family ADDR_NONE: unknown */
};
/* False: another line. */
bool tinc_event_parse(const char *line, struct tinc_event *ret_event);

#endif
