#!/usr/bin/env bash
# A dnet of members with different backends: who has one in common reaches the other, by it; who has not is told why, by peers,
# status and why, and gets an error at once.
#
#   a ── 198.51.100.1 ═╗   backend = tinc native
#   b ── 198.51.100.2 ═╬═  backend = native
#   c ── 198.51.100.3 ═╝   backend = tinc
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root
[ -x /usr/sbin/tincd ] || skip "needs tincd (apt install tinc)"

declare -A pid_of key ip6 ip4=([a]=10.77.0.1 [b]=10.77.0.2 [c]=10.77.0.3) name=([a]=alice [b]=bob [c]=carol)
declare -A backends=([a]="tinc native" [b]="native" [c]="tinc")

begin()
{
	local other peers=()

	for other in a b c; do
		[ "$other" = "$1" ] || [ -z "${key[$other]:-}" ] || peers+=(--peer-endpoint "${key[$other]} 198.51.100.$(tr abc 123 <<<"$other"):4500")
	done
	start "$1" --backend "${backends[$1]}" --port 4500 --interface-prefix "t$$$1" "${peers[@]}"
	pid_of[$1]=$pid
}

reach()
{
	in_ns "$1" ping -qc1 -W1 "${ip4[$2]}" && in_ns "$1" ping -qc1 -W1 "${ip6[$2]}"
}

looks()
{
	local who

	for who in a b c; do
		call $who peers | jq -c '.[] | [.name, .state, .backend, .path, .reason]'
	done
}

# by FROM TO BACKEND: both ways, by that backend.
by()
{
	reach "$1" "$2" && reach "$2" "$1" && carried "$1" "$2" "$3" && carried "$2" "$1" "$3"
}

carried()
{
	is "$1" peers '{}' ".[] | select(.name == \"${name[$2]}\") | .backend == \"$3\" and .state == \"connected\""
}

# apart FROM TO THEIRS OURS: what FROM is told of TO.
apart()
{
	is "$1" peers '{}' ".[] | select(.name == \"${name[$2]}\") | .backend == null and .state == \"unreachable\" and
		.reason == \"no backend in common: it offers $3, this node offers $4\"" &&
		is "$1" status '{}' ".dnets[0].unreachable == [{\"name\": \"${name[$2]}\", \"reason\": \"no backend in common: it offers $3, this node offers $4\"}]" &&
		is "$1" why "{\"node\": \"${name[$2]}\"}" '.choice | startswith("no backend in common")'
}

# refused FROM TO: at once, by an error of the network, not by silence.
refused()
{
	in_ns "$1" ping -c1 -W5 "${ip4[$2]}" 2>&1 | grep -q "+1 errors" && in_ns "$1" ping -c1 -W5 "${ip6[$2]}" 2>&1 | grep -q "+1 errors"
}

counted()
{
	call "$1" counters | jq .filter_out_no_peer
}

# dropped FROM TO: by the filter of the kernel, which counts each packet and says nothing.
dropped()
{
	local before at

	for at in "${ip4[$2]}" "${ip6[$2]}"; do
		before=$(counted "$1")
		! in_ns "$1" ping -qc1 -W0.3 "$at" >/dev/null 2>&1 || return
		[ "$(counted "$1")" = $((before + 1)) ] || return
	done
}

as_before()
{
	[ "$(snapshot a)" = "$before" ]
}

netns s
segment s
for who in a b c; do
	netns $who
	plug $who "198.51.100.$(tr abc 123 <<<$who)/24" s
done
before=$(snapshot a)
chain init
dnet=$(chain dnet office 10.77.0.0/24)
for who in a b c; do
	begin $who
	k=$(call $who id "{\"dnet\": \"$dnet\"}" | jq -r .key)
	kill "$pid" && wait "$pid"
	key[$who]=$k
	chain node "$dnet" "$k" "${name[$who]}" "${ip4[$who]}"
done
chain height 110
for who in a b c; do
	begin $who
	call $who join "{\"id\": \"$dnet\"}" >/dev/null || die "join of $who"
	ip6[$who]=$(call $who id | jq -r .ipv6)
done
within 20 by a b native || die "a and b do not reach each other natively: $(looks)"
within 20 by a c tinc || die "a and c do not reach each other by tinc: $(looks)"
ok "a pair takes the backend that both have: one member reaches one natively, another by tinc"

within 5 apart b c tinc native || die "b is not told of c: $(looks) $(call b status)"
within 5 apart c b native tinc || die "c is not told of b: $(looks) $(call c status)"
within 5 refused b c || die "b gets no error: $(in_ns b ping -c1 -W1 "${ip4[c]}") $(call b counters)"
within 5 dropped c b || die "c sends to b, or nothing is counted: $(call c counters)"
is a status '{}' '.dnets[0] | .unreachable == [] and .peers_connected == 2' >/dev/null || die "a: $(call a status)"
"$build/dnet" --socket "$dir/b.sock" status | grep -q "carol *no backend in common: it offers tinc, this node offers native" || die "dnet status of b"
"$build/dnet" --socket "$dir/b.sock" why carol | grep -q "^backend: none: no backend in common" || die "dnet why of b"
ok "two without one in common: peers, status and why name what each offers, and packets are refused: natively at once with an error, by another backend with a count"

# c gets native too.
kill "${pid_of[c]}" && wait "${pid_of[c]}"
backends[c]="tinc native"
begin c
within 20 by b c native || die "b and c do not reach each other now: $(looks)"
within 20 by a c tinc || die "a and c changed: $(looks)"
is b status '{}' '.dnets[0].unreachable == []' >/dev/null || die "b: $(call b status)"
ok "one of them gets the other's backend: they reach each other"

call a leave "{\"id\": \"$dnet\"}" >/dev/null || die "leave"
within 2 as_before || die "leave left: $(diff <(echo "$before") <(snapshot a))"
ok "leave: both interfaces and all of their routes are gone"
