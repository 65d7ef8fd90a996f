#!/usr/bin/env bash
# The member's commands of dnet, against two real dnetd on one segment.
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root
export XDG_CONFIG_HOME=$dir/none
unset DNET_CONF DNET_SOCKET DNET_CHAIN_DB

tool()
{
	local name=$1

	shift
	"$build/dnet" --socket "$dir/$name.sock" --chain-db "$dir/chain/chain.db" --chain litecoin-regtest "$@"
}

# gives STATUS WORDS NAME COMMAND...: ends with that status, and says so on stderr.
gives()
{
	local want=$1 words=$2 status=0

	shift 2
	tool "$@" >"$dir/out" 2>"$dir/err" || status=$?
	[ $status = "$want" ] || die "status $status, not $want, of: dnet ${*:2}: $(cat "$dir/out" "$dir/err")"
	grep -q -- "$words" "$dir/err" || die "stderr of dnet ${*:2}: $(cat "$dir/err")"
}

netns a
netns b
veth a 198.51.100.1/24 b 198.51.100.2/24
chain init
dnet=$(chain dnet office 10.77.0.0/24)
start a --chain-db "$dir/none.db"
tool a status | grep -q "^no block of the chain is known: $dir/none.db is not there yet: start chainwatch, or check the option chain-db$" ||
	die "status without chain.db: $(tool a status)"
stop a
start b
key_b=$(tool b id "$dnet" --json | jq -er .key) || die "id of b"
port_b=$(tool b status --json | jq -er .port) || die "status of b"
start a --peer-endpoint "$key_b 198.51.100.2:$port_b"
key_a=$(tool a id "$dnet" --json | jq -er .key) || die "id of a"
tool a id "$dnet" | grep -q "^key   $key_a$" || die "id for people"
tool a status | grep -q "^chain at height 100, block [0-9]* s old$" || die "the chain for people: $(tool a status)"
tool a status | grep -q "no dnet is joined" || die "status for people: $(tool a status)"
[ "$(tool a peers --json)" = "[]" ] || die "peers is no array"
chain node "$dnet" "$key_a" alice 10.77.0.1
chain node "$dnet" "$key_b" bob 10.77.0.2
gives 3 "not a dnet that this node has joined" a leave "$dnet"
gives 2 "is not the id of a dnet" a join --chain-db /nonexistent nonsense
ok "id before joining; errors of dnetd have their exit status"

tool a join "$dnet" --json | jq -e --arg key "$key_a" '.key == $key and (.interface | length > 0)' >/dev/null || die "join"
tool b join "dnet:$dnet" | grep -q "^joined $dnet on" || die "join by link, for people"
gives 1 "joined already" a join "$dnet"
within 10 tool a ping bob -c 1 || die "no ping: $(tool a peers) $(tool a status)"
tool a ping bob --until-direct --json | jq -e '.direct and .sent == 1 and .received == 1 and .replies[0].path == "direct"' \
	>/dev/null || die "ping --until-direct"
tool a ping 10.77.0.2 -c 2 | grep -c "answer from bob in .* direct via 198.51.100.2:$port_b" | grep -q 2 || die "ping for people"
gives 3 "no node of this dnet" a ping nobody -c 1
gives 2 "count is 1 to" a ping bob -c 0
ok "join, ping, ping --until-direct"

tool a peers --json | jq -e --arg key "$key_b" 'length == 1 and (.[0] | .name == "bob" and .key == $key and .path == "direct")' \
	>/dev/null || die "peers --json"
tool a peers | grep -q "^bob  *10.77.0.2  *connected  *native  *direct  *198.51.100.2:$port_b" || die "peers: $(tool a peers)"
tool a status --json | jq -e '.dnets[0].name == "office" and .dnets[0].peers_connected == 1' >/dev/null || die "status --json"
tool a status | grep -q "peers  *1 of 1 connected" || die "status: $(tool a status)"
tool a counters --json | jq -e 'length > 10 and all(.[]; type == "number")' >/dev/null || die "counters --json"
tool a counters | grep -q "^tun_write_failed  *0$" || die "counters: $(tool a counters)"
ok "status, peers, counters: as JSON and for people"

tool a why bob --json | jq -e --arg key "$key_b" --arg at "198.51.100.2:$port_b" '.key == $key and .path == "direct" and
	(.candidates | map(select(.current)) | length == 1 and .[0].endpoint == $at and .[0].confirmed and .[0].result == "answers") and
	.policy.ping_to.allowed and .policy.ping_from.rule == null and .helpers == [] and (.own | length > 0)' >/dev/null ||
	die "why --json: $(tool a why bob --json)"
tool a why 10.77.0.2 >"$dir/out" || die "why by address"
grep -q "^bob connected, path direct" "$dir/out" && grep -q "^backend: native: native is the first that" "$dir/out" &&
	grep -q "^  direct: confirmed" "$dir/out" &&
	grep -q "^  \*  *direct  *198.51.100.2:$port_b .* answers " "$dir/out" &&
	grep -q "ping to it: allowed: no policy is published" "$dir/out" || die "why for people: $(cat "$dir/out")"
tool a why alice bob tcp 443 | grep -q "^alice (fd.*) to bob (fd.*), tcp 443: allowed: no policy" || die "why of a flow: $(tool a why alice bob tcp 443)"
tool a why 10.77.0.1 bob udp 53 --json | jq -e '.allowed and .dst.address == "10.77.0.2" and .protocol == 17 and .port == 53' >/dev/null ||
	die "why of a flow of IPv4"
tool a why alice fd00::1 icmp | grep -q "denied: no member has the destination address" || die "why of a stranger"
tool a why fd00::1 bob 47 | grep -q "denied: no member has the source address" || die "why from a stranger"
gives 3 "no node of this dnet" a why nobody
gives 3 "no node of this dnet" a why alice nobody tcp 1
gives 2 "is this node itself" a why alice
gives 2 "PROTO is missing" a why alice bob
gives 2 "not a protocol" a why alice bob ipx
gives 2 "not a protocol" a why alice bob 256
gives 2 "need a port, 1 to 65535" a why alice bob tcp
gives 2 "need a port, 1 to 65535" a why alice bob udp 0
gives 2 "is not a port" a why alice bob udp 65536
gives 2 "is not a port" a why alice bob udp -- -1
gives 2 "has no ports" a why alice bob icmp 8
gives 2 "not both IPv4 or both IPv6" a why 10.77.0.1 fd00::1 icmp
ok "why: the path, its candidates, and the policy"

tool a down >/dev/null || die "down"
in_ns a ip link show dnet0 >/dev/null 2>&1 && die "the interface stays after down"
gives 1 "not up" a ping bob -c 1
gives 1 "not up" a why bob
tool a up "$dnet" >/dev/null || die "up"
within 10 tool a ping bob -c 1 || die "no ping after up"
tool a leave "$dnet" >/dev/null || die "leave"
tool a status --json | jq -e '.dnets == []' >/dev/null || die "still joined"
gives 4 "no socket" nobody status
[ "$(tool nobody status --json | jq .error.code)" = 4 ] || die "the error as JSON"
ok "down, up, leave; no dnetd"
