#!/usr/bin/env bash
# Everything that others may change on dnetd's interface is put right by itself and logged once; what is not
# dnetd's own stays as it is; leaving and a kill leave the machine byte for byte as it was. Prints how long each repair
# took; with DNET_ROUNDS each change is made so many times.
#
#   a ── eth0 198.51.100.1 ══════ 198.51.100.2 eth0 ── b
#   │ dnet0 10.77.0.1, fd…
#   └ lan0 172.31.9.1, rules, tables and nft of somebody else
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root

netns a
netns b
veth a 198.51.100.1/24 b 198.51.100.2/24
# Somebody else's things, chosen to look like ours.
in_ns a sh -e <<'F' || skip "cannot set up the foreign objects"
ip link add lan0 type veth peer name lan1
ip link set lan1 up
ip addr add 172.31.9.1/24 dev lan0
ip link set lan0 up
ip route add 10.99.0.0/16 dev lan0 proto 157
ip route add 10.77.0.0/25 dev lan0 table 77 proto 157
ip rule add priority 700 to 10.77.0.0/24 lookup 77
ip -6 route add fd99::/48 dev lan0 metric 512
nft add table inet others
nft add chain inet others input '{ type filter hook input priority 0; }'
nft add rule inet others input iifname "dnet0" counter
F
# The state folder, but for the time that is kept.
state_of_a()
{
	(cd "$dir/a" && find . ! -name . -printf '%p %m %u\n' | sort && sha256sum master.key && jq -S 'del(.time)' node.json)
}

before=$(snapshot a)
chain init
dnet=$(chain dnet office 10.77.0.0/24)
start a
state_before=$(state_of_a)
key_a=$(call a id "{\"dnet\": \"$dnet\"}" | jq -r .key)
chain node "$dnet" "$key_a" alice 10.77.0.1
chain height 110
call a join "{\"id\": \"$dnet\"}" >/dev/null || die "join"

# ours: links, addresses, IPv6 settings and routes of the interface and the rules to its table, without what changes when
# it is made anew; after its carrier was away the kernel calls it UP instead of UNKNOWN.
ours()
{
	in_ns a sh -c 'ip -d -j link show dev dnet0; ip -d -j addr show dev dnet0; ip -j route show table all dev dnet0
		ip -j -6 route show table all dev dnet0; ip -j rule show table 52000; ip -j -6 rule show table 52000
		cd /proc/sys/net/ipv6/conf/dnet0 && cat disable_ipv6 accept_ra addr_gen_mode router_solicitations' 2>&1 |
		sed 's/"ifindex":[0-9]*//g; s/"expires":[0-9]*//g; s/"operstate":"UP"/"operstate":"UNKNOWN"/'
}

complete()
{
	is a status '{}' '.dnets[0] | .state == "up" and (.parts | all(.error == null))' >/dev/null &&
		in_ns a ip -j addr show dev dnet0 | jq -e '.[0] | .mtu == 1400 and (.flags | index("UP")) and (.addr_info | length == 2)' &&
		[ "$(in_ns a ip -j route show proto 157 dev dnet0 | jq length)" = 1 ]
}

as_before()
{
	[ "$(snapshot a)" = "$before" ]
}

as_made()
{
	[ "$(ours)" = "$made" ]
}

within 5 complete || die "not up: $(call a status)"
made=$(ours)
range6=$(in_ns a ip -j -6 route show proto 157 dev dnet0 | jq -r '.[0].dst')

# repairs N: what the log says of repairs after its first N bytes, without the time.
repairs()
{
	tail -c "+$(($1 + 1))" "$dir/a.log" | grep 'repaired\|deleted from outside' | cut -d' ' -f2-
}

