#!/usr/bin/env bash
# A hundred changes from outside a second: repaired at the end, few lines in the log, little time of the processor; and
# changes of which the kernel lost the news.
#
#   a ── eth0 198.51.100.1 ══════ 198.51.100.2 eth0 ── b
#   └ dnet0 10.77.0.1, fd…
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root

seconds=${DNET_STORM_SECONDS:-8}
pace=0.01

netns a
netns b
veth a 198.51.100.1/24 b 198.51.100.2/24
before=$(snapshot a)
chain init
dnet=$(chain dnet office 10.77.0.0/24)
start a
chain node "$dnet" "$(call a id "{\"dnet\": \"$dnet\"}" | jq -r .key)" alice 10.77.0.1
chain height 110
call a join "{\"id\": \"$dnet\"}" >/dev/null || die "join"

complete()
{
	is a status '{}' '.dnets[0] | .state == "up" and (.parts | all(.error == null and .applied))' >/dev/null &&
		in_ns a ip -j addr show dev dnet0 | jq -e '.[0] | .mtu == 1400 and (.flags | index("UP")) and (.addr_info | length == 2)' &&
		[ "$(in_ns a ip -j route show proto 157 dev dnet0 | jq length)" = 1 ] &&
		[ "$(in_ns a ip -j rule show table 52000 | jq length)" = 1 ]
}

# Hundredths of a second that the engine and its root helper have run.
run_time()
{
	cat "/proc/$pid/stat" "/proc/$(pgrep -P "$pid")/stat" | awk '{ t += $14 + $15 } END { print t }'
}

within 5 complete || die "not up: $(call a status)"
lines=$(wc -l <"$dir/a.log")
ran=$(run_time)
# The pauses are the load: a hundred a second. What is gone already cannot be changed: that is fine.
for ((i = 0; i < seconds * 25; i++)); do
	echo "link set dnet0 mtu $((1300 + i % 50))"
	sleep "$pace"
	echo "addr del 10.77.0.1/32 dev dnet0"
	sleep "$pace"
	echo "route del 10.77.0.0/24 dev dnet0 proto 157"
	sleep "$pace"
	echo "link set dnet0 txqueuelen $((7 + i % 50))"
	sleep "$pace"
done | in_ns a ip -force -batch - 2>/dev/null
within 1 complete || die "not repaired: $(call a status)"
ran=$(($(run_time) - ran))
lines=$(($(wc -l <"$dir/a.log") - lines))
echo "$((seconds * 100)) changes in $seconds s: $lines lines of log, $((ran * 10)) ms of processor time"
# A part may say 60 things a minute; a minute may end on the way.
[ "$lines" -lt 500 ] || die "a storm in the log: $lines lines"
[ "$(grep -c ' mtu was changed from outside' "$dir/a.log")" -le 120 ] || die "a storm in the log"
[ "$ran" -lt $((seconds * 50)) ] || die "more than half a processor"
ok "a hundred changes a second: repaired at the end, few lines, little time"

# Held, until the kernel has no room for more news of another interface; the change of ours is among what was lost.
drops()
{
	# shellcheck disable=SC2016 # of awk
	in_ns a awk '$2 == 0 { n += $9 } END { print n + 0 }' /proc/net/netlink
}
lost=$(drops)
kill -STOP "$pid"
for ((i = 0; i < 2000; i++)); do
	echo "link set lo mtu $((60000 + i))"
done | in_ns a ip -batch - || die "cannot change the loopback"
[ "$(drops)" -gt "$lost" ] || die "the kernel has lost nothing"
in_ns a ip addr del 10.77.0.1/32 dev dnet0
in_ns a ip rule del from 10.77.0.1 lookup 52000
kill -CONT "$pid"
within 1 complete || die "what was lost is not repaired: $(call a status) $(in_ns a ip addr)"
ok "news that the kernel lost: looked at all, repaired"

in_ns a ip link set lo mtu 65536
stop a
[ "$(snapshot a)" = "$before" ] || die "the end left: $(diff <(echo "$before") <(snapshot a))"
ok "after it: byte for byte as before"
