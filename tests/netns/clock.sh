#!/usr/bin/env bash
# A node whose clock was set back while it was off is still heard by its peers: timestamps of handshakes never go below what
# a former run may have used (PROTOCOL 3.4).
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root

# The time that a keeps, in seconds since 1970.
kept()
{
	jq -e .time "$dir/a/node.json"
}

# a asks for b, and b has refused one handshake more than before.
refused()
{
	call a ping '{"node": "bob", "timeout_ms": 500}'
	is b counters '{}' ".handshake_replayed > $before"
}

# pings: a finds b by a handshake that a began.
pings()
{
	is a ping "{\"node\": \"bob\", \"timeout_ms\": 3000}" '.rtt_ms >= 0'
}

netns a
netns b
veth a 198.51.100.1/24 b 198.51.100.2/24
chain init
dnet=$(chain dnet office 10.77.0.0/24)
start b
key_b=$(call b id "{\"dnet\": \"$dnet\"}" | jq -er .key) || die "id of b"
port_b=$(call b status | jq -er .port) || die "status of b"
start a --peer-endpoint "$key_b 198.51.100.2:$port_b"
key_a=$(call a id "{\"dnet\": \"$dnet\"}" | jq -er .key) || die "id of a"
chain node "$dnet" "$key_a" alice 10.77.0.1
chain node "$dnet" "$key_b" bob 10.77.0.2
now=$(date +%s)
[ "$(kept)" -ge "$now" ] && [ "$(kept)" -le $((now + 4000)) ] || die "the kept time is $(kept) at $now"
stop a

# As if the clock had been a day ahead in a former life.
day_ahead=$((now + 86400))
jq -c ".time = $day_ahead" "$dir/a/node.json" >"$dir/changed" && cat "$dir/changed" >"$dir/a/node.json"
start a --peer-endpoint "$key_b 198.51.100.2:$port_b"
call a join "{\"id\": \"$dnet\"}" >/dev/null || die "join of a"
call b join "{\"id\": \"$dnet\"}" >/dev/null || die "join of b"
within 10 pings || die "no ping: $(call a peers) $(call b counters)"
[ "$(kept)" -gt $day_ahead ] || die "the kept time went back: $(kept)"
kill -KILL "$pid"
wait "$pid" 2>/dev/null
start a --peer-endpoint "$key_b 198.51.100.2:$port_b"
within 10 pings || die "no ping after the restart: $(call a peers) $(call b counters)"
ok "killed and started with a clock a day behind its last timestamps: heard at once"

# The other way round: without the kept time b refuses it, so the test above can fail.
kill -KILL "$pid"
wait "$pid" 2>/dev/null
jq -c '.time = 0' "$dir/a/node.json" >"$dir/changed" && cat "$dir/changed" >"$dir/a/node.json"
before=$(call b counters | jq .handshake_replayed)
start a --peer-endpoint "$key_b 198.51.100.2:$port_b"
within 10 refused || die "b takes an old timestamp: $(call b counters)"
ok "an older timestamp is refused and counted"
