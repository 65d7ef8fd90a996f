#include "core/flow.h"
#include "core/icmp.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

/* Packets of any shape as replies, quoted flows and fragments; and errors about them. The input is
 * copied so that reading past it is seen. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t seed[FLOW_SEED_LEN];
	struct flow_table *table = flow_table_new(4, seed);
	uint8_t *packet = malloc(len ? len : 1), error[ICMP_ERROR_MAX], again[ICMP_ERROR_MAX];
	struct ip_view ip, about;
	struct ip_flow quoted;
	bool whole;
	size_t n;

	if (!table || !packet)
		abort();
	memcpy(packet, data, len);
	if (ip_parse(packet, len, &ip) == IP_OK) {
		FUZZ_CHECK(!flow_passes(table, packet, &ip, 1));
		flow_note(table, packet, &ip, 1);
		flow_passes(table, packet, &ip, 2);
		FUZZ_CHECK(flow_count(table) <= 2);
		flow_icmp_about(packet, &ip, &quoted);
	}
	n = icmp_error(ICMP_TOO_BIG, 1280, packet, len, error);
	/* What we say ourselves is well formed, is no ground for another error, and quotes the flow
	 * that it is about. */
	if (n) {
		FUZZ_CHECK(ip_parse(error, n, &about) == IP_OK);
		FUZZ_CHECK(!ip_upper_checksum(error, &about));
		FUZZ_CHECK(flow_icmp_about(error, &about, &quoted));
		/* Headers as long as the quote are not shown whole: then it is about nothing, and
		 * passes for nobody. */
		whole = ip.upper + 8u <= about.total_len - about.payload;
		FUZZ_CHECK(quoted.version ? quoted.version == ip.version &&
						    !memcmp(quoted.src, ip.src, ip.addr_len) &&
						    !memcmp(quoted.dst, ip.dst, ip.addr_len)
					  : !whole);
		if (!quoted.version)
			FUZZ_CHECK(!flow_passes(table, error, &about, 3));
		if (whole && flow_count(table) > (ip.fragment != IP_FRAGMENT_NONE) && ip.has_ports)
			FUZZ_CHECK(flow_passes(table, error, &about, 3));
		FUZZ_CHECK(!icmp_error(ICMP_NO_ROUTE, 0, error, n, again));
	}
	free(packet);
	flow_table_free(table);
	return 0;
}
