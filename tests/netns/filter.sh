#!/usr/bin/env bash
# What the kernel lets pass on an interface of another backend than native: WireGuard, by wireguard-go. Each other source and
# destination is refused and counted, others cannot change the table and lose none of theirs, a removed member is out at once,
# and nothing stays behind. Rules and replies: tests/unit/node/guard.c.
#
#   a ── eth0 198.51.100.1 ══════ 198.51.100.2 eth0 ── b
#   │ fPIDa0 10.77.0.1, fd…                     fPIDb0 │
#   └ inet others, a table of somebody else
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root
command -v wireguard-go >/dev/null || skip "needs wireguard-go (apt install wireguard-go)"

declare -A key port pid_of

interface()
{
	echo "f$$${1}0"
}

begin()
{
	local other=b

	[ "$1" = a ] || other=a
	start "$1" -c /dev/null --interface-prefix "f$$$1" --backend wireguard --wireguard go \
		${key[$other]:+--peer-endpoint "${key[$other]} $(address_of $other):${port[$other]}"}
	pid_of[$1]=$pid
}

address_of()
{
	[ "$1" = a ] && echo 198.51.100.1 || echo 198.51.100.2
}

table()
{
	in_ns "$1" nft -j list table inet "dnet_$(interface "$1")"
}

counter()
{
	call "$1" counters | jq ".filter_$2"
}

counts_more()
{
	[ "$(counter "$1" "$2")" -gt "$3" ]
}

pings()
{
	in_ns "$1" ping -qc1 -W1 "$2"
}

netns a
netns b
in_ns a nft add table inet others || skip "no nftables here"
in_ns a nft 'add chain inet others input { type filter hook input priority 0; }'
in_ns a nft add rule inet others input iifname lo accept
veth a 198.51.100.1/24 b 198.51.100.2/24
before=$(snapshot a)
chain init
dnet=$(chain dnet office 10.77.0.0/24)
acquaint a b
kill "${pid_of[a]}"
wait "${pid_of[a]}"
begin a
ip6=$(call b id | jq -r .ipv6)
within 20 pings a 10.77.0.2 || die "no ping: $(call a peers) $(in_ns a nft list ruleset)"
within 5 pings a "$ip6" || die "no ping over IPv6"
within 5 pings b 10.77.0.1 || die "no ping back"
within 5 is a status '{}' '.dnets[0].parts[] | select(.part == "filter") | .applied and .error == null' || die "not said: $(call a status)"
ok "two members over WireGuard, each with a filter"

# Another address of b's machine, which its own filter is told to let out: what a member that was taken over does.
refused=$(counter b out_source_not_ours)
in_ns b ip addr add 10.77.0.9/32 dev lo
in_ns b ping -qc1 -W1 -I 10.77.0.9 10.77.0.1 >/dev/null 2>&1 && die "a source that is not ours goes out"
within 2 counts_more b out_source_not_ours "$refused" || die "not counted: $(call b counters)"
refused=$(counter a out_no_peer)
in_ns a ping -qc1 -W1 10.77.0.200 >/dev/null 2>&1
within 2 counts_more a out_no_peer "$refused" || die "not counted: $(call a counters)"
ok "other sources and destinations are refused and counted"

refused=$(counter a in_not_for_us)
in_ns a ip addr add 10.77.0.50/32 dev lo
in_ns b ip route add 10.77.0.50/32 dev "$(interface b)" 2>/dev/null
in_ns b ping -qc1 -W1 10.77.0.50 >/dev/null 2>&1 && die "an address of this machine that is not the dnet's answers"
in_ns a ip addr del 10.77.0.50/32 dev lo
ok "another address of the machine is out of reach"

made=$(table a | jq -S 'del(.. | .packets?, .bytes?, .handle?)')
for change in "delete table inet dnet_$(interface a)" "flush ruleset" "flush chain inet dnet_$(interface a) in" \
	"add rule inet dnet_$(interface a) in accept" "add element inet dnet_$(interface a) peers4 { 10.77.0.9 }"; do
	in_ns a nft "$change" 2>/dev/null
	[ "$(table a | jq -S 'del(.. | .packets?, .bytes?, .handle?)')" = "$made" ] || die "changed by nft $change"
done
pings a 10.77.0.2 >/dev/null || die "no ping after the changes"
in_ns a nft add table inet others
in_ns a nft 'add chain inet others input { type filter hook input priority 0; }'
in_ns a nft add rule inet others input iifname lo accept
ok "nobody else changes the table: flush ruleset and delete leave it as it is"

others=$(in_ns a nft -j list table inet others | jq -S 'del(.. | .handle?)')
chain del "$dnet" "${key[b]}"
gone()
{
	table a | jq -e '[.. | .set? // empty | select(.name | startswith("peers")) | .elem // [] | .[]] == []'
}
within 2 gone || die "a removed member is still in the table: $(table a)"
in_ns a ping -qc1 -W1 10.77.0.2 >/dev/null 2>&1 && die "a removed member answers"
ok "a removed member's addresses are out of the table at once"

kill -9 "${pid_of[a]}"
wait "${pid_of[a]}" 2>/dev/null
no_table()
{
	! table a
}
within 5 no_table || die "the table stays after SIGKILL"
begin a
within 20 table a || die "no table after a new start"
[ "$(in_ns a nft -j list table inet others | jq -S 'del(.. | .handle?)')" = "$others" ] || die "the table of others was changed"
call a leave "{\"id\": \"$dnet\"}" >/dev/null || die "leave"
within 5 no_table || die "the table stays after leave"
kill "${pid_of[a]}"
wait "${pid_of[a]}"
as_before()
{
	[ "$(snapshot a)" = "$before" ]
}
within 5 as_before || die "not as before: $(diff <(echo "$before") <(snapshot a))"
ok "after SIGKILL, a new start and leaving nothing stays, and the table of others is as it was"
