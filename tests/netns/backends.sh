#!/usr/bin/env bash
# The promises of the network and of the reconciler over one backend, which the tests backend_*.sh give: sourced with its name.
# The same for all; what a backend really does in another way is in this table (doc/backends.md), and is tested as it is there.
#
#   backend    program              interface made by  bytes of a peer  path
#   native     none: dnetd itself   dnetd              counted          direct
#   wireguard  wireguard-go         dnetd              counted          direct, or a bridge through the control plane
#   tinc       tincd                tincd              not counted      direct: the member behind the NAT connects to the others
#   exec       Nebula, IPv4 alone   Nebula             not counted      direct, as tinc; the age of a handshake is not known
#
#   a ── 198.51.100.1 ═╗
#   b ── 198.51.100.2 ═╬═ s: ovcd, ovrd 198.51.100.10
#   n ── 198.51.100.3 ═╝
#   └ NAT ── c 10.1.0.2
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root

backend=$1
program='' # its name as the kernel has it; '': none
counts=yes # the bytes of each peer
families=46 # that the backend carries
age='!=' # of a handshake: known
paths='.path == "direct" and .endpoint != null'
case $backend in
native) options=() parts=(engine helper all) ;;
exec) options=(--exec-program "$(cd "$here/../../contrib/examples" && pwd)/exec-nebula") parts=(engine helper spawner all program) program=nebula counts=no families=4 age='==' ;;
tinc) options=() parts=(engine helper spawner all program) program=tincd counts=no ;;
wireguard) options=() parts=(engine helper spawner all program) program=wireguard-go paths='(.path == "direct" and .endpoint != null or .path == "bridge")' ;;
*) die "no backend '$backend' is known here" ;;
esac

declare -A pid_of key ip6 ip4=([a]=10.77.0.1 [b]=10.77.0.2 [c]=10.77.0.3) name=([a]=alice [b]=bob [c]=carol)
pairs="a:b b:a a:c c:a b:c c:b"

# ---- The daemons ----

# prefix WHO: of its interfaces: programs of several members find room beside each other in the one file system of this test.
prefix()
{
	echo "t$$$1"
}

