#!/usr/bin/env bash
# What each daemon is left with once it serves (doc/threat-model.md, "Privilege"), as the kernel says; and that nobody else reads its
# memory, and that no secret is in a log.
#
#   a ── 198.51.100.1 ═════ 198.51.100.2 ── s
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root
# As /run/dnet is made: of root, the daemons' group may add to it.
mode=$(awk '$2 == "/run/dnet" {print $3}' "${top_srcdir:-$here/../..}/contrib/systemd/dnet.tmpfiles.conf")
chgrp 65534 "$dir"
chmod "$mode" "$dir"
chmod 755 "$dir/chain"

# field PID NAME: of /proc/PID/status.
field()
{
	sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status" | tr '\t' ' '
}

# left_with PID WHO USER CAPABILITIES
left_with()
{
	local f

	[ "$(field "$1" Uid)" = "$3 $3 $3 $3" ] || die "$2: user $(field "$1" Uid)"
	for f in CapEff CapPrm CapBnd; do
		[ "$(field "$1" $f)" = "$4" ] || die "$2: $f is $(field "$1" $f), not $4"
	done
	for f in CapInh CapAmb; do
		[ "$(field "$1" $f)" = 0000000000000000 ] || die "$2: $f is $(field "$1" $f)"
	done
	[ "$(field "$1" NoNewPrivs)" = 1 ] || die "$2 may gain privileges"
	[ "$(field "$1" Seccomp)" = 2 ] || die "$2 has no seccomp filter"
	[ "$3" = 0 ] || [ "$(field "$1" Groups | tr -d ' ')" = 65534 ] || [ -z "$(field "$1" Groups | tr -d ' ')" ] ||
		die "$2 keeps groups: $(field "$1" Groups)"
	# All threads, not only the first.
	for f in /proc/"$1"/task/*/status; do
		grep -q '^Seccomp:[[:space:]]2' "$f" || die "$2: a thread without the filter"
		grep -q "^CapEff:[[:space:]]$4" "$f" || die "$2: a thread with other capabilities"
		grep -q "^Uid:[[:space:]]$3[[:space:]]" "$f" || die "$2: a thread of another user"
	done
	grep -q '^Max core file size *0 *0 ' "/proc/$1/limits" || die "$2 may leave a core"
	secret_memory "$1" "$2"
}

# Not even its own user: it is not dumpable.
secret_memory()
{
	local found

	found=$(python3 "$here/pry.py" "$1" 2>&1) || die "user nobody gets at $2: $found"
}

child_of()
{
	cat "/proc/$1/task/$1/children"
}

netns a
netns s
veth a 198.51.100.1/24 s 198.51.100.2/24
office 198.51.100.2
# As in the example units: who reads chain.db is of the user that it belongs to (its WAL index is written by readers too).
chown -R nobody "$dir/chain"
helper ovc "$ovc" 4242 --user nobody --log-level debug
pid_ovc=$pid
helper ovr "$ovr" 4243 --user nobody --log-level debug
pid_ovr=$pid
start a --user nobody --log-level debug
pid_dnetd=$pid
chain node "$dnet" "$(call a id "{\"dnet\": \"$dnet\"}" | jq -r .key)" alice 10.77.0.1
chain height 110
call a join "{\"id\": \"$dnet\"}" >/dev/null || die "join"
within 15 is ovc status '{}' '.tenants[0].registered == 1' || die "not registered: $(call ovc status)"

left_with "$pid_ovc" ovcd 65534 0000000000000000
left_with "$pid_ovr" ovrd 65534 0000000000000000
left_with "$pid_dnetd" "dnetd engine" 65534 0000000000000000
for one in "$pid_ovc" "$pid_ovr" "$pid_dnetd"; do
	[ "$(field "$one" VmLck)" != "0 kB" ] || die "the key of $(cat "/proc/$one/comm") may be swapped out"
done
ok "ovcd, ovrd and the engine of dnetd: user nobody, no capability, no new privileges, filtered, no core, not to be read or traced, key never swapped"

root=$(child_of "$pid_dnetd")
root=${root// /}
left_with "$root" "dnetd root helper" 0 0000000000001000
# Its end of the pair, its netlink socket, its log, the folder of its sysctls; no UDP, no TUN, no other file.
for fd in /proc/"$root"/fd/*; do
	to=$(readlink "$fd")
	case $to in
	/dev/null | pipe:* | socket:* | "$dir/a.log" | anon_inode:* | /proc/sys/net/ipv6/conf) ;;
	*) die "the root helper holds $to" ;;
	esac
done
! ss -Hanp --udp -N "$id-a" 2>/dev/null | grep -q "pid=$root," || die "the root helper holds a UDP socket"
ok "the root helper of dnetd: CAP_NET_ADMIN alone, filtered, no core, no file and no UDP socket"

ip netns exec "$id-s" "$build/chainwatch/chainwatch" -c /dev/null --user nobody --log-level debug --state "$dir/watch" --control "$dir/watch.sock" \
	--chain litecoin-regtest --rpc-url http://127.0.0.1:9 --rpc-user alice --rpc-password watch-secret-word --db "$dir/watch/chain.db" >>"$dir/watch.log" 2>&1 &
pid=$!
pids+=("$pid")
within 5 call watch status || die "chainwatch does not start"
left_with "$pid" chainwatch 65534 0000000000000000
ok "chainwatch: the same"

# What SQLite cannot sort in its cache goes to a file of /tmp otherwise, which no daemon may make.
sqlite3 "$dir/chain/chain.db" "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
	INSERT INTO node SELECT object, key, name, ipv4, ipv6, flags, subject, record, sequence, from_height, 110, txid, tx_index, vout, pos
	FROM (SELECT * FROM node LIMIT 1), n"
chown nobody "$dir"/chain/*
chain height 111
within 5 is a status '{}' '.chain.height == 111 and .chain.error == null' || die "a large chain.db: $(call a status | jq -c .chain)"
! grep "unable to open\|temporary" "$dir"/*.log || die "a large chain.db is not read"
ok "a chain.db with 30,000 records of one dnet is read inside too"

# Everything the daemons say, at level debug and by their sockets.
call a status >>"$dir/said.log"
for one in "a peers" "a counters" "ovc status" "ovc counters" "ovr status" "ovr counters" "watch status"; do
	# shellcheck disable=SC2086 # two words
	call $one >>"$dir/said.log"
done
grep -q 'debug' "$dir/a.log" || die "level debug says nothing"
secrets=0
for file in "$dir/a/master.key" "$dir/ovc/service.key" "$dir/ovr/service.key"; do
	[ "$(stat -c %a "$file")" = 600 ] || die "mode of $file: $(stat -c %a "$file")"
	hex=$(grep -oEm1 '[0-9a-f]{64}' "$file" || xxd -p -c 64 "$file")
	[ ${#hex} -ge 64 ] || die "what is in $file?"
	! grep -qiF "${hex:0:32}" "$dir"/*.log || die "a secret is in a log: $file"
	secrets=$((secrets + 1))
done
[ $secrets = 3 ] || die "$secrets secrets found"
! grep -q watch-secret-word "$dir"/*.log || die "the password of the chain node is in a log"
ok "no secret key or password in what they log at level debug or answer"

# Each takes its own socket away, and nobody else's.
sockets=$(find "$dir" -maxdepth 1 -name "*.sock" | wc -l)
[ "$sockets" = 4 ] || die "$sockets control sockets"
for file in "$dir"/*.sock; do
	! setpriv --reuid 64001 --regid 65534 --clear-groups rm -f "$file" 2>/dev/null || die "a member of the group takes ${file##*/} away"
	[ "$(stat -c %U "$file")" = nobody ] || die "${file##*/} is $(stat -c %U "$file")'s"
done
for process in "${pids[@]}"; do
	! kill "$process" 2>/dev/null || wait "$process" || die "$process ends with status $?: $(tail -n 3 "$dir"/*.log)"
done
[ -z "$(find "$dir" -maxdepth 1 -name "*.sock")" ] || die "stays: $(ls "$dir"/*.sock)"
ok "control sockets: their own users take them away, others of the group cannot"
