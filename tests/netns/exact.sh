# shellcheck shell=bash
# Sourced by tests whose traffic has to come over byte for byte: two members, a and b, and random flows between them (exact.py).
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# meet: a and b become members of one dnet; b keeps its port. Their namespaces have addresses already.
meet()
{
	local who

	chain init
	dnet=$(chain dnet office 10.77.0.0/24)
	start a
	pid_a=$pid
	start b
	pid_b=$pid
	for who in a b; do
		call $who join "{\"id\": \"$dnet\"}" >/dev/null
	done
	key_b=$(call b id | jq -r .key)
	ip6_a=$(call a id | jq -r .ipv6)
	ip6_b=$(call b id | jq -r .ipv6)
	port_b=$(call b status | jq .port)
	chain node "$dnet" "$(call a id | jq -r .key)" alice 10.77.0.1
	chain node "$dnet" "$key_b" bob 10.77.0.2
}

# again ENDPOINT OPTIONS_A OPTIONS_B: both anew with these options; a tries b at ENDPOINT.
again()
{
	options="a: ${2:-as it comes}; b: ${3:-as it comes}"
	kill "$pid_a" "$pid_b"
	wait "$pid_a" "$pid_b"
	# shellcheck disable=SC2086
	start a --peer-endpoint "$key_b $1" $2
	pid_a=$pid
	# shellcheck disable=SC2086
	start b $3
	pid_b=$pid
	within 10 in_ns a ping -c1 -W1 10.77.0.2 || die "no ping: $options"
}

# exactly [OPTION...]: what is sent comes, and comes as it was sent.
exactly()
{
	python3 "$here/exact.py" carry "$id-a" "$id-b" 10.77.0.1 10.77.0.2 "$ip6_a" "$ip6_b" dnet0 "$@" >"$dir/exact" 2>&1 ||
		die "$options: $(cat "$dir/exact")"
	cat "$dir/exact"
}

# clean: neither member refused anything.
clean()
{
	local who

	for who in a b; do
		call $who counters | jq -e '.tun_write_failed + .tun_malformed + .in_malformed + .out_malformed + .data_invalid == 0' \
			>/dev/null || die "refusals at $who, $options: $(call $who counters)"
	done
}
