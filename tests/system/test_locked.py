"""Secrets of ovcd and ovrd are in memory that is neither swapped out nor dumped, where the limit of locked memory allows it;
where it does not, the log says so, and they serve. (dnetd: test_secrets.py.)"""

import os
import re
import resource
import signal
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import live  # noqa: E402
import testlib as lib  # noqa: E402
from spec_protocol import curve  # noqa: E402
from test_helpers import KINDS, Helper  # noqa: E402

lib.end_in_order()
if os.geteuid():
    print("SKIP: needs root: who else may not look into the memory of a process that is not to be dumped")
    sys.exit(77)

KIB = 1024
WITHOUT_RIGHT = ["setpriv", "--bounding-set", "-ipc_lock,-sys_resource", "--inh-caps", "-ipc_lock,-sys_resource"]


@pytest.fixture(params=KINDS)
def helper(request):
    with tempfile.TemporaryDirectory(prefix="dnet-test-") as folder:
        h = Helper(request.param, folder)
        with open(os.path.join(folder, "state/service.key")) as f:
            h.secret = bytes.fromhex(f.read())
        try:
            yield h
        finally:
            h.stop(signal.SIGKILL)


def start(helper, limit, *by):
    """With this limit of locked memory, which it may not raise."""
    def before():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))

    argv = [*by, *helper.argv(*helper.options())]
    helper.process = lib.Process(argv, os.path.join(helper.folder, "log"), before)
    lib.wait_for(helper.status, "it serves", 10)
    return lib.Memory(helper.process.pid)


def places(memory, secret):
    found = memory.find(secret)
    assert found, "the key is not found: this test sees nothing"
    return found


def locked_kib(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"^VmLck:\s*(\d+) kB", f.read(), re.M)[1])


def test_a_key_is_locked_under_a_finite_limit(helper):
    memory = start(helper, 1024 * KIB, *WITHOUT_RIGHT)
    lib.protected(memory, "the service key", helper.secret)
    assert not memory.find(helper.secret.hex().encode()), "its text is still there"
    assert "only keys are kept from being swapped out, and of these up to 1024 KiB" in helper.process.log()
    assert 0 < locked_kib(helper.process.pid) <= 1024


def test_where_nothing_may_be_locked_it_is_said_and_it_serves(helper):
    """And this test sees what is not locked, so that the other one can fail."""
    memory = start(helper, 0, *WITHOUT_RIGHT)
    assert "up to 0 KiB" in helper.process.log()
    assert locked_kib(helper.process.pid) == 0
    for _, flags in places(memory, helper.secret):
        assert "lo" not in flags and "dd" in flags, flags


def may_be_infinite():
    pid = os.fork()
    if not pid:
        try:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        except (OSError, ValueError):
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def test_without_a_limit_all_of_its_memory_is_locked(helper):
    if not may_be_infinite():
        pytest.skip("needs the right to raise RLIMIT_MEMLOCK to infinity (CAP_SYS_RESOURCE)")
    memory = start(helper, resource.RLIM_INFINITY)
    lib.protected(memory, "the service key", helper.secret)
    unlocked = [(name, flags) for name, data, flags in memory.areas if "lo" not in flags and any(data)]
    assert not unlocked, unlocked


def pids_below(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [pid] + [n for child in f.read().split() for n in pids_below(int(child))]


def resident_kib(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"^VmRSS:\s*(\d+) kB", f.read(), re.M)[1])


def in_use(limit):
    """What dnetd's processes, one of them a root helper, have in memory and locked, in KiB, with many members of its dnet."""
    world = live.World()
    live.Dnetd.front = ["prlimit", "--memlock=%s:%s" % (limit, limit)]
    try:
        world.start()
        for number in range(3, 103):
            world.chain.call("node", world.id, curve.pub(bytes([number]) * 32).hex(), "n%d" % number)
        world.chain.call("height", "111")
        lib.wait_for(lambda: world.dnetd.call("status")["dnets"][0].get("peers_total") == 101, "all are known")
        pids = pids_below(world.dnetd.process.pid)
        assert len(pids) == 2, pids
        return sum(map(resident_kib, pids)), sum(map(locked_kib, pids))
    finally:
        live.Dnetd.front = []
        world.stop()


def test_what_is_locked_is_what_is_used():
    """All of it, and no more of the machine than without: what is only reserved takes none."""
    if not may_be_infinite():
        pytest.skip("needs the right to raise RLIMIT_MEMLOCK to infinity (CAP_SYS_RESOURCE)")
    usual, _ = in_use(8192 * KIB)
    resident, locked = in_use("unlimited")
    assert locked >= resident * 9 // 10, (locked, resident)
    assert resident < usual + 8192, (resident, usual)


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
