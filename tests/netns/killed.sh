#!/usr/bin/env bash
# dnetd killed at random instants (the engine, its root helper, or both) while dnets are joined, left, put down and up,
# nodes come and go, and handshakes run. Prints its seed; DNET_SEED and DNET_ROUNDS change seed and rounds.
#
#   a ── eth0 198.51.100.1 ══════ 198.51.100.2 eth0 ── b
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root

seed=${DNET_SEED:-$RANDOM}
rounds=${DNET_ROUNDS:-10}
RANDOM=$seed
echo "DNET_SEED=$seed DNET_ROUNDS=$rounds"

netns a
netns b
veth a 198.51.100.1/24 b 198.51.100.2/24
before=$(snapshot a)
chain init
dnet=$(chain dnet office 10.77.0.0/24)
other=$(chain dnet other 10.78.0.0/24)
start a
pid_a=$pid
key_a=$(call a id "{\"dnet\": \"$dnet\"}" | jq -r .key)
other_a=$(call a id "{\"dnet\": \"$other\"}" | jq -r .key)
start b
key_b=$(call b id "{\"dnet\": \"$dnet\"}" | jq -r .key)
port_b=$(call b status | jq .port)
chain node "$dnet" "$key_a" alice 10.77.0.1
chain node "$dnet" "$key_b" bob 10.77.0.2
chain node "$other" "$other_a" alice 10.78.0.1
chain height 110
call a join "{\"id\": \"$dnet\"}" >/dev/null || die "join"
call b join "{\"id\": \"$dnet\"}" >/dev/null || die "join"
master=$(sha256sum <"$dir/a/master.key")
port=$(call a status | jq .port)
pid=$pid_a
stop a

# left, up or down: what the state folder has of the other dnet.
kept()
{
	jq -er "[.dnets[] | select(.id == \"$other\") | if .down then \"down\" else \"up\" end][0] // \"left\"" "$dir/a/node.json"
}

# as_before KILLED: no trace of dnetd. Who kills the helper leaves rules, to tables that have no routes any more; the next
# start takes them away.
as_before()
{
	local pattern='{"priority":15700,[^}]*"protocol":"157"},'

	[ "$1" != 0 ] || pattern='$^'
	[ "$(snapshot a | sed "s/$pattern//g")" = "$before" ]
}

for ((round = 0; round < rounds; round++)); do
	start a --peer-endpoint "$key_b 198.51.100.2:$port_b"
	helper=$(pgrep -P "$pid")
	ip netns exec "$id-a" ping -i0.02 10.77.0.2 >/dev/null 2>&1 & # in_ns in the background is a shell around it
	pinger=$!
	pids+=("$pinger")
	python3 "$here/load.py" "$dir/a.sock" "$dir/chain/chain.db" "$dnet" "$other" "$(kept)" >"$dir/may" 2>"$dir/load.log" &
	loader=$!
	pids+=("$loader")
	# The instant has to be any: here a pause is what is tested.
	sleep "0.$(printf %03d $((RANDOM % 500)))"
	killed=$((RANDOM % 3))
	case $killed in
	0) kill -9 "$pid" ;;
	1) kill -9 "$helper" ;;
	2) kill -9 "$pid" "$helper" ;;
	esac
	wait "$pid" 2>/dev/null
	wait "$loader" || die "round $round, seed $seed: $(cat "$dir/load.log")"
	kill "$pinger"
	wait "$pinger" 2>/dev/null
	within 2 as_before "$killed" || die "round $round, seed $seed: something stays: $(diff <(echo "$before") <(snapshot a))"
	[ "$(sha256sum <"$dir/a/master.key")" = "$master" ] || die "round $round, seed $seed: another master secret"
	now=$(kept) || die "round $round, seed $seed: node.json: $(cat "$dir/a/node.json")"
	grep -qw "$now" "$dir/may" || die "round $round, seed $seed: the other dnet is $now, but has to be: $(cat "$dir/may")"
	start a --peer-endpoint "$key_b 198.51.100.2:$port_b"
	within 5 in_ns a ping -c1 -W0.2 10.77.0.2 ||
		die "round $round, seed $seed: not connected again: $(call a status) $(call a peers)"
	[ "$(call a status | jq .port)" = "$port" ] || die "round $round, seed $seed: another port"
	[ -z "$(find "$dir/a" -type f ! -name master.key ! -name node.json ! -name lock ! -name 'copy-*.json' ! -name 'revoked-*.json' ! -name 'statements-*.json')" ] ||
		die "round $round, seed $seed: left in the state folder: $(ls "$dir/a")"
	stop a
	as_before 0 || die "round $round, seed $seed: the end left something: $(diff <(echo "$before") <(snapshot a))"
done
ok "$rounds times killed under load: state, machine and connection as before"
