#include "fuzz/fuzz.h"
#include "wire/ip.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ip_flow flow, back;
	struct ip_view v;

	if (ip_parse(data, len, &v) != IP_OK)
		return 0;
	FUZZ_CHECK(v.total_len <= len && v.upper <= v.payload && v.payload <= v.total_len);
	FUZZ_CHECK(v.version == data[0] >> 4 && v.addr_len == (v.version == 4 ? 4 : 16));
	FUZZ_CHECK(!v.has_ports || v.protocol == IP_PROTO_TCP || v.protocol == IP_PROTO_UDP);
	FUZZ_CHECK(!v.has_ports || v.fragment != IP_FRAGMENT_LATER);
	FUZZ_CHECK(v.has_ports || v.src_port == v.dst_port);
	ip_flow_of(&v, &flow);
	ip_flow_reverse(&flow, &back);
	ip_flow_reverse(&back, &back);
	FUZZ_CHECK(!memcmp(&flow, &back, sizeof(flow)));
	if (v.version == 4)
		ipv4_header_checksum(data, (size_t)(data[0] & 15) * 4);
	if (!v.fragment && v.payload != v.upper)
		ip_upper_checksum(data, &v);
	return 0;
}
