#!/usr/bin/env bash
# Every fall-back of the data path carries the same bytes, also against a node that has all: TUN without USO, TSO, partial
# checksums, virtio headers; UDP without GSO and GRO; frames of 1500 bytes.
#
#   a ── eth0 198.51.100.1 ══════ 198.51.100.2 eth0 ── b
#
# shellcheck source-path=SCRIPTDIR source=exact.sh
. "$(dirname "$0")/exact.sh"
need_root

netns a
netns b
veth a 198.51.100.1/24 b 198.51.100.2/24
meet
# TCP asks for ECN, and meets congestion on the way.
for who in a b; do
	in_ns $who sysctl -qw net.ipv4.tcp_ecn=1
	in_ns $who nft -f - <<-N || die "no nftables"
		table inet congestion {
			chain out {
				type filter hook output priority mangle;
				oifname "dnet0" ip ecn { ect0, ect1 } meta l4proto tcp numgen random mod 16 0 ip ecn set ce
				oifname "dnet0" ip6 ecn { ect0, ect1 } meta l4proto tcp numgen random mod 16 0 ip6 ecn set ce
			}
		}
	N
done
while IFS='|' read -r options_a options_b; do
	again "198.51.100.2:$port_b" "$options_a" "$options_b"
	exactly
	clean
	ok "$options"
done <<O
|
--tun-offload tso|--tun-offload checksum
--tun-offload checksum|
--tun-offload none|
--tun-offload bare|
--tun-offload bare|--tun-offload none
--udp-gso=no --udp-gro=no|
--udp-gso=no --tun-offload none|--udp-gro=no --tun-offload bare
O

for who in a b; do
	in_ns $who nstat -az IpExtInCEPkts Ip6InCEPkts | awk '/CEPkts/ && $2 > 100 {seen++} END {exit seen != 2}' ||
		die "no congestion was seen at $who: $(in_ns $who nstat -az IpExtInCEPkts Ip6InCEPkts)"
done
ok "congestion is seen"

# Nothing below the tunnel joins or cuts either: every frame is one of 1500 bytes at most.
for who in a b; do
	in_ns $who ethtool -K eth0 tso off gso off gro off tx-udp-segmentation off || die "no ethtool"
done
again "198.51.100.2:$port_b" "" ""
exactly
clean
ok "frames of 1500 bytes"
