#!/bin/bash
# What the documents name is there: every function written as `name()` in doc/architecture.md, every test named in
# doc/threat-model.md, and every path of the tree named in README, CHANGELOG or doc/*.md.
# shellcheck source-path=SCRIPTDIR source=lib.sh disable=SC2016
. "$(dirname "$0")/lib.sh"

documents() {
	(cd "$1" && find README CHANGELOG doc/*.md -type f 2>/dev/null)
}

# Function names that are defined in the tree's own C files, tests left out.
defined_functions() {
	local files
	mapfile -t files < <(c_files "$1" | grep -v '^tests/')
	[ ${#files[@]} -gt 0 ] || return 0
	# A definition begins in the first column and has no semicolon behind its head.
	(cd "$1" && perl -0777 -ne '
		print "$1\n" while /^[a-z_][^\n;={}()]*?\b([a-z_][a-z0-9_]*)\((?:[^;{}]|\{[^{}]*\})*?\)\s*\{/gm;
	' "${files[@]}") | sort -u
}

functions() {
	local name known
	[ -f "$1/doc/architecture.md" ] || return 0
	known=$(defined_functions "$1")
	while read -r name; do
		grep -qx "$name" <<<"$known" ||
			complain "doc/architecture.md: no function $name() in the sources"
	done < <(grep -oE '`[a-z_][a-z0-9_]*\(\)`' "$1/doc/architecture.md" | tr -d '`()' | sort -u)
}

# A test is named behind its file: `tests/unit/core/acl.c`: `a_rule_allows_one_way_and_nothing_else`, `…`;
# of a script, a text in quotation marks that it prints. Names belong to the last file before them in the line.
named_tests() {
	perl -CSD -ne '
		my $file;
		while (/`([^`]+)`|\x{201c}([^\x{201d}]+)\x{201d}/g) {
			my ($word, $said) = ($1, $2);
			if (defined $word && $word =~ m{^(?:tests|contrib)/\S+$}) { $file = $word; next; }
			next unless defined $file;
			print "$.\t$file\tname\t$word\n" if defined $word && $word =~ /^[a-z][a-z0-9]*(?:_[a-z0-9]+)+$/;
			print "$.\t$file\ttext\t$said\n" if defined $said;
		}
	' "$1"
}

threats() {
	local line file kind what
	[ -f "$1/doc/threat-model.md" ] || return 0
	while IFS=$'\t' read -r line file kind what; do
		[ -f "$1/$file" ] || { complain "doc/threat-model.md:$line: no file $file"; continue; }
		case $kind in
		name) grep -qE "(void|def|int) $what\(" "$1/$file" ||
			complain "doc/threat-model.md:$line: no test $what in $file" ;;
		text) grep -qF -- "$what" "$1/$file" ||
			complain "doc/threat-model.md:$line: $file does not say: $what" ;;
		esac
	done < <(named_tests "$1/doc/threat-model.md")
}

# Words that begin with a folder of the tree; what is built or installed is no file of it.
paths() {
	local document path
	while read -r document; do
		while read -r path; do
			path=${path%[.,:;]}
			[ -e "$1/$path" ] || [ -e "$1/$path.h" ] || [[ $path = *'*'* && -n $(compgen -G "$1/$path") ]] ||
				complain "$document: no $path in the tree"
		done < <(grep -oE '(^|[ `(])(lib|node|ovc|ovr|chainwatch|cli|adapters|tests|contrib|doc|m4)/[A-Za-z0-9_./*{},-]*' \
			"$1/$document" | sed 's/^[ `(]//' | grep -v '[{}]' | grep -v '/FOLDER/' | sort -u)
	done < <(documents "$1")
}

# A line of a list that lost its list: make takes it as a command of the rule before.
lists() {
	local file said
	while read -r file; do
		said=$(awk '/^\t/ && !goes_on && !recipe { print FILENAME ":" FNR ": belongs to no list:" $0 }
			{ if (!goes_on && !/^\t/ && !/^$/) recipe = /^[^=]*:([^=]|$)/; goes_on = /\\$/ }' "$1/$file")
		[ -z "$said" ] || complain "$said"
	done < <(cd "$1" && find . -name Makefile.inc -o -name Makefile.am | sed 's|^\./||')
}

# A definition and a test are found where they are, a call and a comment are not enough.
self_test() {
	local tree
	tree=$(mktemp -d)
	mkdir -p "$tree/doc" "$tree/lib" "$tree/tests"
	printf 'int there(int a,\n\t  int b)\n{\n\treturn called(a);\n}\nint declared(void);\n' >"$tree/lib/a.c"
	printf 'static void a_thing_holds(void **state)\n{\n}\n' >"$tree/tests/a.c"
	printf 'ok "all is well: yes"\n' >"$tree/tests/a.sh"
	check_tree "$tree" functions architecture.md '`there()`' 0
	check_tree "$tree" functions architecture.md '`called()`' 1
	check_tree "$tree" functions architecture.md '`declared()`' 1
	check_tree "$tree" functions architecture.md 'A word called, and `struct mesh`.' 0
	check_tree "$tree" threats threat-model.md '`tests/a.c`: `a_thing_holds`' 0
	check_tree "$tree" threats threat-model.md '`tests/none.c`: `a_thing_holds`' 1
	check_tree "$tree" threats threat-model.md '`tests/a.c`: `a_thing_holds_not`' 1
	check_tree "$tree" threats threat-model.md '`tests/a.sh`: “all is well”' 0
	check_tree "$tree" threats threat-model.md '`tests/a.sh`: “all is lost”' 1
	check_tree "$tree" paths any.md 'See lib/a.c, `tests/*.sh` and (doc/any.md).' 0
	check_tree "$tree" paths any.md 'See `tests/none/`.' 1
	check_tree "$tree" paths any.md 'See doc/none.md for more.' 1
	check_tree "$tree" lists Makefile.inc "$(printf 'a = \\\n\tb \\\n\tc\nx: y\n\tmake it')" 0
	check_tree "$tree" lists Makefile.inc "$(printf 'x: y\n\tmake it\na = \\\n\tb\n\tc')" 1
	rm -rf "$tree"
}

check_tree() { # tree, check, document, text, wanted
	rm -f "$1"/doc/*
	printf '%s\n' "$4" >"$1/doc/$3"
	failed=0
	"$2" "$1" >/dev/null
	[ "$failed" = "$5" ] || { echo "self-test: $2 gave $failed for: $4"; rm -rf "$1"; exit 1; }
	failed=0
}

self_test
functions "$root"
threats "$root"
paths "$root"
lists "$root"
[ -s "$root/doc/architecture.md" ] || complain "doc/architecture.md is missing"
[ -s "$root/doc/threat-model.md" ] || complain "doc/threat-model.md is missing"
finish
