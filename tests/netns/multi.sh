#!/usr/bin/env bash
# One member of two dnets with the same IPv4 prefix, in which two others have the same address; one UDP port, one ovcd
# for both.
#
#   a ── 198.51.100.1 ═╗            first:  a 10.77.0.1, b 10.77.0.2 ── table 52000 of a
#   b ── 198.51.100.2 ═╬═ s: ovcd   second: a 10.77.0.3, c 10.77.0.2 ── table 52001 of a
#   c ── 198.51.100.3 ═╝
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root

# member NAME DNET IPV4: adds it; its key is $key.
member()
{
	key=$(call "$1" id "{\"dnet\": \"$2\"}" | jq -r .key)
	chain node "$2" "$key" "$1" "$3"
}

# pings NAME ARGUMENT...
pings()
{
	local name=$1

	shift
	in_ns "$name" ping -c1 -W1 "$@"
}

both()
{
	pings a -I 10.77.0.1 10.77.0.2 && pings a -I 10.77.0.3 10.77.0.2 && pings a -I dnet0 10.77.0.2 && pings a -I dnet1 10.77.0.2 &&
		pings a "$ip6_b" && pings a "$ip6_c" && pings b 10.77.0.1 && pings c 10.77.0.3
}

# rules TABLE: how many lead there.
rules()
{
	echo $(($(in_ns a ip -j rule show table "$1" | jq length) + $(in_ns a ip -j -6 rule show table "$1" | jq length)))
}

# The rules are there once each, and what is sent from an address goes to its dnet.
apart()
{
	is a status '{}' '[.dnets[].parts[] | select(.part == "rules")] | length == 2 and all(.applied and .error == null)' >/dev/null &&
		[ "$(rules 52000) $(rules 52001)" = "2 3" ] && leads "10.77.0.2 from 10.77.0.1" dnet0 && leads "10.77.0.2 from 10.77.0.3" dnet1 &&
		leads 10.77.0.2 dnet0 && [ "$(in_ns a ip -j -6 route show table 52001 proto 157 | jq length)" = 1 ] &&
		[ "$(in_ns a ip -j route show table 52001 proto 157 | jq length)" = 1 ]
}

# repaired LINES: the log has said more than that many times that something was changed from outside, and all is as wanted.
repaired()
{
	[ "$(grep -c "outside" "$dir/a.log")" -gt "$1" ] && apart
}

# leads "ROUTE GET" INTERFACE
leads()
{
	# shellcheck disable=SC2086 # several words
	in_ns a ip -j route get $1 | jq -e ".[0].dev == \"$2\""
}

as_before()
{
	[ "$(snapshot a)" = "$before" ]
}

# 10.77.0.1 is a's address in the second, too, and c knows.
renumbered()
{
	in_ns a ip -j rule show table 52001 | jq -e 'any(.src == "10.77.0.1")' && is c peers '{}' '.[0].addresses | index("10.77.0.1")'
}

listens()
{
	in_ns "$1" ss -Htln | grep -q ":$2"
}

# sends RECEIVER LISTEN CONNECT: the receiver's own file comes from a whole.
sends()
{
	in_ns "$1" socat -u "$2,reuseaddr" "CREATE:$dir/$1.copy" &
	local receiver=$!
	within 5 listens "$1" 4711 || die "no listener in $1"
	in_ns a socat -u "OPEN:$dir/$1.file" "$3" || die "TCP by $3"
	wait $receiver
	cmp -s "$dir/$1.file" "$dir/$1.copy" || die "what came to $1 by $3 is not what was sent"
}

netns s
segment s 198.51.100.10/24
for who in a b c; do
	netns $who
done
plug a 198.51.100.1/24 s
plug b 198.51.100.2/24 s
plug c 198.51.100.3/24 s
# Strict, so that what comes in by the second is dropped without rules; and somebody else's rule, like ours but for the
# protocol number.
in_ns a sysctl -qw net.ipv4.conf.all.rp_filter=1
in_ns a ip rule add priority 15700 from 172.31.0.0/16 lookup 52001
before=$(snapshot a)

