#!/usr/bin/env bash
# Members of two dnets that reach only s meet at its tinc hub, if they want to; nobody meets another dnet there.
#
#   a ── 198.51.100.1 ═════ 198.51.100.2 ── s ── 203.0.113.2 ═════ 203.0.113.1 ── b
#                            (forwards nothing: ovcd, ovrd, dnet-tinc-hub)
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root
[ -x /usr/sbin/tincd ] || skip "needs tincd (apt install tinc)"

hub()
{
	ip netns exec "$id-s" "$build/dnet-tinc-hub" -c /dev/null --state "$dir/hub" --control "$dir/hub.sock" --ovcd "$dir/ovc.sock" \
		>>"$dir/hub.log" 2>&1 &
	hub=$!
	pids+=("$hub")
	within 5 call hub status || die "dnet-tinc-hub does not start"
}

member()
{
	start "$1" --backend tinc "${@:2}"
	pid_of[$1]=$pid
}

served()
{
	is hub status '{}' ".tenants[] | select(.dnet == \"$1\") | $2"
}

pings()
{
	in_ns a ping -c1 -W1 "$1" && in_ns b ping -c1 -W1 "$2"
}

declare -A pid_of key_a key_b
islands
chain init
ovc=$(chain ovc meet "$(key_of ovc)")
ovr=$(chain ovr relay "$(key_of ovr)")
# Two, as the chain may have one for each way that leads there.
chain endpoint "$ovc" 198.51.100.2 4242
chain endpoint "$ovc" 203.0.113.2 4242
chain endpoint "$ovr" 198.51.100.2 4243
chain endpoint "$ovr" 203.0.113.2 4243
dnet=$(chain dnet office 10.77.0.0/24)
other=$(chain dnet workshop 10.78.0.0/24)
for one in "$dnet" "$other"; do
	for service in "$ovc" "$ovr"; do
		chain link "$one" "$service"
		chain grant "$service" "$one"
	done
done
helper ovc "$ovc" 4242
helper ovr "$ovr" 4243
hub
member a --tinc-hub
member b --tinc-hub
n=7
for one in "$dnet" "$other"; do
	key_a[$one]=$(call a id "{\"dnet\": \"$one\"}" | jq -r .key)
	key_b[$one]=$(call b id "{\"dnet\": \"$one\"}" | jq -r .key)
	chain node "$one" "${key_a[$one]}" alice 10.7$n.0.1
	chain node "$one" "${key_b[$one]}" bob 10.7$n.0.2
	n=$((n + 1))
done
chain height 110
for one in "$dnet" "$other"; do
	call a join "{\"id\": \"$one\"}" >/dev/null || die "join of a"
	call b join "{\"id\": \"$one\"}" >/dev/null || die "join of b"
done
for one in "$dnet" "$other"; do
	within 30 served "$one" '.connected == 2' || die "not two at the hub: $(call hub status) $(call a status) $(call a peers)"
done
within 10 pings 10.77.0.2 10.77.0.1 || die "no ping through the hub: $(call a peers) $(call hub status)"
within 10 pings 10.78.0.2 10.78.0.1 || die "no ping through the other hub: $(call a peers) $(call hub status)"
is a peers '{}' '.[0] | .backend == "tinc" and (.reason | test("hub"))' >/dev/null || die "peers do not name the hub: $(call a peers)"
is a status '{}' '.dnets[0].backends[0].limits | test("OPERATOR OF THE OVC CAN READ")' >/dev/null || die "status: $(call a status)"
ok "two members of each of two dnets meet at their hub, which status names as a limit"

[ "$(jq -r '.tenants | map(.port) | unique | length' <<<"$(call hub status)")" = 2 ] || die "one port for two: $(call hub status)"
for folder in "$dir"/hub/backend/tenant*; do
	[ "$(find "$folder/hosts" -type f | wc -l)" = 3 ] || die "not a hub and two members: $(ls "$folder/hosts")"
done
[ -z "$(find "$dir/hub/backend" -path '*/hosts/n*' -printf '%f\n' | sort | uniq -d)" ] || die "a member in two hubs"
cmp -s "$dir"/hub/backend/tenant[01]/rsa_key.priv && die "one key for two dnets"
ok "each dnet has a port, a key and members of its own"

# lists: of each dnet; looks: so often ovcd said whether that is worth while.
lists()
{
	call hub status | jq -c '.tenants | sort_by(.dnet) | map(.lists)'
}

looked()
{
	is hub status '{}' ".looks >= $1"
}

quiet()
{
	local before

	before=$(lists)
	within 10 looked $(($(call hub status | jq .looks) + 3)) && [ "$(lists)" = "$before" ]
}

within 60 quiet || die "the hub asks for what it has: $(lists)"
carol=0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798
chain node "$dnet" $carol carol 10.77.0.3
chain height 120
within 3 served "$dnet" '.members == 3' || die "the hub does not hear of a new member: $(call hub status)"
chain del "$dnet" $carol
within 3 served "$dnet" '.members == 2' || die "the hub does not hear of a removed member: $(call hub status)"
within 60 quiet || die "the hub asks on and on after a change: $(lists)"
ok "the hub asks for nodes and statements when they are others than before, and only then"

# Where they did not say that the operator may read, they do not meet.
kill "${pid_of[a]}"
wait "${pid_of[a]}"
member a
within 20 is a peers '{}' 'length == 2 and all(.[]; .backend == "tinc")' || die "no peers: $(call a peers)"
within 5 served "$dnet" '.connected == 1' || die "a goes to the hub: $(call hub status)"
in_ns a ping -c3 -i0.3 -W1 10.77.0.2 >/dev/null && die "a ping through a hub that nobody wanted"
is a status '{}' '.dnets[0].backends[0].limits | test("OPERATOR") | not' >/dev/null || die "status: $(call a status)"
kill "${pid_of[a]}"
wait "${pid_of[a]}"
member a --tinc-hub
within 30 pings 10.77.0.2 10.77.0.1 || die "no ping again: $(call a peers) $(call hub status)"
ok "without tinc-hub = yes nobody goes through a hub"

kill -9 "$hub"
wait "$hub" 2>/dev/null
within 2 sh -c "! pgrep -f '^/usr/sbin/tincd .* -c $dir/hub/'" || die "tincd stays when the hub is killed"
hub
within 30 pings 10.77.0.2 10.77.0.1 || die "no ping after the hub was killed: $(call a peers) $(call hub status)"
within 30 pings 10.78.0.2 10.78.0.1 || die "no ping after the hub was killed, in the other dnet: $(call a peers) $(call hub status)"
ok "the hub killed and started again: the members are back, with the same ports and keys"

in_ns a ping -i 0.02 -c 150 -W1 10.78.0.2 >"$dir/ping" &
ping=$!
chain del "$dnet" "${key_b[$dnet]}"
within 2 served "$dnet" '.members == 1' || die "a removed member stays at the hub: $(call hub status)"
within 2 sh -c "! ip netns exec $id-a ping -c1 -W0.3 10.77.0.2" || die "a removed member answers"
chain close "$dnet"
within 2 is hub status '{}' '.tenants | length == 1' || die "a dnet that is closed is served: $(call hub status)"
wait $ping
grep -q " 0% packet loss" "$dir/ping" || die "the other dnet lost packets: $(tail -n 3 "$dir/ping")"
ok "a removed member and a dnet that is served no longer are cut at once; the other dnet loses nothing"
