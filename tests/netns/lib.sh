# shellcheck shell=bash
# Sourced by the tests of this folder: namespaces with names of their own, daemons ended by pid, everything cleaned up.

set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2154 # top_builddir comes from make
build=${top_builddir:-$(pwd)}
id=dt$$
dir=$(mktemp -d "/tmp/$id.XXXXXX")
mkdir "$dir/chain"
pids=()
namespaces=()

cleanup()
{
	local status=$? pid ns

	# Also when it is told twice: make passes a signal on to who had it already.
	trap '' INT TERM HUP
	trap - EXIT
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null
	done
	for pid in "${pids[@]}"; do
		wait "$pid" 2>/dev/null
	done
	for ns in "${namespaces[@]}"; do
		ip netns pids "$ns" 2>/dev/null | xargs -r kill -9 2>/dev/null
		ip netns del "$ns" 2>/dev/null
	done
	[ $status = 0 ] || [ $status = 77 ] || tail -n 30 "$dir"/*.log >&2 2>/dev/null
	rm -rf "$dir"
	exit $status
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

skip()
{
	echo "skip: $*"
	exit 77
}

die()
{
	echo "FAILED: $*" >&2
	exit 1
}

ok()
{
	echo "ok: $*"
}

need_root()
{
	[ "$(id -u)" = 0 ] || skip "needs root"
	[ -c /dev/net/tun ] || skip "needs /dev/net/tun"
	namespaces+=("$id-try")
	ip netns add "$id-try" 2>/dev/null || skip "cannot make network namespaces"
	ip netns del "$id-try"
}

# A busy machine gets so many times as long before a test fails.
patience=${DNET_PATIENCE:-5}

# within SECONDS COMMAND...: true as soon as the command is, false when the time is over.
within()
{
	local deadline=$(($(date +%s%N) + $1 * patience * 1000000000))

	shift
	# Asking again 50 times a second; the fact decides, not the pause.
	until "$@" >/dev/null 2>&1 || ! sleep 0.02; do
		[ "$(date +%s%N)" -lt $deadline ] || return 1
	done
}

# netns NAME: a namespace with its loopback up, known as $id-NAME.
netns()
{
	namespaces+=("$id-$1")
	ip netns add "$id-$1" || die "cannot make a namespace"
	in_ns "$1" sysctl -qw net.ipv6.conf.default.accept_dad=0
	ip -n "$id-$1" link set lo up
}

in_ns()
{
	local ns=$id-$1

	shift
	ip netns exec "$ns" "$@"
}

# veth A ADDRESS B ADDRESS: joins two namespaces, eth0 in both.
veth()
{
	ip link add eth0 netns "$id-$1" type veth peer name eth0 netns "$id-$3" || die "cannot make a veth"
	ip -n "$id-$1" addr add "$2" dev eth0
	ip -n "$id-$3" addr add "$4" dev eth0
	ip -n "$id-$1" link set eth0 up
	ip -n "$id-$3" link set eth0 up
	carrier "$1"
	carrier "$3"
}

# carrier NAME: its eth0 is up, which the kernel does a moment after it was told so; a snapshot shows it.
carrier()
{
	within 5 sh -c "ip -n $id-$1 -j link show dev eth0 | jq -e '.[0].operstate == \"UP\"'" || die "no carrier in $1"
}

# islands: a (198.51.100.1) and b (203.0.113.1) reach only s (.2 of both), which forwards nothing.
islands()
{
	netns a
	netns b
	netns s
	veth a 198.51.100.1/24 s 198.51.100.2/24
	ip -n "$id-s" link set eth0 name eth1
	veth b 203.0.113.1/24 s 203.0.113.2/24
	in_ns s sysctl -qw net.ipv4.ip_forward=0
	ip -n "$id-a" route add default via 198.51.100.2
	ip -n "$id-b" route add default via 203.0.113.2
}

# segment NAME [ADDRESS]: a switch in that namespace, which has the address on it.
segment()
{
	ip -n "$id-$1" link add br0 type bridge || skip "no bridges here"
	[ -z "${2:-}" ] || ip -n "$id-$1" addr add "$2" dev br0
	ip -n "$id-$1" link set br0 up
}

# plug NAME ADDRESS SEGMENT: joins a namespace to a switch by its eth0.
plug()
{
	ip link add eth0 netns "$id-$1" type veth peer name "to-$1" netns "$id-$3" || die "cannot make a veth"
	ip -n "$id-$3" link set "to-$1" master br0 up
	ip -n "$id-$1" addr add "$2" dev eth0
	ip -n "$id-$1" link set eth0 up
	carrier "$1"
}

# nat ROUTER NAME INSIDE: NAME has INSIDE.2 behind ROUTER's eth0; only who was sent to gets in. What is put into the chain
# "blocked" comes first.
nat()
{
	ip link add in0 netns "$id-$1" type veth peer name eth0 netns "$id-$2" || die "cannot make a veth"
	ip -n "$id-$1" addr add "$3.1/24" dev in0
	ip -n "$id-$1" link set in0 up
	ip -n "$id-$2" addr add "$3.2/24" dev eth0
	ip -n "$id-$2" link set eth0 up
	ip -n "$id-$2" route add default via "$3.1"
	in_ns "$1" sysctl -qw net.ipv4.ip_forward=1
	in_ns "$1" nft -f - <<-N || die "cannot make the NAT"
		table ip nat {
			chain pre { type nat hook prerouting priority dstnat; }
			chain post { type nat hook postrouting priority srcnat; oifname "eth0" masquerade; }
		}
		table ip filter {
			chain blocked { }
			chain forward { type filter hook forward priority filter; jump blocked; iifname "eth0" ct state new drop; }
			chain input { type filter hook input priority filter; iifname "eth0" ct state new,invalid drop; }
		}
	N
}

# machines: a, b (198.51.100.1, .2) and the router n (.3) with c (10.1.0.2) behind its NAT, at the switch s (.10).
machines()
{
	local who

	for who in a b c n s; do
		netns $who
	done
	segment s 198.51.100.10/24
	plug a 198.51.100.1/24 s
	plug b 198.51.100.2/24 s
	plug n 198.51.100.3/24 s
	nat n c 10.1.0
}

chain()
{
	python3 "$here/chaindb.py" "$dir/chain/chain.db" "$@" || die "chain.db: $*"
}

# answers NAME: its dnetd, which is the one that was started last.
answers()
{
	[ "$(call "$1" status | jq .pid)" = "$pid" ]
}

# start NAME [OPTION...]: dnetd of that namespace in the background; its pid is $pid.
start()
{
	local name=$1

	shift
	ip netns exec "$id-$name" "$build/dnetd" --state "$dir/$name" --control "$dir/$name.sock" --chain-db "$dir/chain/chain.db" \
		--chainwatch "" "$@" >>"$dir/$name.log" 2>&1 &
	pid=$!
	pids+=("$pid")
	within 5 answers "$name" || die "dnetd of $name does not start"
}

# helper KIND ID PORT [OPTION...]: ovcd or ovrd in the namespace s, in the background; its pid is $pid.
helper()
{
	local kind=$1

	ip netns exec "$id-s" "$build/${kind}d" -c /dev/null --state "$dir/$kind" --control "$dir/$kind.sock" --chain-db "$dir/chain/chain.db" \
		--chainwatch "" --id "$2" --port "$3" --confirm 1 "${@:4}" >>"$dir/$kind.log" 2>&1 &
	pid=$!
	pids+=("$pid")
	within 5 call "$kind" status || die "${kind}d does not start"
}

# key_of KIND: of ovcd or ovrd, also before it runs.
key_of()
{
	"$build/$1d" -c /dev/null --state "$dir/$1" --show-key || die "no key of $1"
}

# acquaint NAME...: begins them by the test's begin, and makes them members with the addresses 10.77.0.1, .2, … in this order:
# ${key[NAME]} and ${port[NAME]} are what others have to know of them, who begin anew for it.
acquaint()
{
	local who number=0 people=(alice bob carol)

	for who in "$@"; do
		begin "$who"
		key[$who]=$(call "$who" id "{\"dnet\": \"$dnet\"}" | jq -r .key)
		port[$who]=$(call "$who" status | jq .port)
	done
	for who in "$@"; do
		chain node "$dnet" "${key[$who]}" "${people[number]}" "10.77.0.$((number += 1))"
	done
	chain height 110
	for who in "$@"; do
		call "$who" join "{\"id\": \"$dnet\"}" >/dev/null || die "join of $who"
	done
}

# office ADDRESS: the records of a dnet, and of an OVC and an OVR there that it links and that serve it: $dnet, $ovc, $ovr.
office()
{
	local one

	chain init
	dnet=$(chain dnet office 10.77.0.0/24)
	ovc=$(chain ovc meet "$(key_of ovc)")
	ovr=$(chain ovr relay "$(key_of ovr)")
	chain endpoint "$ovc" "$1" 4242
	chain endpoint "$ovr" "$1" 4243
	for one in "$ovc" "$ovr"; do
		chain link "$dnet" "$one"
		chain grant "$one" "$dnet"
	done
}

# pid_named NAME PROGRAM: of the first process of that name in the namespace.
pid_named()
{
	local one

	for one in $(ip netns pids "$id-$1"); do
		[ "$(cat "/proc/$one/comm" 2>/dev/null)" = "$2" ] && echo "$one" && return
	done
	return 1
}

# call NAME METHOD [PARAMS]: the result as JSON; fails with the error's message, or when nobody answers (jq 1.6 takes nothing for
# a success).
call()
{
	local answer

	answer=$(printf '{"jsonrpc": "2.0", "id": 1, "method": "%s", "params": %s}\n' "$2" "${3:-{\}}" |
		timeout 20 socat -t 20 - "UNIX-CONNECT:$dir/$1.sock") && [ -n "$answer" ] || return 1
	jq -ce 'if .error then error(.error.message) else .result end' <<<"$answer"
}

# is NAME METHOD PARAMS JQ: the result fulfils the condition.
is()
{
	local result

	result=$(call "$1" "$2" "$3") && jq -e "$4" <<<"$result"
}

# stop NAME: ends the daemon whose pid is $pid, in good order.
stop()
{
	kill "$pid"
	wait "$pid" || die "dnetd of $1 ends with status $?"
}

# No interface of dnetd is there.
gone()
{
	! in_ns "$1" ip -br link | grep -q '^dnet'
}

# All that the machine has of the kind that dnetd changes, to be compared byte by byte: links, addresses, routes of all
# tables, rules, nftables, sysctls of the network, /etc. Lifetimes run, and are left out.
snapshot()
{
	in_ns "$1" sh -c 'ip -d -j link; ip -d -j addr; ip -d -j route show table all; ip -d -j -6 route show table all
		ip -d -j rule; ip -d -j -6 rule; nft -s list ruleset
		grep -rs "" /proc/sys/net/ipv4 /proc/sys/net/ipv6 /proc/sys/net/core | sort
		# Other tests that run just now have their own resolv.conf there.
		find /etc -xdev -path /etc/netns -prune -o \( -type f -o -type l \) -printf "%p %s %T@ %m %l\n" | sort; cat /etc/resolv.conf /etc/hosts' 2>&1 |
		sed 's/"\(valid\|preferred\)_life_time":[0-9]*/"\1":0/g; s/"\(packets\|bytes\)":[0-9]*//g; s/"expires":[0-9]*//g'
}