chain init
ovc=$(chain ovc meet "$(key_of ovc)")
chain endpoint "$ovc" 198.51.100.10 4242
first=$(chain dnet first 10.77.0.0/24)
second=$(chain dnet second 10.77.0.0/24)
for dnet in "$first" "$second"; do
	chain link "$dnet" "$ovc"
	chain grant "$ovc" "$dnet"
done
ip netns exec "$id-s" "$build/ovcd" -c /dev/null --state "$dir/ovc" --control "$dir/ovc.sock" --chain-db "$dir/chain/chain.db" \
	--chainwatch "" --id "$ovc" --port 4242 --confirm 1 >>"$dir/ovc.log" 2>&1 &
pids+=($!)
start a
pid_a=$pid
start b
start c
member a "$first" 10.77.0.1
member a "$second" 10.77.0.3
member b "$first" 10.77.0.2
member c "$second" 10.77.0.2
key_c=$key
chain height 110
call a join "{\"id\": \"$first\"}" >/dev/null || die "join of the first"
call a join "{\"id\": \"$second\"}" >/dev/null || die "join of the second"
call b join "{\"id\": \"$first\"}" >/dev/null || die "join of b"
call c join "{\"id\": \"$second\"}" >/dev/null || die "join of c"
ip6_b=$(call b id | jq -r .ipv6)
ip6_c=$(call c id | jq -r .ipv6)
within 15 both || die "no ping to both: $(call a status) $(call a peers) $(in_ns a ip rule)"
within 5 apart || die "rules: $(call a status) $(in_ns a ip rule)"
ok "ping to both by source address, by interface, over IPv6, and back, with strict rp_filter"

port=$(call a status | jq .port)
for who in b c; do
	is $who peers '{}' ".[0].path == \"direct\" and .[0].endpoint == \"198.51.100.1:$port\"" >/dev/null || die "$who: $(call $who peers)"
done
within 5 is ovc status '{}' '.tenants | length == 2 and all(.registered == 2)' || die "ovcd: $(call ovc status)"
is a peers '{}' '[.[].key] | unique | length == 2' >/dev/null || die "peers: $(call a peers)"
ok "both dnets under one UDP port, introduced by one ovcd"

head -c 20000000 /dev/urandom >"$dir/b.file"
head -c 20000000 /dev/urandom >"$dir/c.file"
sends b TCP4-LISTEN:4711 TCP4:10.77.0.2:4711,bind=10.77.0.1
sends c TCP4-LISTEN:4711 TCP4:10.77.0.2:4711,bind=10.77.0.3
sends b TCP4-LISTEN:4711 TCP4:10.77.0.2:4711,so-bindtodevice=dnet0
sends c TCP4-LISTEN:4711 TCP4:10.77.0.2:4711,so-bindtodevice=dnet1
sends b TCP4-LISTEN:4711 TCP4:10.77.0.2:4711
sends b TCP6-LISTEN:4711 "TCP6:[$ip6_b]:4711"
sends c TCP6-LISTEN:4711 "TCP6:[$ip6_c]:4711"
ok "20 MB over TCP to each of the two, by address, by interface and over IPv6, unchanged"

while read -r change; do
	lines=$(grep -c "outside" "$dir/a.log")
	in_ns a sh -ec "$change" || die "cannot: $change"
	within 1 repaired "$lines" || die "not repaired: $change: $(call a status) $(in_ns a ip rule) $(in_ns a ip route show table 52001)"
done <<'D'
ip rule del from 10.77.0.3 lookup 52001
ip -6 rule del priority 15700 lookup 52001
ip route del 10.77.0.0/24 table 52001
ip -6 route flush table 52001
ip route flush table 52000; ip rule del from 10.77.0.1 lookup 52000
ip rule add from 10.77.0.8 priority 9 lookup 52001 protocol 157
ip link set dnet1 down
ip link del dnet1
D
within 5 both || die "no ping after the repairs: $(call a peers)"
ok "deleted rules, deleted routes of the tables, a rule too many: repaired"

