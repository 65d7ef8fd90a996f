#!/bin/bash
# The vectors that the generators wrote are those that they write now: nobody edited them by hand.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

if ! python3 -c 'import hashlib; hashlib.new("ripemd160")' 2>/dev/null; then
	echo "python3 with RIPEMD-160 is not there"
	exit 77
fi

vectors() {
	local made name
	made=$(mktemp -d)
	(cd "$made" && python3 "$root/tests/vectors/make_records.py") || complain "make_records.py failed"
	for name in records.txt ids.txt; do
		cmp -s "$made/$name" "$1/tests/vectors/$name" ||
			complain "tests/vectors/$name is not what make_records.py writes"
	done
	(cd "$made" && python3 "$root/tests/vectors/make_handshake.py") || complain "make_handshake.py failed"
	for name in handshake.txt handshake_psk.txt; do
		cmp -s "$made/$name" "$1/tests/vectors/$name" ||
			complain "tests/vectors/$name is not what make_handshake.py writes"
	done
	(cd "$made" && python3 "$root/tests/vectors/make_statements.py") || complain "make_statements.py failed"
	cmp -s "$made/statements.txt" "$1/tests/vectors/statements.txt" ||
		complain "tests/vectors/statements.txt is not what make_statements.py writes"
	(cd "$made" && python3 "$root/tests/vectors/make_roster.py") || complain "make_roster.py failed"
	cmp -s "$made/roster.txt" "$1/tests/vectors/roster.txt" ||
		complain "tests/vectors/roster.txt is not what make_roster.py writes"
	rm -rf "$made"
}

must_fail vectors tests/vectors/records.txt 'payload 444e013100\n'
must_fail vectors tests/vectors/handshake.txt 'psk 00\n'
must_fail vectors tests/vectors/statements.txt 'good\n'
vectors "$root"
finish
