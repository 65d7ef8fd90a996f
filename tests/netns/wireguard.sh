#!/usr/bin/env bash
# WireGuard as a backend, by wireguard-go: what wg(8) sees of it, what others do to it, one of many removed, members of several
# backends. The promises that it shares with other backends are in backends.sh.
#
#   a ── 198.51.100.1 ═╗
#   b ── 198.51.100.2 ═╬═ s: ovcd, ovrd 198.51.100.10
#   n ── 198.51.100.3 ═╝
#   └ NAT ── c 10.1.0.2: reaches a and b only through the OVR
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root
for program in wireguard-go wg; do
	command -v $program >/dev/null || skip "needs $program (apt install wireguard-go wireguard-tools)"
done

declare -A pid_of key name=([a]=alice [b]=bob [c]=carol) ip4=([a]=10.77.0.1 [b]=10.77.0.2 [c]=10.77.0.3)

# The sockets of all programs are in one folder of this machine.
interface()
{
	echo "w$$${1}0"
}

begin()
{
	local who=$1

	shift
	start "$who" -c /dev/null --interface-prefix "w$$$who" --wireguard go "$@"
	pid_of[$who]=$pid
}

finish()
{
	kill "${pid_of[$1]}"
	wait "${pid_of[$1]}" || die "dnetd of $1 ends with status $?"
}

pings()
{
	in_ns "$1" ping -qc1 -W1 "${ip4[$2]}"
}

peer()
{
	is "$1" peers '{}' ".[] | select(.name == \"${name[$2]}\") | $3"
}

looks()
{
	local who

	for who in a b c; do
		call $who peers | jq -c '.[] | [.name, .state, .backend, .path, .control, .endpoint, .reason]'
		in_ns $who wg show
	done
}

# sends FROM TO: a file over TCP, which comes whole.
sends()
{
	local receiver

	in_ns "$2" timeout 60 socat -u TCP4-LISTEN:4711,reuseaddr "CREATE:$dir/copy" &
	receiver=$!
	within 5 sh -c "ip netns exec $id-$2 ss -Htln | grep -q :4711" || die "no listener at $2"
	in_ns "$1" timeout 60 socat -u "OPEN:$dir/file" "TCP4:${ip4[$2]}:4711" || die "TCP from $1 to $2: $(looks)"
	wait $receiver
	cmp -s "$dir/file" "$dir/copy" || die "what came from $1 to $2 is not what was sent"
	rm "$dir/copy"
}

# wg_of WHO WHAT: a table of its device, sorted.
wg_of()
{
	in_ns "$1" wg show "$(interface "$1")" "$2" | sort
}

public()
{
	in_ns "$1" wg show "$(interface "$1")" public-key
}

# handshake FROM TO: the time of the last one, and bytes received.
handshake()
{
	wg_of "$1" latest-handshakes | grep -F "$(public "$2")" | cut -f2
}

received()
{
	wg_of "$1" transfer | grep -F "$(public "$2")" | cut -f2
}

# What a's device is to have of b and c, but for endpoints.
allowed()
{
	local who

	for who in b c; do
		printf '%s\t%s\n' "$(public $who)" "$(call $who id | jq -r .ipv6)/128 ${ip4[$who]}/32"
	done | sort
}

as_wanted()
{
	[ "$(wg_of a allowed-ips)" = "$wanted" ] && [ "$(public a)" = "$public_a" ] && [ "$(in_ns a wg show "$if_a" listen-port)" = "$port_a" ]
}

same_device()
{
	[ "$(public a)" = "$public_a" ] && [ "$(in_ns a wg show "$if_a" listen-port)" = "$port_a" ]
}

gone_from_a()
{
	! wg_of a peers | grep -qF "$1"
}

reason()
{
	call "$1" peers | jq -r ".[] | select(.name == \"${name[$2]}\") | .reason"
}

# b, which is native alone, learns what c offers when it has something to say to it.
apart()
{
	! pings b c && peer b c '.backend == null and .state == "unreachable"'
}

# Only on the loopback, and joined to WireGuard's own port.
bridges_are_local()
{
	local sockets

	sockets=$(in_ns a ss -Hun state established "dport = :$port_a" | awk '{print $3}')
	[ -n "$sockets" ] && ! grep -v '^127\.0\.0\.1:' <<<"$sockets"
}

machines
in_ns n nft add rule ip filter blocked oifname eth0 ip daddr != 198.51.100.10 drop || die "cannot block"
office 198.51.100.10
helper ovc "$ovc" 4242
helper ovr "$ovr" 4243
for who in a b c; do
	begin $who --backend wireguard
	key[$who]=$(call $who id "{\"dnet\": \"$dnet\"}" | jq -r .key)
	chain node "$dnet" "${key[$who]}" "${name[$who]}" "${ip4[$who]}"
done
chain height 110
for who in a b c; do
	call $who join "{\"id\": \"$dnet\"}" >/dev/null || die "join of $who"
done
for pair in "a b" "b a" "a c" "c a" "b c" "c b"; do
	# shellcheck disable=SC2086 # two words
	within 20 pings $pair || die "no ping $pair: $(looks)"
done
peer a c '.path == "bridge" and .control == "relay" and .backend == "wireguard"' >/dev/null || die "a says of c: $(looks)"
ok "three members, one of them only through the OVR: ping all ways"

head -c 3000000 /dev/urandom >"$dir/file"
for pair in "a b" "b a" "a c" "c a"; do
	# shellcheck disable=SC2086 # two words
	sends $pair
done
in_ns a ping -qc1 -W2 -M do -s 1372 "${ip4[c]}" >/dev/null || die "no packet of the MTU gets through the OVR: $(looks)"
ok "3 MB over TCP both ways, also through the OVR; packets as large as the MTU"

