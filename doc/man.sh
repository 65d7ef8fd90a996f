#!/bin/sh
# man.sh PAGE.md [PROGRAM]: the page as man(7), @OPTIONS@ replaced by what PROGRAM --print-man says, folders by
# those of this build (SYSCONFDIR, STATEDIR, RUNDIR).
set -eu
page=$1 program=${2:-}
options=$(mktemp)
trap 'rm -f "$options"' EXIT
if [ -n "$program" ]; then
	"$program" --print-man >"$options"
fi
sed -e "s|/etc/dnet|${SYSCONFDIR:-/etc}/dnet|g" -e "s|/var/lib/dnet|${STATEDIR:-/var/lib}/dnet|g" \
	-e "s|/run/dnet|${RUNDIR:-/run}/dnet|g" -e "/^@OPTIONS@\$/{
r $options
d
}" "$page" |
	# An underscore inside a word is one, and no emphasis.
	sed -e '/^    /!s/\([A-Za-z0-9]\)_\([A-Za-z0-9]\)/\1\\_\2/g' |
	"${LOWDOWN:-lowdown}" -s -Tman --out-no-smarty
