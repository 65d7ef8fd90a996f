#!/usr/bin/env bash
# Two members on one segment, without OVC and OVR: ping, TCP, repair of drift, end and start again, revocation, leaving.
#
#   a ── eth0 198.51.100.1 ══════ 198.51.100.2 eth0 ── b
#   │ dnet0 10.77.0.1, fd…                       dnet0 │ 10.77.0.2, fd…
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root

routed()
{
	[ "$(in_ns a ip -j route show table main proto 157 dev dnet0 | jq length)" = 1 ] &&
		[ "$(in_ns a ip -j -6 route show table main proto 157 dev dnet0 | jq length)" = 1 ]
}

as_wanted()
{
	routed && in_ns a ip -j addr show dev dnet0 | jq -e '.[0] | .mtu == 1400 and (.flags | index("UP"))
		and ([.addr_info[].local] | length == 2)'
}

netns a
netns b
veth a 198.51.100.1/24 b 198.51.100.2/24
before_a=$(snapshot a)
chain init
dnet=$(chain dnet office 10.77.0.0/24)

# The key is known before joining, so that the owner can add the node.
start a
pid_a=$pid
key_a=$(call a id "{\"dnet\": \"$dnet\"}" | jq -r .key)
start b
key_b=$(call b id "{\"dnet\": \"$dnet\"}" | jq -r .key)
port_b=$(call b status | jq .port)
if [ ${#key_a} != 66 ] || [ "$key_a" = "$key_b" ]; then
	die "id does not give two keys"
fi
call a join "{\"id\": \"$dnet\"}" >/dev/null || die "join"
is a status '{}' '.dnets[0].state | startswith("waiting: the owner has not added")' >/dev/null || die "not waiting: $(call a status)"
is a status '{}' '.dnets[0].key == "'"$key_a"'"' >/dev/null || die "the key is not shown"
ok "joined before being added: waits, and shows the key"

chain node "$dnet" "$key_a" alice 10.77.0.1
chain node "$dnet" "$key_b" bob 10.77.0.2
chain height 110
call b join "{\"id\": \"dnet:$dnet?later=nobody\"}" >/dev/null || die "join by link"
# a knows where b is; b learns a from its handshake.
kill "$pid_a"
wait "$pid_a"
start a --peer-endpoint "$key_b 198.51.100.2:$port_b"
pid_a=$pid
within 5 as_wanted || die "the interface of a is not as wanted: $(call a status)"
ip6_b=$(call b id | jq -r .ipv6)
within 5 in_ns a ping -c1 -W1 10.77.0.2 || die "no ping over IPv4: $(call a peers) $(call a counters)"
in_ns a ping -c2 -i0.1 -W1 "$ip6_b" >/dev/null || die "no ping over IPv6"
in_ns b ping -c2 -i0.1 -W1 10.77.0.1 >/dev/null || die "no ping back"
ok "ping over IPv4 and IPv6, both ways"

is a peers '{}' '.[0] | .name == "bob" and .path == "direct" and .state == "connected" and (.endpoint | startswith("198.51.100.2:"))' \
	>/dev/null || die "peers: $(call a peers)"
for node in bob "$key_b" "$ip6_b" 10.77.0.2; do
	is a ping "{\"node\": \"$node\"}" '.node == "bob" and .path == "direct" and .rtt_ms > 0' >/dev/null || die "ping $node"
done
call a ping '{"node": "nobody"}' 2>&1 | grep -q "no node of this dnet" || die "ping of a stranger"
ok "overlay ping by name, key and addresses; peers names the path"

head -c 50000000 /dev/urandom >"$dir/file"
for address in "TCP4 10.77.0.2" "TCP6 [$ip6_b]"; do
	family=${address% *} address=${address#* }
	in_ns b socat -u "$family-LISTEN:4711,bind=$address,reuseaddr" "CREATE:$dir/copy" &
	within 5 sh -c "ip netns exec $id-b ss -Htln | grep -q :4711" || die "no listener"
	in_ns a socat -u "OPEN:$dir/file" "$family:$address:4711" || die "TCP to $address"
	wait $!
	cmp -s "$dir/file" "$dir/copy" || die "the file came over changed at $address"
done
is a counters '{}' '.tun_write_failed == 0 and .in_malformed == 0 and .data_invalid == 0' >/dev/null || die "$(call a counters)"
ok "50 MB over TCP, IPv4 and IPv6, unchanged"

# What is changed from outside is repaired by itself.
while read -r -a change; do
	in_ns a "${change[@]}" || die "cannot: ${change[*]}"
	within 1 as_wanted || die "not repaired: ${change[*]}: $(in_ns a ip addr show dev dnet0) $(call a status)"
done <<D
ip addr del 10.77.0.1/32 dev dnet0
ip addr add 10.77.0.99/32 dev dnet0
ip route del 10.77.0.0/24 dev dnet0
ip link set dnet0 mtu 1000
ip link set dnet0 down
ip link del dnet0
D
in_ns a ping -c2 -i0.1 -W1 10.77.0.2 >/dev/null || die "no ping after the repairs"
grep -c "changed from outside" "$dir/a.log" >/dev/null || die "repairs are not logged"
ok "a deleted address, route and interface, a changed MTU, a downed link: repaired"

# A network of this machine comes before the dnet's numbers.
in_ns a ip link add lan type veth peer name lan-end
in_ns a ip link set lan up
in_ns a ip addr add 10.77.0.200/16 dev lan
within 2 is a status '{}' '.dnets[0].parts[] | select(.part == "ipv4") | .error | contains("10.77.0.0/16 on lan")' ||
	die "an overlap is not said: $(call a status)"
[ "$(in_ns a ip -j addr show dev dnet0 | jq '.[0].addr_info | length')" = 1 ] || die "IPv4 is used in spite of the overlap"
in_ns a ping -c2 -i0.1 -W1 "$ip6_b" >/dev/null || die "no IPv6 beside the overlap"
in_ns a ip link del lan
within 2 as_wanted || die "IPv4 does not come back: $(call a status)"
ok "a prefix that overlaps with a network of the machine is left out, and said"

kill -9 "$pid_a"
wait "$pid_a" 2>/dev/null
within 2 sh -c "! ip -n $id-a link show dnet0" || die "an interface stays after SIGKILL"
start a --peer-endpoint "$key_b 198.51.100.2:$port_b"
pid_a=$pid
within 5 in_ns a ping -c1 -W1 10.77.0.2 || die "no ping after SIGKILL: $(call a peers) $(call a counters)"
ok "after SIGKILL and a new start it is as before"

mv "$dir/chain" "$dir/away"
kill "$pid_a"
wait "$pid_a"
start a --peer-endpoint "$key_b 198.51.100.2:$port_b"
pid_a=$pid
within 5 in_ns a ping -c1 -W1 10.77.0.2 || die "no ping without chain.db: $(call a status)"
is a status '{}' '.dnets[0].from_copy and (.chain.error | contains("chain.db"))' >/dev/null || die "status does not say it: $(call a status)"
mv "$dir/away" "$dir/chain"
within 3 is a status '{}' '.chain.error == null and (.dnets[0].from_copy | not)' || die "chain.db is not taken again: $(call a status)"
ok "without chain.db the last known state stays in force"

chain del "$dnet" "$key_b"
within 2 sh -c "! ip netns exec $id-a ping -c1 -W0.2 10.77.0.2" || die "a removed node still answers"
within 2 is a status '{}' '.dnets[0].peers_total == 0' || die "a removed node is still a peer"
within 2 is b status '{}' '.dnets[0].state | startswith("waiting")' || die "the removed node is still up: $(call b status)"
within 2 sh -c "! ip -n $id-b link show dnet0" || die "the removed node still has its interface"
ok "a removed node is cut at once, on both sides"

call a down >/dev/null
in_ns a ip link show dnet0 2>/dev/null && die "the interface stays after down"
call a up >/dev/null
within 5 as_wanted || die "not back after up"
call a leave "{\"id\": \"$dnet\"}" >/dev/null || die "leave"
is a status '{}' '.dnets == []' >/dev/null || die "still joined"
[ "$(snapshot a)" = "$before_a" ] || die "leave left something behind: $(diff <(echo "$before_a") <(snapshot a))"
kill "$pid_a"
wait "$pid_a" || die "dnetd ends with status $?"
[ "$(snapshot a)" = "$before_a" ] || die "the end left something behind"
ok "down, up, leave: nothing stays"
