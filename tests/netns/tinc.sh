#!/usr/bin/env bash
# Three members whose packets tincd carries, without OVC: ping, TCP, a member removed, tincd killed, drift, dnetd killed, leaving.
#
#   a eth0 198.51.100.1 ──┐
#   b eth0 198.51.100.2 ──┼── br0 (sw)
#   c eth0 198.51.100.3 ──┘
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root
[ -x /usr/sbin/tincd ] || skip "needs tincd (apt install tinc)"

# plug NAME ADDRESS: joins a namespace to the switch.
plug()
{
	ip link add eth0 netns "$id-$1" type veth peer name "$1" netns "$id-sw" || die "cannot make a veth"
	ip -n "$id-sw" link set dev "$1" master br0 up
	ip -n "$id-$1" addr add "$2" dev eth0
	ip -n "$id-$1" link set eth0 up
}

netns sw
ip -n "$id-sw" link add br0 type bridge || skip "no bridges here"
ip -n "$id-sw" link set br0 up
for i in 1 2 3; do
	name=$(cut -c$i <<<abc)
	netns "$name"
	plug "$name" "198.51.100.$i/24"
done
before_a=$(snapshot a)
chain init
dnet=$(chain dnet office 10.77.0.0/24)
declare -A key port pid_of

member()
{
	local peer peers=()

	for peer in "${!port[@]}"; do
		[ "$peer" = "$1" ] || peers+=(--peer-endpoint "${key[$peer]} $(address_of "$peer"):${port[$peer]}")
	done
	start "$1" --backend tinc "${peers[@]}"
	pid_of[$1]=$pid
}

address_of()
{
	local names=abc rest

	rest=${names%%"$1"*}
	echo "198.51.100.$((${#rest} + 1))"
}

for name in a b c; do
	member $name
	key[$name]=$(call $name id "{\"dnet\": \"$dnet\"}" | jq -r .key)
	port[$name]=$(call $name status | jq .port)
done
chain node "$dnet" "${key[a]}" alice 10.77.0.1
chain node "$dnet" "${key[b]}" bob 10.77.0.2
chain node "$dnet" "${key[c]}" carol 10.77.0.3
chain height 110
for name in a b c; do
	call $name join "{\"id\": \"$dnet\"}" >/dev/null || die "join of $name"
done
for name in a b; do
	kill "${pid_of[$name]}"
	wait "${pid_of[$name]}"
	member $name
done
within 20 in_ns a ping -c1 -W1 10.77.0.2 || die "no ping a to b: $(call a peers) $(call a status)"