# begin WHO [OPTION...]: its dnetd; c reads a chain.db of its own, and whoever is told to one in the folder $from. Without options, with those of this backend.
begin()
{
	local who=$1 db=$dir/chain/chain.db

	shift
	[ $# -gt 0 ] || set -- --backend "$backend" "${options[@]}"
	[ "$who" != c ] || db=$dir/chain-c/chain.db
	[ -z "${from:-}" ] || db=$from/chain.db
	ip netns exec "$id-$who" "$build/dnetd" -c /dev/null --state "$dir/$who" --control "$dir/$who.sock" --chain-db "$db" --chainwatch "" \
		--interface-prefix "$(prefix "$who")" "$@" >>"$dir/$who.log" 2>&1 &
	pid=$!
	pids+=("$pid")
	pid_of[$who]=$pid
	within 5 answers "$who" || die "dnetd of $who does not start"
}

finish()
{
	kill "${pid_of[$1]}"
	wait "${pid_of[$1]}" || die "dnetd of $1 ends with status $?"
}

# What c reads is what the chain says now.
chain_for_c()
{
	mkdir -p "$dir/chain-c"
	rm -f "$dir/chain-c/"*
	sqlite3 "$dir/chain/chain.db" ".backup $dir/chain-c/chain.db" && sqlite3 "$dir/chain-c/chain.db" "PRAGMA journal_mode = WAL" >/dev/null ||
		die "cannot copy chain.db"
}

# interface WHO: of the first backend.
interface()
{
	call "$1" status | jq -r '.dnets[0].interface'
}

# ---- What has to be so ----

# reach FROM TO: one answered ping each over IPv4 and IPv6.
reach()
{
	in_ns "$1" ping -qc1 -W1 "${ip4[$2]}" && { [ $families = 4 ] || in_ns "$1" ping -qc1 -W1 "${ip6[$2]}"; }
}

# all_reach PAIR...: all at once.
all_reach()
{
	local pair running=() status=0

	for pair in "$@"; do
		reach "${pair%:*}" "${pair#*:}" >/dev/null 2>&1 &
		running+=($!)
	done
	for pair in "${running[@]}"; do
		wait "$pair" || status=1
	done
	return $status
}

silent()
{
	! in_ns "$1" ping -qc1 -W0.3 "${ip4[$2]}" >/dev/null 2>&1 && ! in_ns "$1" ping -qc1 -W0.3 "${ip6[$2]}" >/dev/null 2>&1
}

looks()
{
	local who

	for who in a b c; do
		call $who peers | jq -c '.[] | [.name, .state, .backend, .path, .endpoint, .reason]'
	done
}

# peer WHO OF JQ: what `dnet peers` of WHO says of OF fulfils the condition.
peer()
{
	is "$1" peers '{}' ".[] | select(.name == \"${name[$2]}\") | $3"
}

bytes()
{
	call "$1" peers | jq ".[] | select(.name == \"${name[$2]}\") | .$3"
}

# sends FROM TO FAMILY: a file over TCP, which comes whole.
sends()
{
	local to="TCP$3-LISTEN:4711,reuseaddr" at=${ip4[$2]} receiver

	[ "$3" = 4 ] || at="[${ip6[$2]}]"
	in_ns "$2" timeout 60 socat -u "$to" "CREATE:$dir/copy-$2-$3" &
	receiver=$!
	within 5 sh -c "ip netns exec $id-$2 ss -Htln | grep -q :4711" || die "no listener at $2"
	in_ns "$1" timeout 60 socat -u "OPEN:$dir/file" "TCP$3:$at:4711" || die "TCP/IPv$3 from $1 to $2: $(looks)"
	wait $receiver
	cmp -s "$dir/file" "$dir/copy-$2-$3" || die "what came from $1 to $2 over IPv$3 is not what was sent"
	rm "$dir/copy-$2-$3"
}

# at WHO: its address for the stream.
at()
{
	[ $families = 4 ] && echo "${ip4[$1]}" || echo "[${ip6[$1]}]"
}

# A stream of numbered lines from a to b, 20 a second, which has to come whole at its end.
stream_begins()
{
	rm -f "$dir/stream.stop" "$dir/stream.in"
	in_ns b socat -u "TCP${families: -1}-LISTEN:4712,reuseaddr" "CREATE:$dir/stream.in" &
	listener=$!
	pids+=("$listener")
	within 5 sh -c "ip netns exec $id-b ss -Htln | grep -q :4712" || die "no listener"
	{
		n=0
		# The stop is looked for 20 times a second; the fact decides.
		until [ -e "$dir/stream.stop" ] || ! sleep 0.05; do
			echo $((n += 1))
		done
	} | tee "$dir/stream.out" | in_ns a socat -u - "TCP${families: -1}:$(at b):4712" &
	stream=$!
	pids+=("$stream")
	stream_runs
}

has_lines()
{
	[ "$(wc -l <"$dir/stream.in")" -gt "$1" ]
}

# stream_runs: more lines come than have come.
stream_runs()
{
	local lines=0

	within 5 test -s "$dir/stream.in" || die "no stream from a to b"
	lines=$(wc -l <"$dir/stream.in")
	within 5 has_lines "$((lines + 5))" || die "the stream from a to b stands still: $(looks)"
}

stream_ends()
{
	touch "$dir/stream.stop"
	wait $stream || die "the stream from a to b broke"
	wait $listener
	cmp -s "$dir/stream.out" "$dir/stream.in" || die "the stream from a to b lost something"
}

complete()
{
	is "$1" status '{}' '.state == "ok" and (.dnets[0] | .state == "up" and (.parts | all(.error == null)) and
		(.backends | all(.error == null)))'
}

# The state folder, but for the time that is kept.
state_of()
{
	(cd "$dir/$1" && find . ! -name . -printf '%p %m %u\n' | sort && sha256sum master.key && jq -S 'del(.time)' node.json)
}

# All of a machine that a member changes: what the kernel has, and the folders where programs leave sockets and pids.
whole()
{
	snapshot "$1"
	find /run /var/run /tmp -maxdepth 2 -name "*$(prefix "$1")*" 2>/dev/null
}

as_before()
{
	[ "$(whole a)" = "$before" ]
}

# others: processes in the namespace of a member beside what this test runs there.
others()
{
	ip netns pids "$id-$1" | xargs -r -n1 sh -c 'cat /proc/$0/comm' 2>/dev/null | grep -v '^\(ping\|socat\|sh\|cat\|ip\)$'
}

