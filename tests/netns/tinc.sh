#!/usr/bin/env bash
# Three members whose packets tincd carries, without OVC: ping, TCP, a member removed, tincd killed, drift, dnetd killed, leaving.
#
#   a eth0 198.51.100.1 ──┐
#   b eth0 198.51.100.2 ──┼── br0 (sw)
#   c eth0 198.51.100.3 ──┘
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root
[ -x /usr/sbin/tincd ] || skip "needs tincd (apt install tinc)"

netns sw
segment sw
for i in 1 2 3; do
	name=$(cut -c$i <<<abc)
	netns "$name"
	plug "$name" "198.51.100.$i/24" sw
done
before_a=$(snapshot a)
chain init
dnet=$(chain dnet office 10.77.0.0/24)
declare -A key port pid_of

begin()
{
	local peer peers=()

	for peer in "${!port[@]}"; do
		[ "$peer" = "$1" ] || peers+=(--peer-endpoint "${key[$peer]} $(address_of "$peer"):${port[$peer]}")
	done
	start "$1" --backend tinc "${peers[@]}"
	pid_of[$1]=$pid
}

address_of()
{
	local names=abc rest

	rest=${names%%"$1"*}
	echo "198.51.100.$((${#rest} + 1))"
}

acquaint a b c
for name in a b; do
	kill "${pid_of[$name]}"
	wait "${pid_of[$name]}"
	begin $name
done

pings_all()
{
	local from i

	for from in a b c; do
		for i in 1 2 3; do
			in_ns $from ping -c1 -W1 10.77.0.$i || return 1
		done
	done
}

peer_is()
{
	is "$1" peers '{}' ".[] | select(.name == \"$2\") | $3"
}

# Names that tinc has, as anybody can work them out.
tinc_name()
{
	python3 -c 'import hashlib, sys
tag = hashlib.sha256(b"dnet/tinc/name/1").digest()
print("n" + hashlib.sha256(tag + tag + bytes.fromhex(sys.argv[1])).hexdigest()[:40])' "$1"
}

# The numbers of the tincd whose folder this is.
tincd_of()
{
	pgrep -f "^/usr/sbin/tincd .* -c $1 "
}

folder_a=$dir/a/backend/dnet0
name_b=$(tinc_name "${key[b]}")
name_c=$(tinc_name "${key[c]}")

within 20 pings_all || die "not all answer: $(call a peers) $(call a status)"
ip6_b=$(call b id | jq -r .ipv6)
in_ns a ping -c2 -i0.1 -W1 "$ip6_b" >/dev/null || die "no ping over IPv6"
ok "ping between three members, IPv4 and IPv6"

