#!/bin/bash
# Limits and words: length of files and functions, functions that are not used outside of tests,
# waiting for time in tests, marks that need a reason, order of includes.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

file_max=800
function_max=100
test_function_max=150 # most of it a table of vectors
banned='sprintf|vsprintf|strcpy|strcat|strtok|gets|atoi|atol|atoll|system|popen|alloca|rand|srand|tmpnam|mktemp'

# Lines from the brace that opens a function to the one that closes it.
long_functions() { # max, files
	awk -v max="$1" '
		/^[A-Za-z_].*\(/ { name = $0 }
		/^\{/ { start = FNR }
		/^\}/ && start {
			if (FNR - start + 1 > max) print FILENAME ":" start ": function of " FNR - start + 1 " lines: " name
			start = 0
		}
		FNR == 1 { start = 0 }
	' /dev/null "${@:2}"
}

# Own header first, then ours, then the system s; each block sorted.
include_order() {
	awk '
		function own(file,    p) {
			p = file; sub(/^lib\//, "", p); sub(/\.c$/, ".h", p); return p
		}
		FNR == 1 { previous = ""; first = 1; system_seen = 0; off = 0 }
		/clang-format off/ { off = 1 }
		/clang-format on/ { off = 0 }
		off { next }
		!/^#include/ { previous = ""; next }
		{
			name = $2; gsub(/["<>]/, "", name)
			if (name ~ /\.c$/) next # a unit test of statics
			quoted = $2 ~ /^"/
			if (quoted && system_seen) print FILENAME ":" FNR ": \"" name "\" behind the headers of the system"
			if (!quoted) system_seen = 1
			if (previous != "" && name < previous) print FILENAME ":" FNR ": " name " is not in order"
			if (quoted && name == own(FILENAME) && !first) print FILENAME ":" FNR ": the own header comes first"
			first = 0; previous = name
		}
	' "$@"
}

style() {
	local all ours code tests said lines
	cd "$1" || exit 1
	mapfile -t all < <(c_files .)
	mapfile -t ours < <(printf '%s\n' "${all[@]}" | grep -vE '^(tests/|$)' || true)
	mapfile -t code < <(printf '%s\n' "${all[@]}" | grep '\.c$' || true)
	mapfile -t tests < <(find tests -type f \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' \) \
		! -path 'tests/source/*' 2>/dev/null)
	said=$(
		wc -l /dev/null "${all[@]}" | awk -v max="$file_max" '$2 != "total" && $1 > max { print $2 ": " $1 " lines" }'
		long_functions "$function_max" "${ours[@]}"
		long_functions "$test_function_max" "${all[@]}"
		grep -nE "(^|[^A-Za-z0-9_>.])($banned) ?\(" "${ours[@]}" /dev/null |
			grep -vE ':[0-9]+:[[:space:]]*(/?\*|//)' | sed 's/$/   <- not used here/'
		[ ${#tests[@]} -gt 0 ] && grep -nE '(^|[^A-Za-z0-9_.])(usleep|nanosleep|sleep) ?\(|time\.sleep\(|^[[:space:]]*sleep [0-9]' \
			"${tests[@]}" /dev/null | sed 's/$/   <- tests wait for facts, not for time/'
		grep -nE '\b(TODO|XXX|HACK)\b' "${all[@]}" /dev/null | sed 's/$/   <- unfinished/'
		grep -nE '\bFIXME\b' "${all[@]}" /dev/null | grep -vE 'FIXME: .{10}' | sed 's/$/   <- why can it wait?/'
		[ ${#code[@]} -gt 0 ] && LC_ALL=C include_order "${code[@]}"
	)
	lines=$(printf '%s' "$said" | grep -c .)
	[ "$lines" -eq 0 ] || complain "$said"
}

long=$(for _ in $(seq 99); do printf '\\tx();\\n'; done)
must_fail style lib/a.c "void f(void)\n{\n${long}}\n"
must_pass style lib/a.c "void f(void)\n{\n${long%'\tx();\n'}}\n"
must_fail style lib/a.c "$(for _ in $(seq 801); do printf '/**/\\n'; done)"
must_fail style lib/a.c '\tsprintf(a, b);\n'
must_pass style lib/a.c '\tsnprintf(a, 1, b);\n\tfilesystem(b);\n\tx->system(c);\n'
must_fail style tests/unit/a.c '\tusleep(1);\n'
must_fail style tests/netns/a.sh 'x=1\nsleep 2\n'
must_fail style lib/a.c '/* TODO: later */\n'
must_fail style lib/a.c '/* FIXME */\n'
must_pass style lib/a.c '/* FIXME: no kernel of ours has it yet */\n'
must_fail style lib/wire/a.c '#include "wire/b.h"\n#include "wire/a.h"\n'
must_fail style lib/wire/a.c '#include "wire/a.h"\n\n#include <string.h>\n#include <assert.h>\n'
must_fail style lib/wire/a.c '#include <string.h>\n\n#include "wire/a.h"\n'
must_pass style lib/wire/a.c '#include "wire/a.h"\n\n#include "core/z.h"\n#include "wire/b.h"\n\n#include <assert.h>\n'
style "$root"
finish