# One wrong thing: repaired by itself, and logged once.
repaired()
{
	local change=$1 length before

	length=$(stat -c %s "$dir/a.log")
	in_ns a env "ns=$id" sh -ec "$change" || die "cannot: $change"
	before=$(date +%s%N)
	within 1 as_made || die "not repaired: $change: $(diff <(echo "$made" | tr , '\n') <(ours | tr , '\n')) $(tail -n 3 "$dir/a.log")"
	echo "$((($(date +%s%N) - before) / 1000000)) $change" >>"$dir/times"
	# Nothing more may come: another look at all of it, which a change elsewhere asks for, says nothing.
	in_ns a ip link set dnet0 alias "look"
	in_ns a ip link set dnet0 alias ""
	call a status >/dev/null
	as_made || die "not stable: $change"
	[ -n "$(repairs "$length")" ] || die "not logged: $change"
	[ -z "$(repairs "$length" | sort | uniq -d)" ] || die "logged twice: $change: $(repairs "$length")"
}

while read -r change; do
	for ((round = 0; round < ${DNET_ROUNDS:-1}; round++)); do
		repaired "$change"
	done
done <<'D'
ip addr del 10.77.0.1/32 dev dnet0
ip -6 addr del $(ip -j -6 addr show dev dnet0 | jq -r '.[0].addr_info[0].local')/128 dev dnet0
ip addr add 10.77.0.99/32 dev dnet0
ip -6 addr add fd77::1/64 dev dnet0 nodad
ip route del 10.77.0.0/24 dev dnet0 proto 157
ip -6 route del $(ip -j -6 route show proto 157 dev dnet0 | jq -r '.[0].dst') dev dnet0 proto 157
ip route replace 10.77.0.0/24 dev dnet0 proto 157 metric 512 src 10.77.0.1 mtu 600
ip route add 10.77.0.128/25 dev dnet0 proto 157
ip link set dnet0 mtu 1000
ip link set dnet0 mtu 9000
ip link set dnet0 txqueuelen 7
ip link set dnet0 down
ip link set dnet0 name mine0
ip link set dnet0 down; ip link set dnet0 name mine1
ip link set dnet0 promisc on
ip link set dnet0 allmulticast on multicast off
ip link set dnet0 arp on
ip link set dnet0 carrier off
ip link set dnet0 addrgenmode eui64
ip addr change 10.77.0.1/32 dev dnet0 valid_lft 60 preferred_lft 30
ip addr change 10.77.0.1/32 dev dnet0 preferred_lft 0
ip -6 addr change $(ip -j -6 addr show dev dnet0 | jq -r '.[0].addr_info[0].local')/128 dev dnet0 valid_lft 60 preferred_lft 0
ip addr flush dev dnet0
ip -4 addr flush dev dnet0
ip -6 addr flush dev dnet0
ip route flush table 52000; ip -6 route flush table 52000
ip rule del from 10.77.0.1 lookup 52000
ip rule del from 10.77.0.1 lookup 52000; ip rule add from 10.77.0.1 lookup 52000 priority 40000 protocol 157
ip rule flush; ip rule add priority 32766 lookup main protocol kernel; ip rule add priority 32767 lookup default protocol kernel; ip rule add priority 700 to 10.77.0.0/24 lookup 77
ip -6 rule flush; ip -6 rule add priority 32766 lookup main protocol kernel
sysctl -qw net.ipv6.conf.dnet0.disable_ipv6=1
sysctl -qw net.ipv6.conf.dnet0.disable_ipv6=1; sysctl -qw net.ipv6.conf.dnet0.disable_ipv6=0
sysctl -qw net.ipv6.conf.dnet0.accept_ra=2
sysctl -qw net.ipv6.conf.dnet0.router_solicitations=3
sysctl -qw net.ipv6.conf.dnet0.addr_gen_mode=0
ip link set dnet0 netns $ns-b
ip link del dnet0
D
# By kind: how many, median, greatest.
sort -n "$dir/times" | awk '{ ms = $1; sub(/^[0-9]+ /, ""); if (!n[$0]++) order[++kinds] = $0; t[$0, n[$0]] = ms; all[++total] = ms }
	END { for (i = 1; i <= kinds; i++) { k = order[i]; printf "%5d ms median, %5d ms most, %d times: %s\n", t[k, int((n[k] + 1) / 2)], t[k, n[k]], n[k], k }
	printf "repairs: %d, median %d ms, most %d ms\n", total, all[int((total + 1) / 2)], all[total] }'
