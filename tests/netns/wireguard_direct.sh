#!/usr/bin/env bash
# WireGuard's own port behind NATs: a direct path is found by probes from it, left for the control plane when it is blocked, and
# found again, under a TCP connection that goes on.
#
#   a 10.1.0.2 ── na 198.51.100.1 ═╗
#   b 10.2.0.2 ── nb 198.51.100.2 ═╬═ s: ovcd, ovrd 198.51.100.10
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root
command -v wireguard-go >/dev/null || skip "needs wireguard-go"

# The prefix of the interfaces: sockets of wireguard-go lie beside each other in the one file system of this test.
begin()
{
	start "$1" -c /dev/null --backend wireguard --wireguard "${DNET_WIREGUARD:-go}" --interface-prefix "w$$$1"
}

pings()
{
	in_ns a ping -c1 -W1 10.77.0.2 && in_ns b ping -c1 -W1 10.77.0.1
}

# both PATH: how the packets of WireGuard go, as both see it.
both()
{
	is a peers '{}' ".[0] | .backend == \"wireguard\" and .path == \"$1\"" && is b peers '{}' ".[0] | .backend == \"wireguard\" and .path == \"$1\""
}

# carried: datagrams of WireGuard through the control plane so far, of both, and bytes through the OVR.
carried()
{
	echo "$(call a counters | jq .carry_out) $(call b counters | jq .carry_out) $(call ovr status | jq '[.tenants[].forwarded_bytes] | add')"
}

# nothing_carried: a hundred pings later the counters of WireGuard's datagrams are as they were.
nothing_carried()
{
	local before

	before=$(carried | cut -d' ' -f1,2)
	in_ns a ping -q -i0.01 -c100 -W2 10.77.0.2 | grep -q ' 0% packet loss' && [ "$(carried | cut -d' ' -f1,2)" = "$before" ]
}

why()
{
	echo "$* a: $(call a peers) $(call a counters) b: $(call b peers)"
}

# lines: how much of the stream has arrived.
lines()
{
	wc -l <"$dir/stream"
}

# flows: the TCP connection brings new lines, and none is missing.
flows()
{
	local before

	before=$(lines)
	within "$1" more "$before" && awk '$1 != NR { exit 1 }' <(head -n -1 "$dir/stream")
}

more()
{
	[ "$(lines)" -gt "$1" ]
}

block()
{
	in_ns na nft add rule ip filter blocked ip daddr 198.51.100.2 udp dport 1-65535 drop
	in_ns nb nft add rule ip filter blocked ip daddr 198.51.100.1-198.51.100.9 udp dport 1-65535 drop
}

unblock()
{
	in_ns na nft flush chain ip filter blocked
	in_ns nb nft flush chain ip filter blocked
}

netns s
segment s 198.51.100.10/24
for who in a b na nb; do
	netns $who
done
plug na 198.51.100.1/24 s
plug nb 198.51.100.2/24 s
nat na a 10.1.0
nat nb b 10.2.0

office 198.51.100.10
helper ovc "$ovc" 4242
helper ovr "$ovr" 4243
begin a
pid_a=$pid
chain node "$dnet" "$(call a id "{\"dnet\": \"$dnet\"}" | jq -r .key)" alice 10.77.0.1
begin b
pid_b=$pid
chain node "$dnet" "$(call b id "{\"dnet\": \"$dnet\"}" | jq -r .key)" bob 10.77.0.2
chain height 110
for who in a b; do
	call $who join "{\"id\": \"$dnet\"}" >/dev/null || die "join of $who"
done
within 20 pings || die "$(why "no ping:")"
within 20 both direct || die "$(why "no direct path:")"
within 5 nothing_carried || die "$(why "packets are still carried: $(carried)")"
is a peers '{}' '.[0].endpoint | startswith("198.51.100.2:")' >/dev/null || die "$(why "another endpoint:")"
ok "both behind a NAT: WireGuard reaches WireGuard, a hundred pings without loss and nothing through the control plane"

: >"$dir/stream"
ip netns exec "$id-b" socat -u TCP4-LISTEN:4711,reuseaddr "OPEN:$dir/stream,append" &
pids+=($!)
listening()
{
	in_ns b ss -Htln | grep -q :4711
}
within 5 listening || die "no listener"
ip netns exec "$id-a" socat -u "SYSTEM:i=1; while echo \$i; do i=\$((i + 1)); sleep 0.02; done" TCP4:10.77.0.2:4711 &
pids+=($!)
flows 5 || die "no stream"

block
within 30 both bridge || die "$(why "not left:")"
flows 20 || die "$(why "the connection is lost:")"
before=$(carried)
within 5 pings || die "$(why "no ping through the control plane:")"
[ "$(carried)" != "$before" ] || die "$(why "nothing is carried: $before")"
ok "UDP between the two blocked: through the control plane within seconds, the TCP connection goes on"

unblock
within 30 both direct || die "$(why "not found again:")"
flows 20 || die "$(why "the connection is lost:")"
within 10 nothing_carried || die "$(why "still carried:")"
ok "the block gone: direct again, the same connection"

# Down and up: the NAT forgets what it had.
ip -n "$id-na" link set eth0 down
ip -n "$id-na" addr replace 198.51.100.3/24 dev eth0
ip -n "$id-na" addr del 198.51.100.1/24 dev eth0
ip -n "$id-na" addr replace 198.51.100.3/24 dev eth0
ip -n "$id-na" link set eth0 up
moved()
{
	both direct && is b peers '{}' '.[0].endpoint | startswith("198.51.100.3:")'
}
within 40 moved || die "$(why "not followed:")"
flows 20 || die "$(why "the connection is lost:")"
ok "one of them moved to another address: followed, the same connection"

# A NAT that takes another port for each destination on one side; on the other one that lets everybody in.
port=$(call b peers '{}' | jq -r '.[0].endpoint | sub(".*:"; "")')
in_ns na nft add rule ip nat pre iifname eth0 udp dport "$port" dnat to 10.1.0.2
in_ns na nft insert rule ip filter forward ct status dnat accept
in_ns nb nft flush chain ip nat post
in_ns nb nft add rule ip nat post oifname eth0 masquerade fully-random
block
within 30 both bridge || die "$(why "not left:")"
kill "$pid_b"
wait "$pid_b" || die "dnetd of b ends with status $?"
unblock
begin b
pid_b=$pid
within 40 both direct || die "$(why "no path by a NAT with a port for each destination:")"
within 10 nothing_carried || die "$(why "still carried:")"
ok "a NAT with another port for each destination: its port is learned from its probes"

for pid in "$pid_a" "$pid_b"; do
	kill "$pid"
	wait "$pid" || die "dnetd ends with status $?"
done
for who in a b; do
	! in_ns $who ip -br link | grep -q "^w$$" || die "interfaces of $who stay"
done
ok "ended: nothing stays"
