#ifndef NODE_NFT_MESSAGE_H
#define NODE_NFT_MESSAGE_H

/* Messages of nf_tables, and transactions of them. Inside of nft only. */

#include "node/nft.h"

#include <stddef.h>

enum { NFT_NAME_MAX = 32 };

struct nft_count {
	uint64_t packets, bytes;
};

/* 0: it is there and this socket's. -ENOENT; -EEXIST: another program's. */
int nft_find_table(struct nft *nft, const char *name);
typedef void nft_on_count(void *arg, const char *name, const struct nft_count *count);
int nft_list_counters(struct nft *nft, const char *name, nft_on_count *visit, void *arg);

/* One transaction about the table of this interface; of the nft, until nft_commit(). */
struct nft_batch;
struct nft_batch *nft_begin(struct nft *nft, const char *name);
/* All of it or nothing: 0 or -errno. */
int nft_commit(struct nft_batch *b);

void nft_add_table(struct nft_batch *b);
void nft_delete_table(struct nft_batch *b);
void nft_add_counter(struct nft_batch *b, const char *name, const struct nft_count *count);
/* Of addresses of that family. */
void nft_add_set(struct nft_batch *b, const char *name, uint8_t family);
/* hook: NF_INET_…, with the policy "accept"; -1: none. */
void nft_add_chain(struct nft_batch *b, const char *name, int hook, int priority);
/* Up to 512 of them. */
void nft_begin_elements(struct nft_batch *b, const char *set, bool removed);
void nft_put_element(struct nft_batch *b, const void *key, size_t len);
void nft_end_elements(struct nft_batch *b);

/* Behind the rules that the chain has. comment: NULL or "": none. Then what it looks at, one after
 * the other, in the order of the packet's walk through it. */
void nft_begin_rule(struct nft_batch *b, const char *chain, const char *comment);
void nft_end_rule(struct nft_batch *b);
void nft_put_meta(struct nft_batch *b, uint32_t key);
void nft_put_payload(struct nft_batch *b, uint32_t base, uint32_t offset, uint32_t len);
/* IPv6: 1 when there is a header of that type. */
void nft_put_extension(struct nft_batch *b, uint8_t type);
/* original: of the flow's first packet. */
void nft_put_ct(struct nft_batch *b, uint32_t key, bool original);
void nft_put_mask(struct nft_batch *b, const void *mask, size_t len);
void nft_put_compare(struct nft_batch *b, uint32_t op, const void *value, size_t len);
/* inverted: goes on when it is not in the set. */
void nft_put_lookup(struct nft_batch *b, const char *set, bool inverted);
void nft_put_counter(struct nft_batch *b, const char *name);
/* chain: of NFT_JUMP and NFT_GOTO; else NULL. */
void nft_put_verdict(struct nft_batch *b, int verdict, const char *chain);

#endif
