#!/usr/bin/env bash
# dnetd with no more than contrib/systemd/dnetd.service leaves it: capabilities, folders of /run that it may write, no new
# privileges, no namespaces; each backend whose program is here carries packets to a dnetd without bounds.
#
#   a (as the unit) ── eth0 198.51.100.1 ══════ 198.51.100.2 eth0 ── b
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root
unit=${top_srcdir:-$here/../..}/contrib/systemd/dnetd.service.in

# of_unit NAME: its values.
of_unit()
{
	sed -n "s/^$1=//p" "$unit"
}

if [ "$(of_unit NoNewPrivileges) $(of_unit ProtectSystem)" != "yes strict" ]; then
	die "this test does not do what the unit says"
fi
bounds=-all$(of_unit CapabilityBoundingSet | tr 'A-Z ' 'a-z\n' | sed 's/^cap_/,+/' | tr -d '\n')
# /run as ProtectSystem= and ReadWritePaths= leave it; "-" before a path: if it is there.
cat >"$dir/as-unit" <<'S'
#!/bin/sh
mount --make-rprivate / && mount --rbind /run /run && mount -o remount,bind,ro /run || exit 1
for path in $WRITABLE; do
	path=${path#-}
	[ ! -d "$path" ] || { mount --bind "$path" "$path" && mount -o remount,bind,rw "$path"; } || exit 1
done
# As udev makes it.
mount --bind "$TUN" /dev/net/tun || exit 1
exec setpriv --no-new-privs --bounding-set "$BOUNDS" --inh-caps -all "$@"
S
chmod +x "$dir/as-unit"
WRITABLE=$(of_unit ReadWritePaths | tr ' ' '\n' | grep -v '^-\?/run/dnet$' | tr '\n' ' ')
export WRITABLE BOUNDS=$bounds TUN=$dir/tun
mknod -m 666 "$TUN" c 10 200
# As dnet.tmpfiles.conf makes it.
mkdir -p /run/wireguard
unshare -m "$dir/as-unit" true || skip "cannot do what the unit does"

netns a
netns b
veth a 198.51.100.1/24 b 198.51.100.2/24
chain init
dnet=$(chain dnet office 10.77.0.0/24)
declare -A key port

# begin NAME [OPTION...]: as the unit, where NAME is a.
begin()
{
	local name=$1 wrap=()

	shift
	[ "$name" = b ] || wrap=(unshare -m "$dir/as-unit")
	[ "$name" = b ] || set -- --user nobody "$@"
	ip netns exec "$id-$name" "${wrap[@]}" "$build/dnetd" -c /dev/null --state "$dir/$name" --control "$dir/$name.sock" \
		--chain-db "$dir/chain/chain.db" --chainwatch "" --interface-prefix "u$$$name" "$@" >>"$dir/$name.log" 2>&1 &
	pid=$!
	pids+=("$pid")
	within 5 answers "$name" || die "dnetd of $name does not start: $(tail -n 5 "$dir/$name.log")"
}

chmod 711 "$dir"
chmod 1777 "$dir/chain"
for name in a b; do
	begin $name
	key[$name]=$(call $name id "{\"dnet\": \"$dnet\"}" | jq -r .key)
	port[$name]=$(call $name status | jq .port)
	call $name join "{\"id\": \"$dnet\"}" >/dev/null || die "join"
	stop $name
done
chain node "$dnet" "${key[a]}" alice 10.77.0.1
chain node "$dnet" "${key[b]}" bob 10.77.0.2
chain height 110

for backend in native tinc wireguard; do
	case $backend in
	tinc) command -v tincd >/dev/null || continue ;;
	wireguard) command -v wireguard-go >/dev/null || continue ;;
	esac
	begin b --backend $backend --peer-endpoint "${key[a]} 198.51.100.1:${port[a]}"
	of_b=$pid
	begin a --backend $backend --peer-endpoint "${key[b]} 198.51.100.2:${port[b]}"
	within 10 in_ns a ping -qc1 -W1 10.77.0.2 || die "$backend: no ping: $(call a status) $(call a peers) $(tail -n 9 "$dir/a.log")"
	is a peers '{}' ".[0].backend == \"$backend\"" >/dev/null || die "$backend: $(call a peers)"
	[ $backend = native ] || grep -q "no PID namespace can be made here" "$dir/a.log" || die "nothing is said of the PID namespace"
	stop a
	pid=$of_b
	stop b
	ok "$backend carries packets of a dnetd that has what the unit gives"
done