daemons()
{
	others "$1" | sort | xargs
}

no_process()
{
	[ -z "$(others "$1")" ]
}

# ---- The promises ----

joined()
{
	local who

	office 198.51.100.10
	helper ovc "$ovc" 4242
	helper ovr "$ovr" 4243
	chain_for_c
	for who in a b c; do
		begin $who
		key[$who]=$(call $who id "{\"dnet\": \"$dnet\"}" | jq -r .key)
		chain node "$dnet" "${key[$who]}" "${name[$who]}" "${ip4[$who]}"
	done
	state_before=$(state_of a)
	chain height 110
	chain_for_c
	for who in a b c; do
		call $who join "{\"id\": \"$dnet\"}" >/dev/null || die "join of $who"
		ip6[$who]=$(call $who id | jq -r .ipv6)
	done
	# shellcheck disable=SC2086 # a list
	within 20 all_reach $pairs || die "not all reach each other: $(looks) $(call a status)"
	for who in a b c; do
		within 5 complete $who || die "$who is not as wanted: $(call $who status)"
	done
	ok "$backend: three members, one behind a NAT: ping over IPv$families, all pairs, both ways"
}

transfers()
{
	head -c 5000000 /dev/urandom >"$dir/file"
	sends a b 4
	sends b c "${families: -1}"
	sends c a 4
	ok "$backend: 5 MB over TCP between all, unchanged"
}

bytes_rise()
{
	local rx tx

	rx=$(bytes a c rx_bytes) tx=$(bytes a c tx_bytes)
	in_ns a ping -qc1 -s 1000 "${ip4[c]}" >/dev/null || die "no ping from a to c"
	within 5 peer a c ".rx_bytes >= $rx + 1000 and .tx_bytes >= $tx + 1000" || die "the bytes do not rise: $rx $tx $(call a peers)"
}

