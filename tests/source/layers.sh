#!/bin/bash
# Who may include whom. Bytes below decisions and effects, daemons on top, none below knows one above.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# Folders whose headers the files of a folder may include (besides its own).
allowed() {
	case $1 in
	lib/wire/*) echo wire ;;
	lib/core/*) echo core wire ;;
	lib/os/*) echo os wire ;;
	lib/embed/*) echo embed wire core os ;;
	lib/service/*) echo service wire core os ;;
	hub/*) echo hub adapters node wire core os service ;;
	node/* | ovc/* | ovr/*) echo "${1%%/*}" wire core os service ;;
	chainwatch/* | dashboard/* | adapters/* | cli/*)
		echo "${1%%/*}" wire core os ;;
	*) echo any ;;
	esac
}

# System headers of lib/wire: nothing that allocates, reads or writes (stdio: snprintf).
wire_system='arpa/inet|assert|ctype|errno|limits|stdarg|stdbool|stddef|stdint|stdio|string|sodium|openssl/[a-z]*'
# lib/core has no socket, file, clock, thread or source of chance.
core_banned='fcntl|netdb|poll|pthread|sys/epoll|sys/file|sys/random|sys/socket|sys/stat|sys/time|sys/uio|time|unistd|uv|curl/curl|sqlite3|zmq'

check_one() { # tree, file
	local tree=$1 file=$2 folder name may
	may=" $(allowed "$file") "
	while read -r name; do
		folder=${name%%/*}
		[ "$may" = " any " ] && continue
		[ "$name" = config.h ] && continue
		[ "$name" = adapters/adapter.h ] && [ "${file%%/*}" = node ] && continue
		case $may in
		*" $folder "*) ;;
		*) complain "$file: may not include \"$name\" (only:$may)" ;;
		esac
	done < <(sed -n 's/^[ \t]*#[ \t]*include[ \t]*"\([^"]*\)".*/\1/p' "$tree/$file")
	while read -r name; do
		case $file in
		lib/wire/*) [[ ${name%.h} =~ ^($wire_system)$ ]] ||
			complain "$file: <$name> is not for lib/wire" ;;
		lib/core/*) [[ ${name%.h} =~ ^($core_banned)$ ]] &&
			complain "$file: <$name> is not for lib/core" ;;
		esac
	done < <(sed -n 's/^[ \t]*#[ \t]*include[ \t]*<\([^>]*\)>.*/\1/p' "$tree/$file")
}

layers() {
	local file
	while read -r file; do
		case $file in
		lib/* | chainwatch/* | hub/* | node/* | ovc/* | ovr/* | dashboard/* | adapters/* | cli/*)
			check_one "$1" "$file" ;;
		esac
	done < <(c_files "$1")
}

must_fail layers lib/wire/a.c '#include "core/id.h"\n'
must_fail layers lib/wire/a.c '#include <stdlib.h>\n'
must_fail layers lib/core/a.c '#include "os/log.h"\n'
must_fail layers lib/core/a.c '#include <sys/socket.h>\n'
must_fail layers lib/os/a.h '  # include "core/id.h"\n'
must_fail layers ovc/a.c '#include "node/node.h"\n'
must_fail layers ovr/a.c '#include "adapters/adapter.h"\n'
must_fail layers node/a.c '#include "adapters/native.h"\n'
must_fail layers adapters/a.c '#include "node/node.h"\n'
must_fail layers cli/a.c '#include "a.h"\n'
must_pass layers node/a.c '#include "adapters/adapter.h"\n#include "node/node.h"\n#include "wire/key.h"\n'
must_pass layers lib/core/a.c '#include "core/id.h"\n#include "wire/key.h"\n\n#include <stdlib.h>\n'
layers "$root"
finish
