#!/usr/bin/env bash
# What a test leaves behind when it is broken off, and told so again and again while it cleans up (make passes a signal on to
# who had it already): no namespace, no process, no file. For tests in shell (lib.sh) and in Python (live.py).
#
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_root

cat >"$dir/victim.sh" <<S
. "$here/lib.sh"
need_root
netns a
netns b
veth a 198.51.100.1/24 b 198.51.100.2/24
chain init
start a
in_ns a sleep 1000 &
touch "\$1"
wait
S
cat >"$dir/victim.py" <<P
import signal, sys
sys.dont_write_bytecode = True
sys.path.insert(0, "$here/../system")
import pytest, live, testlib
live.need_namespaces()

@pytest.fixture
def world():
    made = live.World()
    try:
        made.start()
        yield made
    finally:
        made.stop()

def test_that_waits(world):
    live.Namespace("more")
    testlib.Process(["ip", "netns", "exec", world.namespaces[0].name, "sleep", "1000"], "/dev/null")
    open(sys.argv[1], "w").close()
    while True:
        signal.pause()

if __name__ == "__main__":
    pytest.main([__file__, "-q", "-p", "no:cacheprovider"])
P

# told SIGNAL GROUP: each millisecond (a fork), until nobody is there to hear it.
told()
{
	timeout $((10 * patience)) bash -c "while kill -$1 -- -$2; do /bin/true; done" 2>/dev/null
}

# traces PID: nothing of it is there.
traces()
{
	find /run/netns /tmp -maxdepth 1 -name "d[at]$1[-.]*" 2>/dev/null
	pgrep -ag "$1"
}

gone_without_trace()
{
	[ -z "$(traces "$1")" ]
}

for victim in "bash $dir/victim.sh" "${PYTHON:-/usr/bin/python3} $dir/victim.py"; do
	for signal in TERM HUP; do
		rm -f "$dir/ready"
		# shellcheck disable=SC2086 # what nohup(1) ignores is not heard otherwise
		TMPDIR=$dir env --default-signal=$signal setsid $victim "$dir/ready" >"$dir/victim.log" 2>&1 &
		group=$!
		within 10 test -e "$dir/ready" || die "${victim##*/} does not begin: $(cat "$dir/victim.log")"
		[ -n "$(traces $group)" ] || die "nothing to be seen of ${victim##*/}"
		told $signal $group || die "${victim##*/} does not end by SIG$signal: $(cat "$dir/victim.log")"
		within 5 gone_without_trace $group || die "SIG$signal: ${victim##*/} leaves: $(traces $group)"
		[ -z "$(find "$dir" -maxdepth 1 -name 'dnet-test-*')" ] || die "SIG$signal: ${victim##*/} leaves its folder"
	done
done
ok "who is broken off, by SIGTERM and SIGHUP and many times, leaves no namespace, process or file"
