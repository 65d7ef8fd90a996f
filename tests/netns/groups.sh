#!/usr/bin/env bash
# Groups and one-way rules of the owner's roster, over another backend than native: WireGuard, by wireguard-go, and the kernel's
# filter at both ends. A change takes effect within seconds, also on an open connection, and who does not get it is checked by
# the other end.
#
#   a: staff ── eth0 198.51.100.1 ══════ 198.51.100.2 eth0 ── b: servers
#   10.77.0.1                                                 10.77.0.2
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root
command -v wireguard-go >/dev/null || skip "needs wireguard-go (apt install wireguard-go)"

declare -A key port pid_of ip4=([a]=10.77.0.1 [b]=10.77.0.2) outside=([a]=198.51.100.1 [b]=198.51.100.2)

begin()
{
	local other=b

	[ "$1" = a ] || other=a
	start "$1" -c /dev/null --interface-prefix "g$$$1" --backend wireguard --wireguard go --confirm 1 --roster-poll 1s \
		--roster "$dnet $dir/$1.roster" ${key[$other]:+--peer-endpoint "${key[$other]} ${outside[$other]}:${port[$other]}"}
	pid_of[$1]=$pid
}

pings()
{
	in_ns "$1" ping -qc1 -W1 "${ip4[$2]}"
}

# publish SEQUENCE GROUPS RULES [WHO...]: the roster, to those who are named, and anchored.
publish()
{
	local root who

	root=$(python3 "$here/rosterfile.py" "$dir/made.roster" "$dnet" "$1" "$2" "$3") || die "no roster"
	for who in "${@:4}"; do
		cp "$dir/made.roster" "$dir/$who.new"
		mv "$dir/$who.new" "$dir/$who.roster"
	done
	chain roster "$dnet" "$1" "$root"
	height=$((height + 1))
	chain height $height
}

in_force()
{
	is "$1" status '{}' ".dnets[0].roster.in_force.sequence == $2 and ([.dnets[0].parts[] | select(.part == \"filter\")] | all(.applied and .error == null))"
}

# listens WHO PORT: whoever connects gets back what he says.
listens()
{
	in_ns "$1" socat "TCP4-LISTEN:$2,reuseaddr,fork" EXEC:cat &
	pids+=($!)
	within 5 sh -c "ip netns exec $id-$1 ss -Htln | grep -q ':$2 '" || die "no listener at $1"
}

# asks FROM TO PORT: an answer on a new connection.
asks()
{
	[ "$(in_ns "$1" sh -c "echo ask | timeout 2 socat -t1 - TCP4:${ip4[$2]}:$3,connect-timeout=1" 2>/dev/null)" = ask ]
}

counter()
{
	call "$1" counters | jq ".filter_$2"
}

# refused FROM TO PORT WHO COUNTER: no answer, and that counter rises.
refused()
{
	local before

	before=$(counter "$4" "$5")
	! asks "$1" "$2" "$3" || die "$1 reaches port $3 of $2"
	[ "$(counter "$4" "$5")" -gt "$before" ] || die "$5 of $4 does not count it: $(call "$4" counters)"
}

netns a
netns b
in_ns a nft add table inet others || skip "no nftables here"
veth a 198.51.100.1/24 b 198.51.100.2/24
chain init
dnet=$(chain dnet office 10.77.0.0/24 "$(python3 "$here/rosterfile.py" admin)")
height=110
acquaint a b
kill "${pid_of[a]}"
wait "${pid_of[a]}"
begin a
within 20 pings a b || die "no ping: $(call a peers) $(in_ns a nft list ruleset)"
for who in a b; do
	listens $who 80
	listens $who 81
done
asks a b 81 || die "without a policy members may talk to members"

groups="staff ${key[a]}
servers ${key[b]}"
publish 1 "$groups" "staff servers 6 80" a b
for who in a b; do
	within 5 in_force $who 1 || die "not in force at $who: $(call $who status)"
done
within 5 asks a b 80 || die "what the rule allows does not pass: $(call a counters)"
refused a b 81 a out_policy
refused b a 80 b out_policy
pings a b >/dev/null && die "a ping passes, which no rule allows"
ok "a group may what its rule says, in that direction alone"

# b alone gets the next one: what a's filter lets out stops at b's.
publish 2 "$groups" "staff servers 6 81" b
within 5 in_force b 2 || die "not in force at b: $(call b status)"
in_force a 1 >/dev/null || die "a has it without being given it"
refused a b 80 b in_policy
ok "who does not get the change is checked by the other end"

cp "$dir/b.roster" "$dir/a.new"
mv "$dir/a.new" "$dir/a.roster"
within 5 in_force a 2 || die "not in force at a: $(call a status)"
within 5 asks a b 81 || die "what the new rule allows does not pass"
refused a b 80 a out_policy
ok "with the change at both ends the other port, and no more the first"

# An open connection, and then a leaves the group.
mkfifo "$dir/say"
exec 5<>"$dir/say"
in_ns a socat - TCP4:10.77.0.2:81 <&5 >"$dir/heard" 2>/dev/null &
pids+=($!)
heard()
{
	grep -q "^$1\$" "$dir/heard"
}
echo one >&5
within 5 heard one || die "no answer on the open connection"
publish 3 "staff
servers ${key[b]}" "staff servers 6 81" a b
for who in a b; do
	within 5 in_force $who 3 || die "not in force at $who: $(call $who status)"
done
before=$(counter a out_policy)
echo two >&5
more()
{
	[ "$(counter a out_policy)" -gt "$before" ]
}
within 5 more || die "the open connection goes on: $(call a counters)"
heard two && die "an answer on a connection of who left the group"
refused a b 81 a out_policy
ok "who leaves a group is out at once, also on an open connection"