in_ns a ping -i 0.05 -c 60 -W 2 -I 10.77.0.3 10.77.0.2 >"$dir/ping" &
ping=$!
within 5 grep -q "bytes from" "$dir/ping" || die "no ping: $(cat "$dir/ping")"
call a leave "{\"id\": \"$first\"}" >/dev/null || die "leave"
wait $ping
grep -q " 0% packet loss" "$dir/ping" || die "leaving one disturbs the other: $(cat "$dir/ping")"
[ "$(rules 52000) $(rules 52001)" = "0 3" ] || die "rules after leaving: $(in_ns a ip rule)"
leads 10.77.0.2 dnet1 >/dev/null || die "the prefix is not the other's now: $(in_ns a ip route)"
pings a 10.77.0.2 >/dev/null || die "no plain ping to the other"
call a join "{\"id\": \"$first\"}" >/dev/null || die "join again"
within 15 both || die "no ping to both after joining again: $(call a status)"
within 5 apart || die "rules: $(call a status) $(in_ns a ip rule)"
ok "leaving one: the other loses nothing; joined again"

kill -9 "$pid_a"
wait "$pid_a" 2>/dev/null
within 2 as_before || die "a killed engine leaves something: $(diff <(echo "$before") <(snapshot a))"
start a
pid_a=$pid
within 15 both || die "no ping after SIGKILL: $(call a peers)"
# The helper held, so that it cannot clean up before it is killed too.
helper=$(pgrep -P "$pid_a")
kill -STOP "$helper"
kill -9 "$pid_a" "$helper"
wait "$pid_a" 2>/dev/null
[ "$(rules 52000)" = 2 ] || die "the rules of a killed helper have gone by themselves"
in_ns a ip rule add from 10.77.0.9 priority 15700 lookup 52007 protocol 157
in_ns a ip rule add from 10.77.0.9 priority 15700 lookup 51999 protocol 157
start a
pid_a=$pid
within 15 both || die "no ping after SIGKILL of both: $(call a peers)"
within 5 apart || die "rules: $(call a status) $(in_ns a ip rule)"
[ "$(rules 52007) $(rules 51999)" = "0 1" ] || die "leftovers: $(in_ns a ip rule)"
in_ns a ip rule del priority 15700 lookup 51999
ok "engine killed: the helper takes the rules back; both killed: the next start does; others' rules stay"

# The same own address in both: the interface still tells them apart.
in_ns a sysctl -qw net.ipv4.conf.all.rp_filter=2
member a "$second" 10.77.0.1
chain height 120
within 5 renumbered || die "the address has not changed: $(call a status) $(in_ns a ip rule)"
within 5 pings a -I dnet1 10.77.0.2 || die "no ping by the interface: $(call a status)"
sends b TCP4-LISTEN:4711 TCP4:10.77.0.2:4711,so-bindtodevice=dnet0
sends c TCP4-LISTEN:4711 TCP4:10.77.0.2:4711,so-bindtodevice=dnet1
in_ns a sysctl -qw net.ipv4.conf.all.rp_filter=1
ok "one address in both dnets: reached by the interface"

chain del "$second" "$key_c"
within 2 is a status '{}' '[.dnets[] | .peers_total] == [1, 0] or [.dnets[] | .peers_total] == [0, 1]' || die "not removed: $(call a status)"
within 2 is ovc status '{}' '[.tenants[].members] | sort == [1, 2]' || die "ovcd still has it: $(call ovc status)"
pings a 10.77.0.2 >/dev/null || pings a -I dnet0 10.77.0.2 >/dev/null || die "the other dnet is cut too"
ok "a node removed from one: the other dnet is as it was"

kill "$pid_a"
wait "$pid_a" || die "dnetd ends with status $?"
[ "$(snapshot a)" = "$before" ] || die "the end left something: $(diff <(echo "$before") <(snapshot a))"
ok "after the end rules, tables and links are as before"
