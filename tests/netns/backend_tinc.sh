#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR source=backends.sh
[ -x /usr/sbin/tincd ] || { echo "skip: needs tincd (apt install tinc)"; exit 77; }
. "$(dirname "$0")/backends.sh" tinc
