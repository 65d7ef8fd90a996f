#!/bin/bash
# No amount is a floating point number. One line may read one, where JSON of a chain node has it (why that is exact
# stands there); what cli/cmd_member.c prints are times.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

amounts() {
	local files
	mapfile -t files < <(c_files "$1" | grep -E '^cli/|^lib/core/(amount|txbuild|multisig|psbtsign)|^lib/wire/(psbt|tx)\.' |
		grep -v '^cli/cmd_member.c')
	[ ${#files[@]} -gt 0 ] || return 0
	(cd "$1" && perl -e '
		for my $path (@ARGV) {
			open(my $f, "<", $path) or die "$path: $!"; local $/; my $text = <$f>;
			# comments go, lines stay
			$text =~ s{/\*.*?\*/}{my $c = $&; $c =~ tr/\n//cd; $c}gse;
			my $n = 0;
			for my $line (split /\n/, $text) {
				$n++;
				(my $code = $line) =~ s/"(?:[^"\\]|\\.)*"/""/g;
				next unless $code =~ /\b(double|float|strtod|strtof|atof|json_real|json_real_value|json_number_value|json_is_real)\b/;
				next if $path eq "cli/wallet.c" &&
					$line eq "\tsnprintf(text, sizeof(text), \"%.8f\", json_number_value(value));";
				print "$path:$n: an amount as a floating point number? $line\n";
			}
		}' "${files[@]}") | grep . && failed=1
}

must_fail amounts cli/a.c 'int f(void)\n{\n\treturn (int)(double)2;\n}\n'
must_fail amounts lib/core/txbuild.c 'float fee;\n'
must_pass amounts cli/a.c '/* a double spend */\nconst char *a = "float";\n'
must_pass amounts cli/cmd_member.c 'double ms;\n'
amounts "$root"
finish
