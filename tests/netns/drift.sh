#!/usr/bin/env bash
# Everything that others may change on dnetd's interface is put right within a second and logged once; what is not
# dnetd's own stays as it is; leaving and a kill leave the machine byte for byte as it was.
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
before=$(snapshot a)
chain init
dnet=$(chain dnet office 10.77.0.0/24)
start a
key_a=$(call a id "{\"dnet\": \"$dnet\"}" | jq -r .key)
chain node "$dnet" "$key_a" alice 10.77.0.1
chain height 110
call a join "{\"id\": \"$dnet\"}" >/dev/null || die "join"

# ours: links, addresses and routes of the interface, without what changes when it is made anew.
ours()
{
	in_ns a sh -c 'ip -d -j link show dev dnet0; ip -d -j addr show dev dnet0; ip -j route show table all dev dnet0
		ip -j -6 route show table all dev dnet0' 2>&1 |
		sed 's/"\(valid\|preferred\)_life_time":[0-9]*//g; s/"ifindex":[0-9]*//g; s/"expires":[0-9]*//g'
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

# repairs N: what the log says of repairs after its first N bytes, without the time.
repairs()
{
	tail -c "+$(($1 + 1))" "$dir/a.log" | grep 'repaired\|deleted from outside' | cut -d' ' -f2-
}

while read -r change; do
	length=$(stat -c %s "$dir/a.log")
	in_ns a sh -ec "$change" || die "cannot: $change"
	within 1 as_made || die "not repaired: $change: $(diff <(echo "$made") <(ours)) $(tail -n 3 "$dir/a.log")"
	# Nothing more may come: another look at all of it, which a change elsewhere asks for, says nothing.
	in_ns a ip link set dnet0 alias "look"
	in_ns a ip link set dnet0 alias ""
	call a status >/dev/null
	as_made || die "not stable: $change"
	[ -n "$(repairs "$length")" ] || die "not logged: $change"
	[ -z "$(repairs "$length" | sort | uniq -d)" ] || die "logged twice: $change: $(repairs "$length")"
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
ip link del dnet0
D
ok "every change from outside is repaired within a second and logged once"

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
ok "leave: byte for byte as before"
call a join "{\"id\": \"$dnet\"}" >/dev/null || die "join"
within 5 complete || die "not up again"
kill -9 "$pid"
wait "$pid" 2>/dev/null
within 2 as_before || die "SIGKILL left: $(diff <(echo "$before") <(snapshot a))"
start a
within 5 complete || die "not up after SIGKILL"
stop a
[ "$(snapshot a)" = "$before" ] || die "the end left: $(diff <(echo "$before") <(snapshot a))"
ok "SIGKILL, start, end: byte for byte as before"
