#ifndef WIRE_GCS_H
#define WIRE_GCS_H

/* Basic block filters (BIP158): a Golomb-coded set of the scripts that a block makes and spends,
 * its hash, and the chain of filter headers (BIP157). Filters come from anybody: every length and
 * every value is checked while it is read. Nothing is allocated. */

#include "wire/buf.h"
#include "wire/key.h"

enum {
	GCS_P = 19,	/* bits of a remainder */
	GCS_M = 784931, /* 1 in so many scripts matches by chance */
	GCS_KEY_LEN = 16,
	GCS_TYPE_BASIC = 0,
};

struct gcs {
	uint8_t key[GCS_KEY_LEN]; /* of SipHash: the first bytes of the block's hash */
	uint64_t range;		  /* values are below it */
	uint32_t count;		  /* of elements */
	struct span bits;	  /* borrowed */
};

/* data: as in a cfilter message, the count first. False: more elements than the bytes can hold. */
bool gcs_open(struct gcs *ret_gcs, const struct hash256 *block, const void *data, size_t len);

/* What a script is in this filter. */
uint64_t gcs_value(const struct gcs *gcs, struct span script);

enum gcs_verdict {
	GCS_NONE,  /* none of them: certain, if the filter is the block's */
	GCS_MATCH, /* at least one of them, or by chance */
	GCS_BAD,   /* no such filter can be made: bytes end early, or are left */
};

/* Whether one of the values is in the filter; the whole filter is read. Sorts values. */
enum gcs_verdict gcs_match(const struct gcs *gcs, uint64_t *values, size_t count);

/* All values of the filter, ascending; ret has room for gcs->count. False: as GCS_BAD. */
bool gcs_values(const struct gcs *gcs, uint64_t *ret_values);

/* Whether BIP158 puts an output's script into the filter. */
bool gcs_has_output(struct span script);

/* The filter of a block with these scripts, no two alike. values: room for count of them. */
void gcs_write(struct writer *w, const struct hash256 *block, const struct span *scripts,
	       size_t count, uint64_t *values);

/* sha256d of the whole filter. */
void gcs_hash(const void *data, size_t len, struct hash256 *ret_hash);
/* The filter header above prev, zeros at the genesis. */
void gcs_header(const struct hash256 *filter_hash, const struct hash256 *prev,
		struct hash256 *ret_header);

#endif
