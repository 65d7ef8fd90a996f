# shellcheck shell=bash disable=SC2034
# Sourced by the checks of the source tree: where it is, which files there are, and how a check
# proves that it can fail.
set -u
root=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
failed=0

# The C files of a tree, relative to it, without builds and stray worktrees inside.
c_files() {
	(cd "$1" && find . \( -name .git -o -name build-aux -o -name autom4te.cache -o -name '_build' \
		-o -name '_inst' -o -name build -o -name 'build-*' \) -prune -o -name '*.[ch]' -type f -print | sed 's|^\./||' | sort)
}

complain() {
	echo "$*"
	failed=1
}

# must_fail NAME FILE TEXT: writes FILE with TEXT into a tree of its own; check NAME refuses it.
must_fail() {
	must "$1" 1 "$2" "$3"
}

must_pass() {
	must "$1" 0 "$2" "$3"
}

must() {
	local check=$1 want=$2 file=$3 text=$4 tree got
	tree=$(mktemp -d)
	mkdir -p "$tree/$(dirname "$file")" "$tree/doc"
	printf '%b' "$text" >"$tree/$file"
	[ -d "$root/doc" ] && cp "$root"/doc/*.md "$tree/doc/"
	failed=0
	"$check" "$tree" >"$tree/said"
	got=$failed
	if [ "$got" != "$want" ]; then
		echo "self-test: $check gave $got for $file:"
		printf '%b\n' "$text"
		cat "$tree/said"
		rm -rf "$tree"
		exit 1
	fi
	rm -rf "$tree"
	failed=0
}

finish() {
	exit "$failed"
}
