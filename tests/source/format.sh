#!/bin/bash
# Every C file is as clang-format 14 writes it (other versions differ in details).
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

tool=
for name in clang-format-14 clang-format; do
	if command -v "$name" >/dev/null && "$name" --version | grep -q 'version 14\.'; then
		tool=$name
		break
	fi
done
if [ -z "$tool" ]; then
	echo "clang-format 14 is not there"
	exit 77
fi

format() {
	local files
	mapfile -t files < <(c_files "$1")
	[ ${#files[@]} -gt 0 ] || return 0
	cp -n "$root/.clang-format" "$1/" 2>/dev/null
	(cd "$1" && printf '%s\0' "${files[@]}" | xargs -0 -n 16 -P 2 "$tool" --dry-run -Werror 2>&1 |
		grep -E 'error:' | cut -d: -f1 | sort | uniq -c | sed 's/$/: run clang-format -i/') |
		grep . && failed=1
}

must_fail format lib/a.c 'int  a ;\n'
must_pass format lib/a.c 'int a;\n'
format "$root"
finish
