#!/usr/bin/env bash
# What dnetd says when it cannot start: no /dev/net/tun, no rights, a bad configuration, a state folder in use or damaged.
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root

# refused STATUS TEXT COMMAND...: ends with the status and says the text.
refused()
{
	local status=$1 text=$2 said got

	shift 2
	said=$(timeout 10 "$@" 2>&1)
	got=$?
	[ $got = "$status" ] || die "$*: status $got instead of $status: $said"
	grep -qF -- "$text" <<<"$said" || die "$*: does not say '$text' but: $said"
}

options=(--state "$dir/state" --control "$dir/a.sock" --chain-db "$dir/none" --chainwatch "")
dnetd=("$build/dnetd" "${options[@]}")

refused 1 "cannot open /dev/net/tun: No such file or directory: load the module (modprobe tun)" \
	unshare --mount --net sh -c 'mount -t tmpfs tmpfs /dev/net && exec "$@"' - "${dnetd[@]}"
ok "no /dev/net/tun: says so, and the next step"

refused 1 "CAP_NET_ADMIN is missing" unshare --net setpriv --bounding-set=-net_admin "${dnetd[@]}"
ok "no right to make interfaces: says so, and the next step"

cat >"$dir/bad.conf" <<C
log-level = info
[network]
mtu = 1400
txquelen = 5
C
refused 2 "$dir/bad.conf:4: there is no option 'txquelen'; did you mean 'txqueuelen'?" "$build/dnetd" -n -c "$dir/bad.conf"
printf '[network]\n\nmtu = 1279\n' >"$dir/bad.conf"
refused 2 "$dir/bad.conf:3:" "$build/dnetd" -n -c "$dir/bad.conf"
printf '[adapters]\nbackend = tincx\n' >"$dir/bad.conf"
refused 2 "there is no backend 'tincx': use one of native, " "$build/dnetd" -n -c "$dir/bad.conf"
printf '[network]\nmtu = 1280\n' >"$dir/good.conf"
refused 0 "the configuration is good" "$build/dnetd" -n -c "$dir/good.conf"
[ ! -e "$dir/state" ] || rm -rf "$dir/state"
refused 0 "the configuration is good" "$build/dnetd" -n -c "$dir/good.conf" --state "$dir/state"
[ ! -e "$dir/state" ] || die "-n made the state folder"
ok "a bad configuration: file, line and the nearest name; -n touches nothing"

netns a
start a
refused 1 "is used by process" ip netns exec "$id-a" "$build/dnetd" --state "$dir/a" --control "$dir/other.sock"
refused 1 "another dnetd serves it" ip netns exec "$id-a" "$build/dnetd" --state "$dir/other" --control "$dir/a.sock"
call a join '{"id": "dnet1nonsense"}' 2>&1 | grep -q "is not the id of a dnet" || die "a bad id is not refused"
call a join '{}' 2>&1 | grep -q "which dnet" || die "a missing id is not refused"
call a leave '{"id": "dnet9"}' 2>&1 | grep -q "not a dnet that this node has joined" || die "leave of a stranger"
call a ping '{"node": "x", "timeout_ms": 60001}' 2>&1 | grep -q "timeout_ms is 1 to 60000" || die "a timeout past the limit"
call a ping '{"node": "x"}' 2>&1 | grep -q "no dnet is joined" || die "ping without a dnet"
ok "a second dnetd on the same folder or socket, and bad requests"

kill "$pid"
wait "$pid"
echo broken >"$dir/a/node.json"
refused 1 "node.json:1 is damaged" ip netns exec "$id-a" "$build/dnetd" --state "$dir/a" --control "$dir/a.sock"
head -c 31 /dev/urandom >"$dir/a/master.key"
refused 1 "master.key is damaged (not 32 bytes)" ip netns exec "$id-a" "$build/dnetd" --state "$dir/a" --control "$dir/a.sock"
[ "$(stat -c %s "$dir/a/master.key")" = 31 ] || die "a damaged key was replaced"
ok "a damaged state folder is named and left as it is"