shown()
{
	local pair from to bytes

	for pair in $pairs; do
		from=${pair%:*} to=${pair#*:}
		within 5 peer "$from" "$to" ".state == \"connected\" and .backend == \"$backend\" and $paths and
			.last_handshake_s $age null and (.reason | length > 0)" || die "$from says of $to: $(looks)"
	done
	is a why '{"node": "bob"}' ".backend == \"$backend\" and (.choice | startswith(\"$backend is the first that \")) and (.candidates | length > 0)" >/dev/null ||
		die "why: $(call a why '{"node": "bob"}')"
	if [ "$counts" = no ]; then
		peer a c '.rx_bytes == null and .tx_bytes == null' >/dev/null || die "$backend counts bytes: $(call a peers)"
		bytes='bytes are not counted, and not said'
	else
		bytes_rise
		bytes='bytes rise'
	fi
	is a status '{}' ".dnets[0] | .peers_connected == 2 and .backend == \"$backend\" and .backends[0].name == \"$backend\" and
		.backends[0].applied and (.parts | map(.part) | index(\"$backend\") != null)" >/dev/null || die "status: $(call a status)"
	ok "$backend: status and peers name the backend and the path; $bytes"
}

# ours: all of the interface, and the rules to its table, without what changes when it is made anew.
ours()
{
	in_ns a sh -c "ip -d -j link show dev $if_a; ip -d -j addr show dev $if_a; ip -j route show table all dev $if_a
		ip -j -6 route show table all dev $if_a; ip -j rule show table 52000; ip -j -6 rule show table 52000
		cd /proc/sys/net/ipv6/conf/$if_a && cat disable_ipv6 accept_ra addr_gen_mode router_solicitations" 2>&1 |
		sed 's/"ifindex":[0-9]*//g; s/"expires":[0-9]*//g; s/"operstate":"UP"/"operstate":"UNKNOWN"/'
}

as_made()
{
	[ "$(ours)" = "$made" ]
}

# repairs N: what the log says of repairs after its first N bytes, without the time.
repairs()
{
	tail -c "+$(($1 + 1))" "$dir/a.log" | grep 'repaired\|deleted from outside' | cut -d' ' -f2-
}

repaired()
{
	local change=$1 length since ms

	length=$(stat -c %s "$dir/a.log")
	in_ns a env "if=$if_a" "ns=$id" sh -ec "$change" || die "cannot: $change"
	since=$(date +%s%N)
	within 1 as_made || die "not repaired: $change: $(diff <(echo "$made" | tr , '\n') <(ours | tr , '\n')) $(tail -n 5 "$dir/a.log")"
	ms=$((($(date +%s%N) - since) / 1000000))
	[ $ms -lt "$slowest" ] || slowest=$ms
	# Another look at all of it, which a change elsewhere asks for, says nothing.
	in_ns a ip link set "$if_a" alias look
	in_ns a ip link set "$if_a" alias ""
	call a status >/dev/null
	as_made || die "not stable: $change"
	[ -n "$(repairs "$length")" ] || die "not logged: $change"
	[ -z "$(repairs "$length" | sort | uniq -d)" ] || die "logged twice: $change: $(repairs "$length")"
}

drift()
{
	local change

	slowest=0
	if_a=$(interface a)
	made=$(ours)
	while read -r change; do
		repaired "$change"
	done <<'D'
ip addr del 10.77.0.1/32 dev $if
ip -6 addr flush dev $if
ip addr add 10.77.0.99/32 dev $if
ip route del 10.77.0.0/24 dev $if proto 157
ip route add 10.77.0.128/25 dev $if proto 157
ip -6 route flush table 52000
ip rule del from 10.77.0.1 lookup 52000
ip link set $if mtu 1000
ip link set $if txqueuelen 7
ip link set $if down
ip link set $if down; ip link set $if name mine0
ip link set $if promisc on
ip link set $if addrgenmode eui64
sysctl -qw net.ipv6.conf.$if.disable_ipv6=1
ip link set $if netns $ns-b
ip link del $if
D
	within 10 all_reach a:b b:a a:c c:a || die "no ping after the repairs: $(looks)"
	ok "$backend: each change from outside is repaired by itself ($slowest ms at most) and logged once"
}

# It is back by itself, as another process, and whoever has nothing to do with it sees nothing.
other_program()
{
	local now

	now=$(pid_named c "$program") && [ "$now" != "$1" ]
}

killed_program()
{
	local child

	if [ -z "$program" ]; then
		[ "$(daemons a)" = "dnetd dnetd-root" ] || die "$backend has programs: $(daemons a)"
		ok "$backend: has no program beside dnetd"
		return
	fi
	stream_begins
	child=$(pid_named c "$program") || die "$program of c is not there: $(others c)"
	kill -9 "$child"
	within 10 other_program "$child" || die "$program is not started again: $(tail -n 5 "$dir/c.log")"
	within 10 all_reach c:a a:c c:b b:c || die "c does not come back: $(looks)"
	within 5 complete c || die "c is not as wanted: $(call c status)"
	stream_ends
	ok "$backend: $program killed: back by itself, and the stream of two others went on"
}

without_chain()
{
	mv "$dir/chain" "$dir/away"
	finish a
	begin a
	within 10 all_reach a:b b:a a:c c:a || die "no ping without chain.db: $(looks) $(call a status)"
	is a status '{}' '.dnets[0].from_copy and (.chain.error | contains("chain.db"))' >/dev/null || die "status does not say it: $(call a status)"
	mv "$dir/away" "$dir/chain"
	within 3 is a status '{}' '.chain.error == null and (.dnets[0].from_copy | not)' || die "chain.db is not taken again: $(call a status)"
	ok "$backend: without chain.db the last known state is in force, and everybody is reached"
}

# c goes on as a member: its chain.db says nothing of its removal.
removed()
{
	local since ms who

	cp -r "$dir/chain-c" "$dir/older"
	stream_begins
	for who in a b; do
		in_ns $who ping -D -i 0.05 "${ip4[c]}" >"$dir/$who-c.ping" 2>&1 &
		pids+=($!)
		pinging[$who]=$!
		within 5 grep -q "bytes from" "$dir/$who-c.ping" || die "no ping before the removal"
	done
	since=$(($(date +%s%N) / 1000000))
	chain del "$dnet" "${key[c]}"
	for who in a b; do
		within 2 silent $who c || die "$who still reaches the removed node: $(looks)"
		within 2 silent c $who || die "the removed node still reaches $who: $(looks)"
		! peer $who c true >/dev/null || die "the removed node is a peer of $who: $(looks)"
	done
	kill "${pinging[@]}"
	wait "${pinging[@]}" 2>/dev/null
	ms=0
	for who in a b; do
		last=$(sed -n 's/^\[\([0-9]*\)\.\([0-9][0-9][0-9]\).*bytes from.*/\1\2/p' "$dir/$who-c.ping" | tail -n1)
		[ $((last - since)) -lt $ms ] || ms=$((last - since))
	done
	[ $ms -lt $((2000 * patience)) ] || die "the last answer came $ms ms after the removal"
	is c status '{}' '.dnets[0].state == "up"' >/dev/null || die "c knows of its removal: $(call c status)"
	stream_runs
	stream_ends
	ok "$backend: a node removed from the records is out at every member, last answer after $ms ms; the stream of two others went on"

	finish a
	from=$dir/older begin a
	within 10 all_reach a:b b:a || die "no ping with an older chain.db: $(looks) $(call a status)"
	all_silent || die "an older chain.db brings the removed node back: $(looks)"
	for who in a b; do
		finish $who
		begin $who
	done
	within 10 all_reach a:b b:a || die "no ping after a new start: $(looks)"
	all_silent || die "the removed node is back after a new start: $(looks)"
	ok "$backend: removed for ever: after new starts, and when chain.db is an older one"

	chain_for_c
	within 5 is c status '{}' '.dnets[0].state | startswith("waiting")' || die "c does not know: $(call c status)"
	within 5 has_no_interface c || die "the removed node has its interface yet: $(in_ns c ip -br link)"
	chain node "$dnet" "${key[c]}" carol "${ip4[c]}"
	chain height 120
	chain_for_c
	# shellcheck disable=SC2086 # a list
	within 20 all_reach $pairs || die "added again, not all reach each other: $(looks) $(call c status)"
	ok "$backend: added again by the owner, it is back"
}

all_silent()
{
	silent a c && silent c a && silent b c && silent c b
}

has_no_interface()
{
	! in_ns "$1" ip -br link | grep -q "^$(prefix "$1")"
}

# kill_parts WHO: of the processes of dnetd of a; the root helper is held when it could clean up.
kill_parts()
{
	local engine=${pid_of[a]} children=()

	mapfile -t children < <(pgrep -P "$engine")
	case $1 in
	engine) kill -9 "$engine" ;;
	helper) kill -9 "$(pid_named a dnetd-root)" ;;
	spawner) kill -9 "$(pid_named a dnetd-spawn)" ;;
	all) kill -STOP "${children[@]}" && kill -9 "$engine" "${children[@]}" ;;
	program) kill -9 "$(pid_named a "$program")" "$engine" ;;
	esac
	wait "$engine" 2>/dev/null
}

