#!/usr/bin/env bash
# Every fall-back of the data path carries the same bytes, also against a node that has all: TUN without USO, TSO, partial
# checksums; UDP without GSO and GRO.
#
#   a ── eth0 198.51.100.1 ══════ 198.51.100.2 eth0 ── b
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root

# transfer FROM TO ADDRESS FAMILY: a file over TCP.
transfer()
{
	in_ns "$2" timeout 20 socat -u "$4-LISTEN:4711,bind=$3,reuseaddr" "CREATE:$dir/copy" &
	local listener=$!
	within 5 sh -c "ip netns exec $id-$2 ss -Htln | grep -q :4711" || die "no listener"
	in_ns "$1" timeout 20 socat -u "OPEN:$dir/file" "$4:$3:4711" || die "TCP from $1 to $3"
	wait $listener
	cmp -s "$dir/file" "$dir/copy" || die "the file came over changed from $1 to $3"
}

# datagrams TO ADDRESS: a hundred UDP datagrams of one flow, in bursts; each has to come once and unchanged.
datagrams()
{
	in_ns "$1" timeout 10 python3 - "$2" <<'P' &
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 4712))
s.setsockopt(socket.SOL_SOCKET, 33, 1 << 20)  # SO_RCVBUFFORCE: all of them wait for a slow reader
s.settimeout(5)
got = sorted(s.recv(65535) for _ in range(100))
sys.exit(got != [b"%04d" % i + b"x" * 996 for i in range(100)])
P
	local receiver=$!
	within 5 sh -c "ip netns exec $id-$1 ss -Hlun | grep -q :4712" || die "no receiver"
	in_ns a python3 - "$2" <<'P'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(17, 103, 1000)  # SOL_UDP, UDP_SEGMENT: a super-packet where the TUN takes them
for burst in range(5):
    s.sendto(b"".join(b"%04d" % (20 * burst + i) + b"x" * 996 for i in range(20)), (sys.argv[1], 4712))
P
	wait "$receiver" || die "datagrams were lost or changed"
}

netns a
netns b
veth a 198.51.100.1/24 b 198.51.100.2/24
chain init
dnet=$(chain dnet office 10.77.0.0/24)
head -c 8000000 /dev/urandom >"$dir/file"
start a
pid_a=$pid
start b
pid_b=$pid
for who in a b; do
	call $who join "{\"id\": \"$dnet\"}" >/dev/null
done
key_b=$(call b id | jq -r .key)
ip6_b=$(call b id | jq -r .ipv6)
port_b=$(call b status | jq .port)
chain node "$dnet" "$(call a id | jq -r .key)" alice 10.77.0.1
chain node "$dnet" "$key_b" bob 10.77.0.2

while IFS='|' read -r options_a options_b; do
	kill "$pid_a" "$pid_b"
	wait "$pid_a" "$pid_b"
	# shellcheck disable=SC2086
	start a --peer-endpoint "$key_b 198.51.100.2:$port_b" $options_a
	pid_a=$pid
	# shellcheck disable=SC2086
	start b $options_b
	pid_b=$pid
	within 5 in_ns a ping -c1 -W1 10.77.0.2 || die "no ping with '$options_a' and '$options_b'"
	transfer a b 10.77.0.2 TCP4
	transfer a b "[$ip6_b]" TCP6
	transfer b a 10.77.0.1 TCP4
	datagrams b 10.77.0.2
	for who in a b; do
		call $who counters | jq -e '.tun_write_failed + .tun_malformed + .in_malformed + .out_malformed + .data_invalid == 0' \
			>/dev/null || die "refusals at $who with '$options_a' and '$options_b': $(call $who counters)"
	done
	ok "a: ${options_a:-all offloads}; b: ${options_b:-all offloads}"
done <<O
|
--tun-offload tso|
--tun-offload checksum|
--tun-offload none|
|--tun-offload checksum
|--tun-offload none
--tun-offload none|--tun-offload none
--udp-gso=no --udp-gro=no|
--udp-gso=no --udp-gro=no --tun-offload none|--udp-gso=no --udp-gro=no --tun-offload none
O
