#ifndef CORE_ICMP_H
#define CORE_ICMP_H

/* ICMP and ICMPv6 errors that we give our own host about packets that cannot be sent (RFC 792, RFC
 * 4443). */

#include <stddef.h>
#include <stdint.h>

enum icmp_problem {
	ICMP_NO_ROUTE,
	ICMP_PROHIBITED,  /* by policy */
	ICMP_UNREACHABLE, /* nothing answers */
	ICMP_TOO_BIG,	  /* with the mtu */
};

enum { ICMP_ERROR_MAX = 1280 };

/* Writes the error about packet (an IP packet from our host, len bytes, as it came) to out, which
 * holds ICMP_ERROR_MAX; it seems to come from the packet's destination. Returns its length; 0 when
 * nothing may be said: about ICMP errors, later fragments, and to or from multicast. */
size_t icmp_error(enum icmp_problem problem, uint16_t mtu, const uint8_t *packet, size_t len,
		  uint8_t out[static ICMP_ERROR_MAX]);

#endif
