#!/usr/bin/env bash
# Nonsense and too much of it at every socket of the real daemons: they answer within a second, and their memory stays bounded.
#
#   a ── 198.51.100.1 ═════ 198.51.100.2 ── s
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root

flood()
{
	in_ns "$1" python3 "$here/flooding.py" "${@:2}" || die "$*"
}

registered()
{
	is ovc status '{}' '.tenants[0].registered == 1'
}

netns a
netns s
veth a 198.51.100.1/24 s 198.51.100.2/24
office 198.51.100.2
helper ovc "$ovc" 4242
pid_ovc=$pid
helper ovr "$ovr" 4243
pid_ovr=$pid
start a --port 4244
pid_dnetd=$pid
chain node "$dnet" "$(call a id "{\"dnet\": \"$dnet\"}" | jq -r .key)" alice 10.77.0.1
chain height 110
call a join "{\"id\": \"$dnet\"}" >/dev/null || die "join"
within 15 registered || die "not registered: $(call ovc status)"

flood a udp 198.51.100.2 4242 "$dir/ovc.sock" "$pid_ovc"
flood a udp 198.51.100.2 4243 "$dir/ovr.sock" "$pid_ovr"
flood s udp 198.51.100.1 4244 "$dir/a.sock" "$pid_dnetd"
for who in ovc ovr a; do
	is $who counters '{}' '[.. | numbers] | add > 20000' >/dev/null || die "the flood did not come: $(call $who counters)"
done
within 15 registered || die "the member is lost: $(call ovc status)"
ok "garbage at full rate on the UDP ports of ovcd, ovrd, dnetd: they answer, and stay small"

flood s control "$dir/ovc.sock" "$pid_ovc"
flood s control "$dir/ovr.sock" "$pid_ovr"
flood s control "$dir/a.sock" "$pid_dnetd"
registered >/dev/null || die "the member is lost: $(call ovc status)"
ok "control sockets of ovcd, ovrd, dnetd: 10,000 in sequence, 400 at once, slow, half, huge, deep, never reading"
ip netns exec "$id-s" "$build/chainwatch/chainwatch" -c /dev/null --state "$dir/watch" --control "$dir/watch.sock" \
	--chain litecoin-regtest --rpc-url http://127.0.0.1:9 --db "$dir/watch/chain.db" >>"$dir/watch.log" 2>&1 &
pid=$!
pids+=("$pid")
within 5 call watch status || die "chainwatch does not start"
flood s control "$dir/watch.sock" "$pid"
ok "control socket of chainwatch: the same"
