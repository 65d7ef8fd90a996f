"""ovcd and ovrd, as they run in earnest, on a state folder whose disk fails at single calls, or killed there: each says
so or goes on, and the next start serves what was known, with the same key. (Each file by itself, every call:
tests/unit/service/disk.c.)"""

import contextlib
import errno
import os
import signal
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import faultlib  # noqa: E402
import testlib as lib  # noqa: E402
from test_helpers import KINDS, Helper, keep_copy, members, put_back  # noqa: E402

faultlib.need_library()
lib.end_in_order()


class World:
    """A helper that serves one member; the state folder can be put back to before it knew anything but its key."""

    def __init__(self, kind, folder):
        self.helper = Helper(kind, folder)
        self.helper.chain("grant", self.helper.id, self.helper.dnet)
        self.state = os.path.join(folder, "state")
        self.faults = faultlib.Faults(os.path.join(folder, "plan"), self.state)

    def forget(self):
        for name in os.listdir(self.state):
            if name != "service.key":
                os.unlink(os.path.join(self.state, name))

    def begin(self):
        """Starts it; False: it has ended."""
        h = self.helper
        h.process = lib.Process([*self.faults.front, *h.argv(*h.options())], os.path.join(h.folder, "log"))

        def served():
            if not h.process.alive():
                return "ended"
            with contextlib.suppress(OSError, ValueError, IndexError):
                return h.call("status")["tenants"][0]["members"] == 1
            return None
        return lib.wait_for(served, "it serves or ends") is True

    def known(self):
        """Without chain.db, from its state alone: the member is served, or nothing is known."""
        h = self.helper
        old = keep_copy(h)
        for end in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(h.db + end)
        h.start()
        found = members(h)
        assert h.call("status")["key"] == h.key
        h.stop(signal.SIGKILL)
        put_back(h, old)
        return found


@pytest.fixture(params=KINDS)
def world(request):
    with tempfile.TemporaryDirectory(prefix="dnet-test-") as folder:
        w = World(request.param, folder)
        try:
            yield w
        finally:
            w.helper.stop(signal.SIGKILL)


@pytest.mark.parametrize("action,kinds", [(errno.EIO, faultlib.WRITES), (faultlib.TEAR, faultlib.WRITES),
                                          (errno.EIO, faultlib.READS)], ids=["io-error", "killed", "unreadable"])
def test_whichever_call_fails_it_says_so_and_the_next_start_serves(world, action, kinds):
    number = hits = 0
    while True:
        number += 1
        if kinds == faultlib.WRITES:
            world.forget()
        with world.faults.at(action, number, kinds=kinds) as faults:
            begin = os.path.getsize(log) if os.path.exists(log := os.path.join(world.helper.folder, "log")) else 0
            serves = world.begin()
            process = world.helper.process
            what = faults.entries()[number - 1] if faults.hits else None
            status = process.child.poll()
            if serves and faults.hits == 0:
                world.helper.stop(signal.SIGKILL)
                break
        hits += 1
        if action == faultlib.TEAR:
            assert status in (None, -signal.SIGKILL), (what, status)
        elif not serves:
            words = process.log()[begin:]
            assert status == 1 and os.strerror(action) in words, (what, status, words)
        world.helper.stop(signal.SIGKILL)
        left = world.known()
        assert left in (None, 0, 1), what
        world.helper.start()
        lib.wait_for(lambda: members(world.helper) == 1, "it serves as ever")
        world.helper.stop(signal.SIGKILL)
        assert world.known() == 1, what
        assert not [n for n in os.listdir(world.state) if ".new-" in n or n.endswith(".bad")]
    assert hits >= 4, hits


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
