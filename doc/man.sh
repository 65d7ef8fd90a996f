#!/bin/sh
# man.sh PAGE.md [PROGRAM]: the page as man(7), @OPTIONS@ replaced by what PROGRAM --print-man says.
set -eu
page=$1 program=${2:-}
options=$(mktemp)
trap 'rm -f "$options"' EXIT
if [ -n "$program" ]; then
	"$program" --print-man >"$options"
fi
sed -e "/^@OPTIONS@\$/{
r $options
d
}" "$page" | "${LOWDOWN:-lowdown}" -s -Tman --out-no-smarty
