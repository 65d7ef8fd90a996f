#!/usr/bin/env bash
# dnetd on a machine that fails: a full and a read-only disk, no descriptors, no memory, a chain.db that is locked, newer,
# cut, damaged or empty; two on one state folder. The flow to b goes on through all of it, and status says what is wrong.
#
#   a ── eth0 198.51.100.1 ══════ 198.51.100.2 eth0 ── b
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root

mkdir "$dir/a"
mount -t tmpfs -o size=1m,mode=700 none "$dir/a" || skip "cannot mount"
disk=$dir/a
trap 'status=$?; umount -l "$disk" 2>/dev/null; (exit $status); cleanup' EXIT

netns a
netns b
veth a 198.51.100.1/24 b 198.51.100.2/24
chain init
dnet=$(chain dnet office 10.77.0.0/24)
other=$(chain dnet other 10.78.0.0/24)
start b
key_b=$(call b id "{\"dnet\": \"$dnet\"}" | jq -r .key)
port_b=$(call b status | jq .port)
start a
key_a=$(call a id "{\"dnet\": \"$dnet\"}" | jq -r .key)
chain node "$dnet" "$key_a" alice 10.77.0.1
chain node "$dnet" "$key_b" bob 10.77.0.2
chain height 110
call a join "{\"id\": \"$dnet\"}" >/dev/null || die "join"
call b join "{\"id\": \"$dnet\"}" >/dev/null || die "join"
again()
{
	start a --peer-endpoint "$key_b 198.51.100.2:$port_b"
}
flows()
{
	within "${1:-2}" in_ns a ping -c1 -W0.3 10.77.0.2 || die "nothing flows: $2: $(call a status)"
}
stop a
again
flows 5 "at the beginning"
state_of_a()
{
	(cd "$dir/a" && sha256sum master.key && jq -S 'del(.time)' node.json)
}
before=$(state_of_a)

# ---- Full disk
cat /dev/zero >"$dir/a/filler" 2>/dev/null
call a join "{\"id\": \"$other\"}" 2>&1 | grep -q "No space left" || die "a full disk is not said: $(call a join "{\"id\": \"$other\"}" 2>&1)"
carol=$(printf '02%064x' 4096)
chain node "$dnet" "$carol" carol
within 2 is a status '{}' '.dnets[0].peers_total == 2' || die "a full disk keeps the records out"
[ "$(state_of_a)" = "$before" ] || die "a full disk changes the state folder"
flows 2 "full disk"
kill -9 "$pid"
wait "$pid" 2>/dev/null
again
flows 5 "started on a full disk"
! grep -q "$carol" "$dir"/a/copy-*.json || die "there was room in the full disk"
rm "$dir/a/filler"
within 10 grep -q "$carol" "$dir"/a/copy-*.json || die "the copy is not written when there is room"
call a join "{\"id\": \"$other\"}" >/dev/null || die "no join when there is room"
call a leave "{\"id\": \"$other\"}" >/dev/null || die "no leave"
[ "$(state_of_a)" = "$before" ] || die "the state folder is not as before"
ok "a full disk is said, everything goes on, also after a kill"

# ---- Read-only file system
kill -9 "$pid"
wait "$pid" 2>/dev/null
mount -o remount,ro "$dir/a" || die "cannot remount"
again
flows 5 "started on a read-only file system"
call a join "{\"id\": \"$other\"}" 2>&1 | grep -q "Read-only file system" || die "a read-only file system is not said"
stop a
mount -o remount,rw "$dir/a"
again
flows 5 "after the read-only file system"
ok "a read-only file system is said, and what is known is served from it"

# ---- Two on one state folder
if ip netns exec "$id-a" "$build/dnetd" --state "$dir/a" --control "$dir/second.sock" --chain-db "$dir/chain/chain.db" --chainwatch "" \
	>"$dir/second" 2>&1; then
	die "two on one state folder"
fi
grep -q "$pid" "$dir/second" || die "the pid of the first is not said: $(cat "$dir/second")"
ok "a second one on the state folder is refused with the pid of the first"

