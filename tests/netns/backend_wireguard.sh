#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR source=backends.sh
[ -x /usr/bin/wireguard-go ] || { echo "skip: needs wireguard-go (apt install wireguard-go)"; exit 77; }
. "$(dirname "$0")/backends.sh" wireguard
