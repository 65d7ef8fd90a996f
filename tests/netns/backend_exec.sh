#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR source=backends.sh
command -v nebula nebula-cert >/dev/null || { echo "skip: needs nebula (apt install nebula)"; exit 77; }
. "$(dirname "$0")/backends.sh" exec
