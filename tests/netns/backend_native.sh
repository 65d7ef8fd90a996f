#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR source=backends.sh
. "$(dirname "$0")/backends.sh" native
