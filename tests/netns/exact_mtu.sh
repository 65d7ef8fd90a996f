#!/usr/bin/env bash
# Odd MTUs, and MTUs that shrink while packets flow: nothing is lost for good, nothing arrives changed, and who may not fragment
# is told.
#
#   a ── eth0 198.51.100.1 ══ .2 eth1 ── s: router ── eth0 .2 ══ 203.0.113.1 eth0 ── b
#
# shellcheck source-path=SCRIPTDIR source=exact.sh
. "$(dirname "$0")/exact.sh"
need_root

# while_it_flows OPTION COMMAND...: half of TCP has come, half is under way then.
while_it_flows()
{
	mkfifo "$dir/go"
	# shellcheck disable=SC2086
	(exactly --kinds tcp --halfway "$dir/go" $1) &
	local flows=$!
	within 10 grep -q halfway "$dir/exact" || die "no half"
	"${@:2}"
	: >"$dir/go"
	wait "$flows" || exit 1
	rm "$dir/go"
}

# near_link MTU, far_link MTU: of both ends of the link of a, of b.
near_link()
{
	ip -n "$id-s" link set eth1 mtu "$1"
	ip -n "$id-a" link set eth0 mtu "$1"
}

far_link()
{
	ip -n "$id-s" link set eth0 mtu "$1"
	ip -n "$id-b" link set eth0 mtu "$1"
}

islands
in_ns s sysctl -qw net.ipv4.ip_forward=1
meet
for mtu in 1281 1399 8999; do
	near_link $((mtu < 1500 ? 1500 : mtu + 60))
	far_link $((mtu < 1500 ? 1500 : mtu + 60))
	again "203.0.113.1:$port_b" "--mtu $mtu" "--mtu $mtu"
	exactly --mtu $mtu
	clean
	ok "MTU $mtu"
done
near_link 1500
far_link 1500
again "203.0.113.1:$port_b" "--mtu 1501" "--mtu 1501"
exactly --kinds narrow --mtu 1440
exactly --mtu 1440
ok "the MTU is more than the path has"

# b takes less than a's interface has.
again "203.0.113.1:$port_b" "--mtu 1400" "--mtu 1301"
exactly --kinds narrow --mtu 1301
ok "a is told of b's MTU"

# It shrinks under way.
again "203.0.113.1:$port_b" "" ""
smaller()
{
	kill "$pid_b"
	wait "$pid_b"
	start b --mtu 1283
	pid_b=$pid
}
# b's own interface goes meanwhile: a socket there may say so.
while_it_flows --one-way smaller
exactly --kinds narrow --mtu 1283
ok "b's MTU shrinks"

# A link below shrinks: first a's own, then one further on, which the routers' ICMP tells of.
again "203.0.113.1:$port_b" "" ""
while_it_flows "" near_link 1391
exactly --kinds narrow --mtu $((1391 - 60))
exactly --mtu $((1391 - 60))
near_link 1500
ip -n "$id-a" route flush cache
ip -n "$id-b" route flush cache
again "203.0.113.1:$port_b" "" ""
while_it_flows "" far_link 1397
exactly --kinds narrow --mtu $((1397 - 60))
clean
ok "links shrink"