ok "every change from outside is repaired by itself ($(sort -n "$dir/times" | tail -n 1 | cut -d' ' -f1) ms at most) and logged once"

# What is not ours is left alone, and nothing is said of it.
length=$(stat -c %s "$dir/a.log")
stays()
{
	in_ns a sh -ec "$1" || die "cannot: $1"
	in_ns a ip link set dnet0 alias "look"
	in_ns a ip link set dnet0 alias ""
	call a status >/dev/null
	in_ns a sh -c "$2" | grep -q "$3" || die "not left alone: $1: $(in_ns a sh -c "$2")"
	in_ns a sh -ec "$4" || die "cannot: $4"
}
stays 'tc qdisc replace dev dnet0 root bfifo limit 500000' 'tc qdisc show dev dnet0' bfifo 'tc qdisc del dev dnet0 root'
stays 'sysctl -qw net.ipv4.conf.dnet0.rp_filter=1' 'sysctl net.ipv4.conf.dnet0.rp_filter' '= 1' 'sysctl -qw net.ipv4.conf.dnet0.rp_filter=0'
stays 'sysctl -qw net.ipv6.conf.dnet0.forwarding=1' 'sysctl net.ipv6.conf.dnet0.forwarding' '= 1' 'sysctl -qw net.ipv6.conf.dnet0.forwarding=0'
stays 'ip rule add priority 100 from 10.77.0.1 lookup 77' 'ip rule' '^100:' 'ip rule del priority 100'
within 1 as_made || die "not as made: $(diff <(echo "$made") <(ours))"
[ -z "$(repairs "$length")" ] || die "logged: $(repairs "$length")"
ok "a qdisc, rp_filter, forwarding and a rule of others before ours stay, without a word"

# Somebody else's link has our name: said, not taken away, and repaired when it goes.
in_ns a ip link add theirs type veth peer name theirs-end
in_ns a ip -batch - <<<$'link del dnet0\nlink set theirs name dnet0' || die "cannot take the name"
within 2 is a status '{}' '.dnets[0].parts[] | select(.part == "link") | .error' || die "not said: $(call a status)"
in_ns a ip -d link show dnet0 | grep -q veth || die "somebody else's link was removed"
in_ns a ip link del dnet0
within 2 as_made || die "not back: $(call a status)"
ok "a link of somebody else with our name stays, and is named as the reason"

# Somebody else's route takes the place of ours: said, not taken away, and repaired when it goes.
in_ns a ip route replace 10.77.0.0/24 dev lan0 proto static metric 512
within 1 is a status '{}' '.dnets[0].parts[] | select(.part == "routes") | .error | contains("another program")' ||
	die "not said: $(call a status)"
in_ns a ip route show 10.77.0.0/24 | grep -q lan0 || die "somebody else's route was removed"
in_ns a ip route del 10.77.0.0/24 dev lan0 proto static
within 1 as_made || die "not back: $(call a status)"
ok "a route of somebody else in place of ours stays, and is named as the reason"

