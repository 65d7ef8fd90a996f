# shellcheck shell=bash disable=SC2034
# Sourced by contrib/demo, contrib/check and contrib/bench: the Debian packages that each needs, and how they come.

deps_build="gcc make autoconf automake libtool autoconf-archive pkg-config lowdown
	libsodium-dev libsecp256k1-dev libssl-dev libuv1-dev libjansson-dev libinih-dev libmnl-dev libseccomp-dev
	libcap-ng-dev libsqlite3-dev libcurl4-openssl-dev libzmq3-dev uthash-dev libqrencode-dev"
# Optional at build time, and there on every amd64 Debian: AES-GCM by VAES.
deps_amd64="libipsec-mb-dev"
deps_demo="litecoind curl jq iproute2 nftables iputils-ping netcat-openbsd util-linux procps sqlite3"
# Of contrib/demo --backend.
deps_wireguard="wireguard-go"
deps_tinc="tinc"
deps_exec="nebula python3"
deps_check="libcmocka-dev wireguard-go wireguard-tools tinc openssl procps socat man-db clang-format shellcheck python3 python3-pytest python3-zmq python3-cryptography sqlite3 iperf3 dnsmasq-base nebula"
deps_bench="libcmocka-dev ethtool python3 iperf3 wireguard-tools iputils-ping"
# Of contrib/bench relay.
deps_relay="coturn python3-cryptography"
# Of contrib/bench net --peers.
deps_peers="wireguard-go tinc fastd openvpn nebula yggdrasil"
# For contrib/guest.
deps_guest="qemu-system-x86 busybox-static kmod cpio"
deps_long="clang libclang-rt-14-dev llvm valgrind"

# deps_install PACKAGE...: installs what is missing; asks nothing.
deps_install()
{
	local missing="" package

	[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] && set -- "$@" $deps_amd64
	for package in "$@"; do
		case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
		*" installed") ;;
		*) missing="$missing $package" ;;
		esac
	done
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" != 0 ]; then
		echo "missing packages; install them as root, then run this again:" >&2
		echo "  apt-get install --no-install-recommends$missing" >&2
		return 1
	fi
	echo "installing:$missing"
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086
	apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1 ||
		{ apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing >/dev/null; }
}

# deps_configure SOURCE BUILD [OPTION...]: autoreconf when needed, configure out of tree when needed.
deps_configure()
{
	local source=$1 build=$2

	shift 2
	[ -x "$source/configure" ] || (cd "$source" && autoreconf -fi >/dev/null 2>&1) ||
		{ echo "autoreconf failed in $source: run it there by hand to see why" >&2; return 1; }
	mkdir -p "$build"
	[ -f "$build/Makefile" ] || (cd "$build" && "$source/configure" -q "$@")
}