for address in "TCP4 10.77.0.2" "TCP6 [$ip6_b]"; do
	family=${address% *} address=${address#* }
	head -c 5000000 /dev/urandom >"$dir/file"
	in_ns b socat -u "$family-LISTEN:4711,bind=$address,reuseaddr" "CREATE:$dir/copy" &
	within 5 sh -c "ip netns exec $id-b ss -Htln | grep -q :4711" || die "no listener"
	in_ns a socat -u "OPEN:$dir/file" "$family:$address:4711" || die "TCP to $address"
	wait $!
	cmp -s "$dir/file" "$dir/copy" || die "the file came over changed at $address"
done
ok "5 MB over TCP, IPv4 and IPv6, unchanged"

within 2 peer_is a bob '.state == "connected" and (.reason | test("tinc"))' || die "peers: $(call a peers)"
is a status '{}' '.dnets[0].backends[0] | .name == "tinc" and .applied and .error == null and (.program | test("^tincd 1[.].*: running, port [0-9]+, 2 of 2"))
	and (.limits | test("author"))' >/dev/null || die "status: $(call a status)"
[ "$(stat -c %a "$folder_a/rsa_key.priv" "$folder_a" | tr '\n' ' ')" = "600 700 " ] || die "modes: $(ls -la "$folder_a")"
ok "peers and status tell of tincd"

# What something else changed is taken back, and nobody is lost meanwhile.
wanted=$(cd "$folder_a" && sha256sum tinc.conf host-up hosts/*)
echo "Subnet = 0.0.0.0/0" >>"$folder_a/hosts/$name_b"
echo "TunnelServer = no" >"$folder_a/tinc.conf"
echo "Subnet = 10.0.0.0/8" >"$folder_a/hosts/stranger"
within 15 sh -c "cd $folder_a && [ \"\$(sha256sum tinc.conf host-up hosts/*)\" = '$wanted' ]" || die "not repaired: $(ls -l "$folder_a"/hosts)"
while read -r -a change; do
	in_ns a "${change[@]}" || die "cannot: ${change[*]}"
	within 4 in_ns a ping -c1 -W1 10.77.0.2 || die "not repaired: ${change[*]}: $(in_ns a ip addr show dev dnet0) $(call a status)"
done <<D
ip addr del 10.77.0.1/32 dev dnet0
ip route del 10.77.0.0/24 dev dnet0
ip link set dnet0 down
ip link del dnet0
D
within 10 pings_all || die "not all answer after the repairs"
ok "changed files, a deleted address, route and interface are repaired"

before=$(tincd_of "$folder_a") || die "no tincd"
kill -9 "$before"
within 5 in_ns a ping -c1 -W1 10.77.0.2 || die "no ping after tincd was killed: $(call a status)"
[ "$(tincd_of "$folder_a")" != "$before" ] || die "the same tincd"
within 10 pings_all || die "not all answer after tincd was killed"
ok "tincd killed: another one within seconds"

# tincd, not only a route, cuts who is removed; who stays loses nothing.
in_ns a ping -c 100 -i 0.02 -W1 10.77.0.2 >"$dir/ping" &
ping=$!
lines=$(wc -l <"$dir/a.log")
chain del "$dnet" "${key[c]}"
within 2 sh -c "! [ -e $folder_a/hosts/$name_c ]" || die "the removed member's file stays"
within 2 sh -c "tail -n +$lines $dir/a.log | grep -q 'tincd: Closing connection with $name_c'" || die "tincd does not cut it"
within 2 sh -c "! ip netns exec $id-c ping -c1 -W0.2 10.77.0.1" || die "a removed member still gets an answer"
within 2 is a peers '{}' 'length == 1' || die "still a peer: $(call a peers)"
wait $ping
grep -q " 0% packet loss" "$dir/ping" || die "packets were lost: $(tail -n 3 "$dir/ping")"
tail -n "+$lines" "$dir/a.log" | grep -q "Closing connection with $name_b" && die "the connection that stays was closed"
within 5 sh -c "! ip -n $id-c link show dnet0" || die "the removed member still has its interface"
ok "a removed member is cut at once, and nobody else loses a packet"

# A tincd that a person configures by hand, with defaults of its own, beside a dnetd that only says its key.
netns d
plug d 198.51.100.4/24 sw
cat >"$dir/sleeper" <<'S'
#!/bin/sh
exec sleep 1000
S
chmod 755 "$dir/sleeper"
start d --backend tinc --tincd "$dir/sleeper" --peer-endpoint "${key[a]} 198.51.100.1:${port[a]}"
key[d]=$(call d id "{\"dnet\": \"$dnet\"}" | jq -r .key)
ip6_a=$(call a id | jq -r .ipv6)
ip6_d=$(call d id "{\"dnet\": \"$dnet\"}" | jq -r .ipv6)
name_d=$(tinc_name "${key[d]}")
name_a=$(tinc_name "${key[a]}")
hand=$dir/hand
mkdir -p "$hand/hosts" "$dir/d/backend/dnet0"
openssl genrsa -traditional -out "$hand/rsa_key.priv" 2048 2>/dev/null || die "openssl"
chmod 600 "$hand/rsa_key.priv"
cp -p "$hand/rsa_key.priv" "$dir/d/backend/dnet0/"
chain node "$dnet" "${key[d]}" dora 10.77.0.4
chain height 120
call d join "{\"id\": \"$dnet\"}" >/dev/null || die "join of d"
within 5 [ -e "$folder_a/hosts/$name_d" ] || die "a has no key of d: $(call a peers)"
cat >"$hand/tinc.conf" <<C
Name = $name_d
Interface = byhand
ConnectTo = $name_a
C
cat >"$hand/tinc-up" <<C
#!/bin/sh
ip addr add 10.77.0.4/32 dev byhand
ip addr add $ip6_d/128 dev byhand
ip link set byhand up
ip route add 10.77.0.1/32 dev byhand
ip route add $ip6_a/128 dev byhand
C
chmod 755 "$hand/tinc-up"
printf 'Port = 20555\nSubnet = 10.77.0.4/32\nSubnet = %s/128\n' "$ip6_d" >"$hand/hosts/$name_d"
{
	echo "Address = 198.51.100.1 $(cat "$folder_a/port")"
	cat "$folder_a/hosts/$name_a"
} >"$hand/hosts/$name_a"
ip netns exec "$id-d" /usr/sbin/tincd -D -d1 -c "$hand" --pidfile="$dir/hand.pid" >"$dir/hand.log" 2>&1 &
pids+=($!)
within 10 in_ns d ping -c1 -W1 10.77.0.1 || die "no ping from a tincd by hand: $(call a peers)"
within 2 in_ns a ping -c1 -W1 "$ip6_d" || die "no ping to a tincd by hand"
within 2 peer_is a dora '.state == "connected" and (.endpoint | startswith("198.51.100.4:"))' || die "peers: $(call a peers)"
ok "a plain tincd that a person configured is a member like others"

# All of it ends with dnetd, however it ends, and leaving leaves nothing.
kill -9 "${pid_of[a]}"
wait "${pid_of[a]}" 2>/dev/null
within 2 sh -c "! ip -n $id-a link show dnet0" || die "the interface stays after SIGKILL"
within 2 sh -c "! pgrep -f '^/usr/sbin/tincd .* -c $folder_a '" || die "tincd stays after SIGKILL"
port_before=$(cat "$folder_a/port")
begin a
within 10 in_ns a ping -c1 -W1 10.77.0.2 || die "no ping after SIGKILL: $(call a peers)"
[ "$(cat "$folder_a/port")" = "$port_before" ] || die "another port"
call a leave "{\"id\": \"$dnet\"}" >/dev/null || die "leave"
[ "$(snapshot a)" = "$before_a" ] || die "leaving left something: $(diff <(echo "$before_a") <(snapshot a))"
[ ! -e "$folder_a" ] || die "the key of the dnet stays: $(ls -la "$folder_a")"
ok "after SIGKILL nothing runs; the same port and key after a new start; leaving leaves nothing"
