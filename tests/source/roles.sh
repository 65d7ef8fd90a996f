#!/bin/bash
# The table "Privilege" of doc/threat-model.md says of each process what lib/os/sandbox_roles.c lets it do: no more, no less, in the same order.
# shellcheck source-path=SCRIPTDIR source=lib.sh disable=SC2016
. "$(dirname "$0")/lib.sh"

# NAME | capabilities | calls | sockets | TCP | ioctl | files
of_code() {
	perl -0777 -ne '
		my %macro;
		s{^#define (\w+) \\\n((?:.*\\\n)*.*\n)}{ $macro{$1} = $2; "" }gme;
		s{/\*.*?\*/}{}gs;
		my ($table) = /sandbox_roles\[SANDBOX_ROLES\] = \{(.*?)\n\};/s or exit;
		while ($table =~ /\[SANDBOX_\w+\]\s*=\s*\{(.*?)\n\t\t\}/gs) {
			my $row = $1;
			my $list = sub {
				my ($field, $what) = @_;
				return "" unless $row =~ /\.$field = \{((?:[^{}]|\{[^{}]*\})*)\}/s;
				my $text = $1;
				$text =~ s/\b([A-Z]+)\b/exists $macro{$1} ? $macro{$1} : $1/ge;
				return join " ", $text =~ /$what/g;
			};
			my ($name) = $row =~ /\.name = "([^"]*)"/;
			my ($tcp) = $row =~ /\.tcp = SANDBOX_TCP_(\w+)/;
			my ($state) = $row =~ /\.has_state = true/ ? "state" : "";
			print join("|", $name, $list->("capabilities", qr/CAP_\w+/), $list->("calls", qr/"(\w+)"/),
				$list->("families", qr/AF_\w+/), lc($tcp // ""), $list->("ioctls", qr/\b[A-Z]+\b/),
				$list->("paths", qr/"([^"]+)"/), $state), "\n";
		}
	' "$1/lib/os/sandbox_roles.c" | sort
}

# The same of the rows whose first cell is a name in backquotes, within the section.
of_document() {
	perl -ne '
		$in = /^### Privilege/ if /^#/;
		next unless $in && /^\| `([^`]+)` \|/;
		my $name = $1;
		my @cells = split /\s*\|\s*/;
		print join("|", $name, (map { join " ", ($cells[$_] // "") =~ /`([^`]+)`/g } 3 .. 8),
			($cells[9] // "") =~ /\bstate folder\b/ ? "state" : ""), "\n";
	' "$1/doc/threat-model.md" | sort
}

roles() {
	local said
	[ -f "$1/lib/os/sandbox_roles.c" ] || { complain "no lib/os/sandbox_roles.c"; return; }
	[ -n "$(of_code "$1")" ] || complain "lib/os/sandbox_roles.c: no table of roles"
	said=$(diff <(of_code "$1") <(of_document "$1")) ||
		complain "doc/threat-model.md differs from lib/os/sandbox_roles.c (<):" "$said"
}

self_test() {
	local tree
	tree=$(mktemp -d)
	mkdir -p "$tree/lib/os" "$tree/doc"
	printf '#define BOTH \\\n\t{"/a", 1}, \\\n\t{"/b", 1}\nconst struct sandbox_role sandbox_roles[SANDBOX_ROLES] = {\n\t[SANDBOX_X] =\n\t\t{\n\t\t\t.name = "x y",\n' >"$tree/lib/os/sandbox_roles.c"
	printf '\t\t\t.has_state = true,\n\t\t\t.calls = {"bind", /* "no" */ "connect"},\n\t\t\t.tcp = SANDBOX_TCP_DNS,\n\t\t\t.paths = {BOTH, {"/c", 2}},\n\t\t},\n};\n' >>"$tree/lib/os/sandbox_roles.c"
	try "$tree" 0 '| `x y` | u | none | `bind` `connect` | none | `dns` | none | `/a` `/b` `/c` | state folder |'
	try "$tree" 1 '| `x y` | u | none | `bind` `connect` `fork` | none | `dns` | none | `/a` `/b` `/c` | state folder |'
	try "$tree" 1 '| `x y` | u | none | `bind` | none | `dns` | none | `/a` `/b` `/c` | state folder |'
	try "$tree" 1 '| `x y` | u | none | `bind` `connect` | none | `dns` | none | `/a` `/c` | state folder |'
	try "$tree" 1 '| `x y` | u | `CAP_KILL` | `bind` `connect` | none | `dns` | none | `/a` `/b` `/c` | state folder |'
	try "$tree" 1 '| `x y` | u | none | `bind` `connect` | none | `dns` | none | `/a` `/b` `/c` | none |'
	rm -rf "$tree"
}

try() { # tree, wanted, row
	printf '### Privilege\n\n%s\n' "$3" >"$1/doc/threat-model.md"
	failed=0
	roles "$1" >/dev/null
	[ "$failed" = "$2" ] || { echo "self-test: roles gave $failed for: $3"; of_code "$1"; of_document "$1"; rm -rf "$1"; exit 1; }
	failed=0
}

self_test
roles "$root"
finish
