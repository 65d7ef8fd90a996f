#ifndef OVR_QUOTA_H
#define OVR_QUOTA_H

/* What a grant lets a dnet send: a rate (token bucket) and a volume in all (RECORDS 4, GRANT). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct quota {
	uint64_t used;	  /* bytes in all */
	uint64_t dropped; /* bytes */
	uint64_t tokens;  /* bytes that may be sent at once */
	uint64_t filled;  /* when tokens was right, ns; with is_filled */
	bool is_filled;
};

enum quota_verdict { QUOTA_PASS, QUOTA_RATE, QUOTA_VOLUME };

/* len bytes of datagrams of segment bytes each (the last may be shorter): as many of them, from the
 * first on, as would pass if they came alone. *ret_passed has their bytes; the others are dropped,
 * and the verdict says why (QUOTA_PASS: there are none). rate_kbit and volume_mib as in the GRANT,
 * 0: no limit. The bucket holds a quarter of a second, and never less than one super-datagram; the
 * datagram that reaches the volume still passes. */
enum quota_verdict quota_take(struct quota *quota, uint32_t rate_kbit, uint32_t volume_mib,
			      size_t len, size_t segment, uint64_t now, size_t *ret_passed);
bool quota_used_up(const struct quota *quota, uint32_t volume_mib);

#endif