if_a=$(interface a)
public_a=$(public a)
port_a=$(in_ns a wg show "$if_a" listen-port)
wanted=$(allowed)
as_wanted || die "wg show says another thing: $(in_ns a wg show) wanted: $wanted"
for who in b c; do
	within 5 peer a $who ".last_handshake_s != null and .rx_bytes > 0" || die "counters of $who: $(looks)"
done
bridges_are_local || die "bridges are not on the loopback alone: $(in_ns a ss -anu)"
file=$(echo "$dir"/a/backend/"$if_a"/*.key)
[ "$(stat -c %a "$file")" = 600 ] || die "the private key's file has mode $(stat -c %a "$file")"
[ "$(wg pubkey <"$file")" = "$public_a" ] || die "the stored key is not the one in use"
grep -qF "$(cat "$file")" "$dir"/*.log && die "a private key is in the log"
ok "wg show agrees with dnet peers; key and port are where they belong"

program=$(pid_named a wireguard-go) || die "no wireguard-go in a"
grep -q '^CapEff:[[:space:]]*0*$' "/proc/$program/status" && grep -q '^CapPrm:[[:space:]]*0*$' "/proc/$program/status" &&
	grep -q '^CapBnd:[[:space:]]*0*$' "/proc/$program/status" && grep -q '^NoNewPrivs:[[:space:]]*1$' "/proc/$program/status" ||
	die "wireguard-go has rights: $(cat "/proc/$program/status")"
[ "$(in_ns a cat "/sys/class/net/$if_a/mtu")" = 1400 ] || die "the MTU is not the node's"
ok "wireguard-go runs without any capability, and the MTU is the node's"

# What others do to the device is taken back.
(umask 077 && wg genkey >"$dir/other")
while read -r change; do
	# shellcheck disable=SC2086 # words
	in_ns a wg set "$if_a" ${change/BOB/$(public b)} || die "cannot: wg set $change"
	within 8 as_wanted || die "not repaired: $change: $(in_ns a wg show)"
done <<D
peer BOB remove
peer BOB allowed-ips 10.77.0.0/24
peer BOB allowed-ips 10.77.0.3/32
peer $(wg genkey | wg pubkey) allowed-ips 10.99.0.0/16 endpoint 198.51.100.2:7
listen-port 4711
private-key $dir/other
D
[ "$(grep -c "changed from outside, repaired" "$dir/a.log")" -ge 6 ] || die "repairs are not all logged"
for who in b c; do
	within 10 pings a $who || die "no ping to $who after the repairs: $(looks)"
	within 10 pings $who a || die "no ping from $who after the repairs: $(looks)"
done
ok "a peer removed, AllowedIPs, a stranger added, port and private key changed by wg set: repaired and logged"

# One of them goes; the other's session is the same as before.
public_b=$(public b)
before=$(handshake a c) bytes=$(received a c)
chain del "$dnet" "${key[b]}"
within 2 gone_from_a "$public_b" || die "a removed node is a peer yet: $(in_ns a wg show)"
within 2 sh -c "! ip netns exec $id-a ping -qc1 -W0.3 10.77.0.2" || die "a removed node answers"
[ "$(handshake a c)" = "$before" ] && [ "$(received a c)" -ge "$bytes" ] || die "the removal touched another peer: $(in_ns a wg show)"
pings a c >/dev/null || die "no ping to c after the removal of b"
ok "a removed node is no peer any more; another one's session stays"

# A new start has the same key and port, so that nobody else has to learn another.
finish a
begin a --backend wireguard
within 5 same_device || die "another key or port after a new start: $(in_ns a wg show)"
within 10 pings a c || die "no ping after a new start: $(looks)"
ok "key and port stay over a new start"

# Members of several backends: who reaches whom, and why not.
chain node "$dnet" "${key[b]}" bob "${ip4[b]}"
chain height 120
for who in a b; do
	finish $who
done
begin a --backend "wireguard native"
begin b --backend native
within 20 pings a c || die "no ping over WireGuard: $(looks)"
within 20 pings a b || die "no ping over native: $(looks)"
within 10 pings b a || die "no ping over native, back: $(looks)"
within 5 peer a b '.backend == "native"' || die "a says of b: $(looks)"
within 5 peer a c '.backend == "wireguard"' || die "a says of c: $(looks)"
within 5 apart || die "b says of c: $(looks)"
within 5 peer c b '.backend == null and .state == "unreachable"' || die "c says of b: $(looks)"
pings b c >/dev/null && die "b reaches c without a backend in common"
[ "$(reason b c)" = "no backend in common: it offers wireguard, this node offers native" ] || die "the reason of b: $(reason b c)"
[ "$(reason c b)" = "no backend in common: it offers native, this node offers wireguard" ] || die "the reason of c: $(reason c b)"
ok "one with both, one native, one WireGuard: who can reaches whom, and the others are told why not"

finish b
begin b --backend wireguard --wireguard-go "$dir/nowhere"
within 5 is b status '{}' '.dnets[0].parts[] | select(.part == "wireguard") | .error | contains("apt install wireguard-go")' ||
	die "the next step is not named: $(call b status)"
ok "without wireguard-go status names the next step"

# In a good order nothing stays.
for who in a b c; do
	finish $who
	gone_interface=$(in_ns $who ip -br link | grep "^w$$" || true)
	[ -z "$gone_interface" ] || die "an interface of $who stays: $gone_interface"
done
[ -z "$(find /var/run/wireguard -name "w$$*")" ] || die "sockets stay: $(ls /var/run/wireguard)"
ok "at the end no interface and no socket stays"
