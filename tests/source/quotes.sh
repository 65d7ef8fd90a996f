#!/bin/bash
# Every comment that quotes a rule ("RECORDS 3.1: …", "PROTOCOL 5.2: …") has it word for word from
# doc/records.md or doc/protocol.md, so that a changed rule finds the code that follows it. The first
# sentence is the quote; "…" leaves words out; the case of its first letter does not matter.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

quotes() {
	local files
	mapfile -t files < <(c_files "$1" | grep -v '^tests/')
	[ ${#files[@]} -gt 0 ] || return 0
	(cd "$1" && perl -e '
		use strict; use warnings;
		my (%rule, $bad);
		sub folded { my $t = shift; $t =~ s/\s+/ /g; $t =~ s/^ | $//g; $t }
		for my $doc ("RECORDS", "PROTOCOL") {
			my $path = "doc/" . lc($doc) . ".md";
			next unless -e $path;
			open(my $f, "<", $path) or die; local $/; my $text = <$f>;
			# a rule goes to the next rule or heading
			while ($text =~ /($doc \d+\.\d+): (.*?)(?=$doc \d+\.\d+:|^#|\z)/gms) {
				$rule{$1} = folded($2);
			}
		}
		for my $path (@ARGV) {
			open(my $f, "<", $path) or die "$path: $!"; local $/; my $text = <$f>;
			while ($text =~ m{/\*(.*?)\*/}gs) {
				my $line = 1 + (substr($text, 0, $-[0]) =~ tr/\n//);
				(my $comment = $1) =~ s/^\s*\* ?//gm;
				while ($comment =~ /((?:RECORDS|PROTOCOL) \d+\.\d+): (.*?)(?=(?:RECORDS|PROTOCOL) \d+\.\d+:|\z)/gs) {
					my ($name, $said) = ($1, folded($2));
					if (!defined $rule{$name}) {
						print "$path:$line: $name is no rule of the document\n"; $bad = 1; next;
					}
					$said =~ s/[.] .*//; $said =~ s/[.:;]$//;
					for my $part (map { folded($_) } split /\[?(?:\xe2\x80\xa6|\.\.\.)\]?/, $said) {
						my ($first, $rest) = (substr($part, 0, 1), substr($part, length($part) ? 1 : 0));
						next if index($rule{$name}, uc($first) . $rest) >= 0;
						next if index($rule{$name}, lc($first) . $rest) >= 0;
						print "$path:$line: $name does not say: $part\n"; $bad = 1;
					}
				}
			}
		}
		exit($bad ? 1 : 0);
	' "${files[@]}") || failed=1
}

must_fail quotes lib/wire/a.c '/* RECORDS 1.1: A payload is at most 81 bytes. */\n'
must_fail quotes lib/wire/a.c '/* RECORDS 99.1: A payload is at most 80 bytes. */\n'
must_fail quotes lib/wire/a.c '/* PROTOCOL 1.1: A payload is at most 80 bytes. */\n'
must_fail quotes node/a.h 'int a; /* RECORDS 1.1: A payload is at most\n * 80 bytes and more. */\n'
must_pass quotes node/a.h 'int a; /* RECORDS 1.1: a payload is at most\n * 80 bytes. So it fits. */\n'
must_pass quotes node/a.h 'int a; /* RECORDS 1.1: A payload is at\n\t * most 80   bytes. */\n'
must_pass quotes node/a.h '/* RECORDS 1.1: A payload … 80 bytes */\n'
must_pass quotes node/a.h '/* Which is RECORDS 1.1 and nothing else. */\n'
quotes "$root"
finish
