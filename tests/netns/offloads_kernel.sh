#!/usr/bin/env bash
# A kernel that lacks an offload: dnetd finds out by itself, says so once, and carries the same bytes without.
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
again "198.51.100.2:$port_b" "" ""
grep -q "TUN devices of this kernel\|offload is off" "$dir/a.log" "$dir/b.log" && die "what the kernel has was said to be missing"
while IFS='|' read -r lacking status said; do
	export LD_PRELOAD=$build/tests/fixture/oldkernel.so OLD_KERNEL=$lacking
	: >"$dir/b.log"
	again "198.51.100.2:$port_b" "" ""
	unset LD_PRELOAD
	exactly --kinds udp,tcp
	clean
	is b status '{}' "$status" >/dev/null || die "without $lacking: $(call b status)"
	[ "$(grep -c "$said" "$dir/b.log")" = 1 ] || die "'$said' is not in the log, or more than once"
	ok "a kernel without $lacking"
done <<O
vnet|.dnets[0].tun_offload == "bare"|leave us 'bare' at most
tso|.dnets[0].tun_offload == "checksum"|leave us 'checksum' at most
uso|.dnets[0].tun_offload == "tso"|leave us 'tso' at most
gso|.datapath.udp_gso_off == "the kernel has none"|segmentation offload is off
gro|.datapath.udp_gro_off == "the kernel has none"|receive offload is off
eio|.datapath.udp_gso_off == "an interface on the way out has no checksum offload"|segmentation offload is off
O
