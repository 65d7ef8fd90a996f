#!/usr/bin/env bash
# A network that loses, doubles, delays, reorders and changes datagrams: what comes out of the tunnel is what went in, once,
# and TCP gets all of it over. (The kernels of many test machines have no netem: a proxy does it.)
#
#   a ── eth0 198.51.100.1 ══ .2 ── s: proxy ── .2 ══ 203.0.113.1 eth0 ── b
#
# shellcheck source-path=SCRIPTDIR source=exact.sh
. "$(dirname "$0")/exact.sh"
need_root

islands
meet
in_ns s python3 "$here/exact.py" proxy 198.51.100.2 4000 203.0.113.1 "$port_b" 15 >>"$dir/proxy.log" 2>&1 &
pids+=($!)
while IFS='|' read -r options_a options_b; do
	again 198.51.100.2:4000 "$options_a" "$options_b"
	exactly --lossy --kinds udp,tcp
	call b counters | jq -e '.data_invalid > 0 and .tun_write_failed + .in_malformed == 0' >/dev/null ||
		die "nothing was changed on the way, or more than that: $(call b counters)"
	ok "$options"
done <<O
|
--tun-offload none|--udp-gro=no
O