# ---- No descriptors: what is open goes on
prlimit --pid "$pid" --nofile=8:1024
mv "$dir/chain/chain.db" "$dir/chain/moved" && cp "$dir/chain/moved" "$dir/chain/chain.db"
flows 2 "no descriptors"
in_ns a ip link set dnet0 mtu 1300
within 2 sh -c "ip -n $id-a -j link show dev dnet0 | jq -e '.[0].mtu == 1400'" || die "no repair without descriptors"
prlimit --pid "$pid" --nofile=1024:1024
within 5 is a status '{}' '.chain.error == null' || die "does not come back with descriptors: $(call a status)"
flows 2 "descriptors again"
ok "without descriptors what is open goes on"

# ---- No memory: an end with the reason, or it goes on
prlimit --pid "$pid" --as=1048576:unlimited
for n in 1 2 3; do
	chain node "$dnet" "$(printf '02%064x' $((5000 + n)))" "m$n"
	call a status >/dev/null 2>&1
done
if kill -0 "$pid" 2>/dev/null; then
	prlimit --pid "$pid" --as=unlimited:unlimited
else
	wait "$pid"
	grep -qi "memory" "$dir/a.log" || die "ended without memory and without a word: $(tail -n 3 "$dir/a.log")"
	again
fi
flows 5 "after no memory"
ok "without memory it goes on or ends with the reason, and comes back as before"

# ---- chain.db that another program has to itself: packets do not wait
stop a
held=$dir/held/chain.db
mkdir "$dir/held" && sqlite3 "$dir/chain/chain.db" "VACUUM INTO '$held'" "PRAGMA user_version" >/dev/null || die "no copy of chain.db"
exec {hold}> >(exec sqlite3 "$held" >/dev/null 2>&1)
holder=$!
pids+=("$holder")
printf 'PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;\n' >&$hold
locked()
{
	! sqlite3 "$held" 'SELECT 1 FROM meta'
}
within 5 locked || die "cannot lock chain.db"
start a --peer-endpoint "$key_b 198.51.100.2:$port_b" --chain-db "$held"
within 3 is a status '{}' '.chain.error | test("chain.db: database is locked")' || die "a locked chain.db is not said: $(call a status)"
flows 5 "a locked chain.db"
longest=$(in_ns a ping -i0.02 -c150 -W5 10.77.0.2 | sed -n 's|^rtt [^=]*= [^/]*/[^/]*/\([0-9]*\).*|\1|p')
[ "${longest:-5000}" -lt $((200 * patience)) ] || die "packets wait for chain.db: up to ${longest:-?} ms"
printf "ROLLBACK;\n.quit\n" >&$hold
exec {hold}>&-
wait "$holder" 2>/dev/null
within 3 is a status '{}' '.chain.error == null' || die "does not go on with chain.db: $(call a status)"
stop a
again
flows 5 "with the chain.db of before"
ok "a locked chain.db is said, and no packet waits for it"

# ---- chain.db
damaged()
{
	within 3 is a status '{}' ".chain.error | test(\"$2\")" || die "$1 is not said: $(call a status | jq .chain)"
	flows 2 "$1"
	kill -9 "$pid"
	wait "$pid" 2>/dev/null
	again
	flows 5 "$1, after a kill"
	is a status '{}' '.dnets[0].from_copy and (.chain.error != null)' >/dev/null || die "$1, after a kill, is not said: $(call a status)"
}
sqlite3 "$dir/chain/chain.db" 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
rm -rf "$dir/good" && cp -r "$dir/chain" "$dir/good"
put()
{
	# In the same folder: dnetd may read no other one that takes its place.
	cat >"$dir/next.db" && rm -f "$dir"/chain/chain.db* && mv "$dir/next.db" "$dir/chain/chain.db"
}
restore()
{
	put <"$dir/good/chain.db"
	within 3 is a status '{}' '.chain.error == null and (.dnets[0].from_copy | not)' || die "not taken again: $(call a status)"
}
head -c 5000 "$dir/good/chain.db" | put
damaged "a cut chain.db" "chain.db"
restore
head -c 40000 /dev/urandom | put
damaged "a chain.db of noise" "not a database"
restore
put </dev/null
damaged "an empty chain.db" "chain.db"
restore
cp "$dir/good/chain.db" "$dir/newer" && sqlite3 "$dir/newer" "UPDATE meta SET value = 99 WHERE name = 'schema'; PRAGMA wal_checkpoint(TRUNCATE)" >/dev/null
put <"$dir/newer"
damaged "a newer chain.db" "schema"
restore
ok "a cut, damaged, empty or newer chain.db: said, the last known state serves on, and the good one is taken again"

stop a
[ "$(state_of_a)" = "$before" ] || die "the state folder is not as before"
