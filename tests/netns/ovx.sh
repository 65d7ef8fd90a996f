#!/usr/bin/env bash
# Two members that reach only s, where ovcd and ovrd run: relayed, the daemons killed and back, a grant that ends by height.
#
#   a ── 198.51.100.1 ═════ 198.51.100.2 ── s ── 203.0.113.2 ═════ 203.0.113.1 ── b
#                                 (forwards nothing)
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root

# pings: both ways at once, as only who sends something misses an answer before the next keepalive.
pings()
{
	local one

	in_ns a ping -c1 -W1 10.77.0.2 &
	one=$!
	in_ns b ping -c1 -W1 10.77.0.1
	set -- $?
	wait $one && return "$1"
}

tenant()
{
	is "$1" status '{}' ".tenants[0] | $2"
}

killed()
{
	kill -9 "$1"
	wait "$1" 2>/dev/null
}

islands

chain init
dnet=$(chain dnet office 10.77.0.0/24)
ovc=$(chain ovc meet "$(key_of ovc)")
ovr=$(chain ovr relay "$(key_of ovr)")
for helper in "$ovc" "$ovr"; do
	chain link "$dnet" "$helper"
done
chain endpoint "$ovc" 198.51.100.2 4242
chain endpoint "$ovr" 198.51.100.2 4243
chain grant "$ovc" "$dnet"
chain grant "$ovr" "$dnet" 150 0 100
mkdir "$dir/hubs"
echo "$dnet 1655 00" >"$dir/hubs/file"
helper ovc "$ovc" 4242 --hub-statement "$dir/hubs/file"
pid_ovc=$pid
helper ovr "$ovr" 4243
pid_ovr=$pid
start a
chain node "$dnet" "$(call a id "{\"dnet\": \"$dnet\"}" | jq -r .key)" alice 10.77.0.1
start b
chain node "$dnet" "$(call b id "{\"dnet\": \"$dnet\"}" | jq -r .key)" bob 10.77.0.2
chain height 110
for who in a b; do
	call $who join "{\"id\": \"$dnet\"}" >/dev/null || die "join of $who"
done
within 15 pings || die "no ping: $(call a peers) $(call ovr status) $(call ovr counters)"
is a peers '{}' '.[0].path == "relay"' >/dev/null || die "not relayed: $(call a peers)"
within 15 tenant ovc '.registered == 2' || die "not registered: $(call ovc status)"
tenant ovr '.lanes == 1 and .forwarded_bytes > 0 and .members == 2' >/dev/null || die "$(call ovr status)"
[ "$(key_of ovr)" = "$(call ovr status | jq -r .key)" ] || die "--show-key of a running ovrd"
ok "two members that reach only the helpers: registered and relayed; --show-key beside the running daemon"

# The file is another one from one moment to the next, as programs write it.
grep -q "hubs/file:1 is not taken: its statement is malformed" "$dir/ovc.log" || die "no word about a wrong line: $(cat "$dir/ovc.log")"
is ovc counters '{}' '.statement_out == 0' >/dev/null || die "a hub from a wrong file"
python3 "$(dirname "$0")/hubfile.py" "$dir/ovc/service.key" "$ovc" "$dnet" 1655 >"$dir/hubs/new" || die "hubfile.py"
mv "$dir/hubs/new" "$dir/hubs/file"
within 30 is ovc counters '{}' '.statement_out >= 2' || die "the hub is not told: $(tail -5 "$dir/ovc.log")"
for who in a b; do
	is $who counters '{}' '.statement_refused == 0' >/dev/null || die "$who refuses the hub's statement"
done
ok "a hub's key statement is read when its file changes, and reaches the members; a wrong one is named"

killed "$pid_ovc"
helper ovc "$ovc" 4242
pid_ovc=$pid
within 20 tenant ovc '.registered == 2' || die "not registered again: $(call ovc status)"
ok "ovcd killed: the members register again by themselves"

# Usage is written every 5 s.
within 10 jq -e '.[] > 0' "$dir/ovr/usage.json" || die "usage is not kept"
before=$(jq '.[]' "$dir/ovr/usage.json")
killed "$pid_ovr"
helper ovr "$ovr" 4243
pid_ovr=$pid
within 2 tenant ovr ".forwarded_bytes >= $before" || die "usage is lost: $(call ovr status)"
within 20 pings || die "no ping after ovrd was killed: $(call a peers) $(call ovr counters)"
ok "ovrd killed: what was used is still known, and the members come back to it"

# One helper or both killed at random instants: the long form; what the first round shows is above.
seed=${DNET_SEED:-$RANDOM}
RANDOM=$seed
for ((round = 0; round < ${DNET_ROUNDS:-0}; round++)); do
	which=$((RANDOM % 3))
	before=$(jq '.[]' "$dir/ovr/usage.json")
	ip netns exec "$id-a" ping -i0.02 -s 1000 10.77.0.2 >/dev/null 2>&1 & # in_ns in the background is a shell around it
	pinger=$!
	pids+=("$pinger")
	sleep "0.$(printf %03d $((RANDOM % 1000)))" # any instant is what this tests
	if [ $which != 0 ]; then
		killed "$pid_ovc"
		helper ovc "$ovc" 4242
		pid_ovc=$pid
	fi
	if [ $which != 1 ]; then
		killed "$pid_ovr"
		helper ovr "$ovr" 4243
		pid_ovr=$pid
		within 2 tenant ovr ".forwarded_bytes >= $before" || die "round $round, seed $seed: usage is lost: $(call ovr status)"
	fi
	kill "$pinger"
	wait "$pinger" 2>/dev/null
	within 30 tenant ovc '.registered == 2' || die "round $round, seed $seed: not registered again: $(call ovc status)"
	within 30 pings || die "round $round, seed $seed: nothing flows: $(call a peers) $(call ovr counters)"
done
[ "${DNET_ROUNDS:-0}" = 0 ] || ok "DNET_SEED=$seed: helpers killed $DNET_ROUNDS times at random instants"

# RECORDS 5.4: not expired is expiry height not below the tip height.
chain height 150
within 3 is ovr status '{}' '.chain.height == 150' || die "the height is not seen"
tenant ovr '.grant_expiry == 150' >/dev/null || die "the grant ended too early: $(call ovr status)"
pings >/dev/null || die "it does not forward any more: $(call ovr status)"
chain height 151
within 3 is ovr status '{}' '.tenants == []' || die "the grant did not end: $(call ovr status)"
! pings >/dev/null 2>&1 || die "it still forwards"
tenant ovc '.members == 2' >/dev/null || die "the other grant ended too"
ok "a grant is good at its last height, and ends with the next block"
