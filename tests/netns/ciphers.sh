#!/usr/bin/env bash
# Two members take a cipher that both have, each by whatever library it prefers.
#
#   a ── eth0 198.51.100.1 ══════ 198.51.100.2 eth0 ── b
#
# shellcheck source-path=SCRIPTDIR source=exact.sh
. "$(dirname "$0")/exact.sh"
need_root

netns a
netns b
veth a 198.51.100.1/24 b 198.51.100.2/24
meet
"$build/dnet" --socket "$dir/a.sock" status | grep -q "ChaCha20-Poly1305 by lib" || die "dnet status names no library"
while IFS='|' read -r options_a options_b cipher; do
	again "198.51.100.2:$port_b" "$options_a" "$options_b"
	[ -z "$cipher" ] || is b peers '{}' ".[0].cipher == \"$cipher\" and .[0].mtu == 1400" >/dev/null ||
		die "$options: $(call b peers)"
	exactly --kinds tcp
	clean
	ok "$options: $(call a peers | jq -r '.[0].cipher'): $(call a status | jq -c '[.datapath.ciphers[].by]')"
done <<O
--cipher chacha20-poly1305||ChaCha20-Poly1305
|--cipher chacha20-poly1305 --cipher-library libsodium|ChaCha20-Poly1305
--cipher-library libcrypto|--cipher-library libsodium|
O
