#ifndef NODE_NFT_H
#define NODE_NFT_H

/* A filter (core/filter.h) as one nftables table "inet dnet_IF" of one interface, by the kernel's
 * own messages (linux/netfilter/nf_tables.h). The table belongs to the socket: nobody else can
 * change it, and it goes when the socket is closed, however that comes about. Changes are
 * transactions: all of it or nothing. */

#include "core/filter.h"

#include <net/if.h>

struct nft;

/* Loads the kernel's nfnetlink. 0 or -errno. */
int nft_open(struct nft **ret_nft);
/* Takes all tables with it. */
void nft_free(struct nft *nft);
/* Why the last call failed; never NULL. */
const char *nft_error_text(const struct nft *nft);

/* All return 0 or -errno. Makes the table, or puts another in its place; counters go on. index: of
 * the interface, name: its name. -EEXIST: another program has a table of that name. */
int nft_replace(struct nft *nft, const char *name, uint32_t index, const struct filter *filter);
/* Puts elements into its sets and takes them out; those that go come first. */
int nft_change(struct nft *nft, const char *name, const struct filter_element *elements,
	       size_t count);
/* Packets that each refusal counted. -ENOENT: it is not there. */
int nft_counters(struct nft *nft, const char *name, uint64_t ret_packets[FILTER_COUNTER_COUNT]);
/* -ENOENT: it is not there. */
int nft_delete(struct nft *nft, const char *name);

#endif