left()
{
	local who

	for who in "${parts[@]}"; do
		kill_parts "$who"
		within 5 no_process a || die "SIGKILL of $who leaves processes: $(others a)"
		# Of a dnet that it was killed at leaving.
		[ -z "$program" ] || mkdir -p "$dir/a/backend/$(prefix a)7/hosts"
		begin a
		within 10 all_reach a:b b:a || die "no ping after SIGKILL of $who: $(looks)"
		within 5 complete a || die "SIGKILL of $who: not as wanted: $(call a status)"
		call a leave "{\"id\": \"$dnet\"}" >/dev/null || die "leave"
		within 2 as_before || die "SIGKILL of $who, start, leave left: $(diff <(echo "$before") <(whole a))"
		[ "$(state_of a)" = "$state_before" ] || die "SIGKILL of $who, start, leave left: $(diff <(echo "$state_before") <(state_of a))"
		[ "$(daemons a)" = "dnetd dnetd-root${program:+ dnetd-spawn}" ] || die "leave left processes: $(daemons a)"
		call a join "{\"id\": \"$dnet\"}" >/dev/null || die "join"
		within 10 all_reach a:b b:a || die "no ping after joining again: $(looks)"
	done
	finish a
	as_before || die "the end left: $(diff <(echo "$before") <(whole a))"
	no_process a || die "the end left processes: $(others a)"
	ok "$backend: ${parts[*]} killed, start, leave: links, routes, rules, nftables, files and processes byte for byte as before"
}

declare -A pinging
machines
before=$(whole a)
joined
transfers
shown
drift
killed_program
without_chain
removed
left