# Routes of others that come before ours: said, not taken away, and right again when they go.
while read -r part what; do
	what=${what//RANGE6/$range6}
	in_ns a sh -ec "ip $what" || die "cannot: $what"
	within 1 is a status '{}' ".dnets[0].parts[] | select(.part == \"$part\") | .error | contains(\"comes before the dnet's\")" ||
		die "not said: $what: $(call a status)"
	in_ns a sh -ec "ip ${what/route add/route del}" || die "was removed: $what"
	within 1 is a status '{}' '.dnets[0].parts | all(.error == null)' || die "still said: $what: $(call a status)"
done <<'D'
routes route add 10.77.0.0/24 dev lan0 metric 1
routes route add 10.77.0.128/25 dev lan0 metric 1000
routes route add blackhole 10.77.0.0/24
routes -6 route add RANGE6 dev lan0 metric 1
rules route add 10.77.0.0/24 dev lan0 metric 1 table 52000
rules route add prohibit 10.77.0.0/26 table 52000
rules -6 route add unreachable RANGE6 metric 1 table 52000
D
as_made || die "not as made: $(diff <(echo "$made") <(ours))"
ok "routes of others that come before ours stay, and are named"

# Our address on another interface of this machine: that network comes first, and ours is back when it goes.
in_ns a ip addr add 10.77.0.1/32 dev lan0
within 1 is a status '{}' '.dnets[0].parts[] | select(.part == "ipv4") | .error | contains("lan0")' || die "not said: $(call a status)"
in_ns a ip addr show dev lan0 | grep -q 10.77.0.1 || die "somebody else's address was removed"
in_ns a ip addr del 10.77.0.1/32 dev lan0
within 1 as_made || die "not back: $(call a status)"
ok "our address on an interface of others: named, and right again when it goes"

# On our interface: routes of others stay as long as it does.
in_ns a ip route add 10.98.0.0/16 dev dnet0 proto static
in_ns a ip link set dnet0 mtu 1300
within 1 sh -c "ip -n $id-a -j link show dev dnet0 | jq -e '.[0].mtu == 1400'" || die "not repaired"
in_ns a ip route show 10.98.0.0/16 | grep -q dnet0 || die "somebody else's route on the interface was removed"
in_ns a ip route del 10.98.0.0/16 dev dnet0 proto static
within 1 as_made || die "not as made"
ok "somebody else's route on the interface stays"

call a leave "{\"id\": \"$dnet\"}" >/dev/null || die "leave"
[ "$(snapshot a)" = "$before" ] || die "leave left: $(diff <(echo "$before") <(snapshot a))"
[ "$(state_of_a)" = "$state_before" ] || die "leave left: $(diff <(echo "$state_before") <(state_of_a))"
ok "leave: byte for byte as before, the state folder too"
call a join "{\"id\": \"$dnet\"}" >/dev/null || die "join"
within 5 complete || die "not up again"
kill -9 "$pid"
wait "$pid" 2>/dev/null
within 2 as_before || die "SIGKILL left: $(diff <(echo "$before") <(snapshot a))"
for signal in TERM INT; do
	start a
	within 5 complete || die "not up"
	# A shell's background jobs ignore SIGINT; dnetd has a handler of its own for it.
	kill -$signal "$pid"
	wait "$pid" || die "SIG$signal: status $?"
	as_before || die "SIG$signal left: $(diff <(echo "$before") <(snapshot a))"
	[ ! -e "$dir/a.sock" ] || die "SIG$signal left the control socket"
done
ok "SIGKILL, start, end: byte for byte as before"

for who in engine helper both; do
	start a
	within 5 complete || die "not up"
	helper=$(pgrep -P "$pid")
	case $who in
	engine) kill -9 "$pid" ;;
	helper) kill -9 "$helper" ;;
	both) kill -STOP "$helper" && kill -9 "$pid" "$helper" ;;
	esac
	wait "$pid" 2>/dev/null
	start a
	within 5 complete || die "not up after SIGKILL of $who"
	call a leave "{\"id\": \"$dnet\"}" >/dev/null || die "leave"
	as_before || die "SIGKILL of $who, start, leave left: $(diff <(echo "$before") <(snapshot a))"
	[ "$(state_of_a)" = "$state_before" ] || die "SIGKILL of $who left: $(diff <(echo "$state_before") <(state_of_a))"
	call a join "{\"id\": \"$dnet\"}" >/dev/null || die "join"
	stop a
	as_before || die "the end left: $(diff <(echo "$before") <(snapshot a))"
done
[ ! -e "$dir/a.sock" ] || die "the end left the control socket"
ok "engine, helper or both killed, start, leave: byte for byte as before"
