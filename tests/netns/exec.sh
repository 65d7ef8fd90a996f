#!/usr/bin/env bash
# Three members whose packets are carried by Nebula, driven by contrib/examples/exec-nebula: join, ping both ways, drift,
# one removed on the records is cut within two seconds, the program killed, dnetd killed, leaving.
#
#   a ── eth0 198.51.100.1 ══╗
#   b ── eth0 198.51.100.2 ══╬══ switch
#   c ── eth0 198.51.100.3 ══╝
#   dnet0 of each: made by Nebula, 10.77.0.1, .2, .3
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root
for tool in nebula nebula-cert; do
	command -v $tool >/dev/null || skip "needs $tool (apt install nebula)"
done
example=$(cd "$here/../../contrib/examples" && pwd)/exec-nebula

netns switch
segment switch
number=0
for name in a b c; do
	number=$((number + 1))
	netns $name
	plug $name 198.51.100.$number/24 switch
done
before=$(snapshot a)

chain init
dnet=$(chain dnet office 10.77.0.0/24)
declare -A key pid_of
endpoints=()
# The port that a node finds at its first start is kept.
number=0
for name in a b c; do
	number=$((number + 1))
	start $name
	key[$name]=$(call $name id "{\"dnet\": \"$dnet\"}" | jq -r .key)
	endpoints+=(--peer-endpoint "${key[$name]} 198.51.100.$number:$(call $name status | jq .port)")
	chain node "$dnet" "${key[$name]}" "node-$name" 10.77.0.$number
	stop $name
done
chain height 110

# with_nebula NAME: starts its dnetd with the example as its backend.
with_nebula()
{
	start "$1" --backend exec --exec-program "$example" "${endpoints[@]}"
	pid_of[$1]=$pid
}

# programs NAME: the pids of nebula there.
programs()
{
	local one

	for one in $(ip netns pids "$id-$1"); do
		[ "$(cat "/proc/$one/comm" 2>/dev/null)" = "${2:-nebula}" ] && echo "$one"
	done
	return 0
}

runs()
{
	[ "$(programs "$1" | wc -l)" = 1 ]
}

up()
{
	is "$1" status '{}' '.dnets[0] | .state == "up" and .backend == "exec" and (.parts | all(.error == null))'
}

reaches()
{
	in_ns "$1" ping -c1 -W1 "$2"
}

for name in a b c; do
	with_nebula $name
	call $name join "{\"id\": \"$dnet\"}" >/dev/null || die "join"
done
for name in a b c; do
	within 10 up $name || die "not up: $(call $name status)"
done
for from in a b c; do
	for to in 1 2 3; do
		within 10 reaches $from 10.77.0.$to || die "no ping from $from to 10.77.0.$to: $(call $from peers)"
	done
done
in_ns a ip -d link show dnet0 | grep -q tun || die "the interface is not the program's"
within 5 is a peers '{}' '[.[] | select(.backend == "exec" and .state == "connected")] | length == 2' >/dev/null ||
	die "peers: $(call a peers)"
is a status '{}' '.dnets[0].backends[0].program == "nebula: running"' >/dev/null || die "status: $(call a status)"
ok "three members over Nebula: each pings each"

made()
{
	in_ns a sh -c 'ip -j addr show dev dnet0; ip -j route show table all dev dnet0; ip -j rule' |
		sed 's/"ifindex":[0-9]*//g; s/"\(valid\|preferred\)_life_time":[0-9]*//g'
}
as_made=$(made)
is_as_made()
{
	[ "$(made)" = "$as_made" ]
}
for change in "addr del 10.77.0.1/32 dev dnet0" "addr add 10.77.0.9/32 dev dnet0" "link set dnet0 mtu 1000" \
	"route del 10.77.0.0/24 dev dnet0 proto 157" "addr flush dev dnet0" "link set dnet0 down"; do
	# shellcheck disable=SC2086
	in_ns a ip $change || die "cannot: $change"
	within 1 is_as_made || die "not repaired: $change: $(made)"
done
within 5 reaches a 10.77.0.2 || die "no ping after drift"
ok "changes of the program's interface from outside are repaired"

# Removed on the records, as seen in the mempool: a and b do not speak with c from then on, with each other without a gap.
nebula_of_a=$(programs a)
chain del "$dnet" "${key[c]}"
removed=$(date +%s%N)
cut_off()
{
	! in_ns a ping -c1 -W0.2 10.77.0.3 && ! in_ns c ping -c1 -W0.2 10.77.0.1 && ! in_ns c ping -c1 -W0.2 10.77.0.2
}
within 2 cut_off || die "a removed member is not cut: $(call a peers)"
ok "a removed member is cut after $((($(date +%s%N) - removed) / 1000000)) ms"
reaches a 10.77.0.2 >/dev/null || die "the others lost each other"
[ "$(programs a)" = "$nebula_of_a" ] || die "Nebula was started again for that"
within 2 gone c || die "the removed member keeps its interface"
[ -z "$(programs c)" ] || die "the removed member keeps Nebula"
ok "the other members go on"

# Nebula alone, then the program that drives it: back by themselves.
for what in nebula exec-nebula; do
	kill -9 "$(programs a $what)" || die "no $what to kill"
	within 10 runs a || die "$what is not back: $(call a status)"
	within 10 up a || die "not up: $(call a status)"
	within 10 reaches b 10.77.0.1 || die "no ping after $what was killed"
done
ok "Nebula and its driver, killed, are back"

as_before()
{
	[ "$(snapshot a)" = "$before" ]
}
none_left()
{
	[ -z "$(programs a)$(programs a exec-nebula)" ]
}
kill -9 "${pid_of[a]}"
wait "${pid_of[a]}" 2>/dev/null
within 2 as_before || die "SIGKILL left: $(diff <(echo "$before") <(snapshot a))"
within 2 none_left || die "a program outlives a killed dnetd"
with_nebula a
within 10 up a || die "not up again: $(call a status)"
within 10 reaches a 10.77.0.2 || die "no ping after a start"
ok "dnetd killed: nothing left, and all there after a start"

call a leave "{\"id\": \"$dnet\"}" >/dev/null || die "leave"
within 2 as_before || die "leave left: $(diff <(echo "$before") <(snapshot a))"
within 2 none_left || die "leave left a program"
[ -z "$(find "$dir/a/backend" -mindepth 1 2>/dev/null)" ] || die "leave left: $(find "$dir/a/backend")"
ok "leave: nothing left byte for byte"
