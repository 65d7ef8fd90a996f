"""chainwatch on a disk that fails at single calls of SQLite, or killed there, also with half of a write done: chain.db is
that of a height, whole, and afterwards it comes to what one has that saw no trouble.

The first calls, and some that are drawn from the seed that is printed; DNET_SEED=N draws the same, DNET_ROUNDS=N
(contrib/long) takes them all."""

import errno
import os
import random
import shutil
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import faultlib  # noqa: E402
import testlib as lib  # noqa: E402

lib.need_litecoind()
faultlib.need_library()

SEED = int(os.environ.get("DNET_SEED") or random.randrange(1 << 32))
ALL = bool(os.environ.get("DNET_ROUNDS"))
FIRST, SOME = 12, 12  # those that open it, and of the others
print("DNET_SEED=%d" % SEED, flush=True)


class Chainwatch(lib.Chainwatch):
    front = []

    def argv(self, *extra):
        return self.front + super().argv(*extra)


class World:
    """A chain.db that is a few blocks behind, kept in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.node = lib.Litecoind(os.path.join(folder, "node"))
        self.watch = None

    def start(self):
        self.node.start()
        self.node.wallet(120)
        self.watch = Chainwatch(self.folder, self.node, poll="20ms", **{"log-level": "info"})
        self.faults = faultlib.Faults(os.path.join(self.folder, "plan"), os.path.dirname(self.watch.db))
        self.watch.front = self.faults.front
        self.watch.start()
        self.watch.wait_tip()
        self.watch.stop()
        self.good = os.path.join(self.folder, "good")
        shutil.copytree(os.path.dirname(self.watch.db), self.good)
        self.legal = [self.watch.dump()]
        owner = lib.Owner(self.node)
        for n in range(3):
            owner.send(lib.dnet_create("office") if n == 0 else lib.node_put(n, "n%d" % n))
            self.node.mine()
            self.run_to_tip()
            self.legal.append(self.watch.dump())

    def run_to_tip(self):
        self.watch.start()
        self.watch.wait_tip()
        self.watch.stop()

    def put_back(self):
        folder = os.path.dirname(self.watch.db)
        shutil.rmtree(folder)
        shutil.copytree(self.good, folder)

    def stop(self):
        if self.watch:
            self.watch.stop(signal.SIGKILL)
        self.node.stop()


@pytest.fixture(scope="module")
def world():
    with lib.started(World) as world:
        yield world


def at_tip_or_ended(watch):
    """None while it is at work."""
    if not watch.process.alive():
        return "ended"
    try:
        status = watch.status()
    except (OSError, ValueError):
        return None
    return status["state"] == "following" and status["hash"] == watch.node.getbestblockhash() and "at the tip"


def check(world, what):
    assert world.watch.query("PRAGMA integrity_check") == [("ok",)], what
    assert world.watch.dump() in world.legal, "a third state: " + what
    world.run_to_tip()
    assert world.watch.dump() == world.legal[-1], what


def go_with(world, action, number, kinds):
    """Reads on to the tip and ends, with one call that fails. False: there is no such call."""
    world.put_back()
    log = os.path.getsize(world.watch.process.log_path) if world.watch.process else 0
    with world.faults.at(action, number, kinds=kinds) as faults:
        world.watch.start(wait=False)
        process = world.watch.process
        lib.wait_for(lambda: at_tip_or_ended(world.watch), "it is at the tip, or has ended")
        ended = not process.alive()
        world.watch.process = None
        status = process.stop() if not ended else process.child.wait()
        if not faults.hits:
            assert status == 0
            return False
        what = "call %d (%s), which failed with %d: status %d" % (
            number, " ".join(faults.entries()[number - 1]), action, status)
    if action < 0:
        assert status == -signal.SIGKILL, what
    else:
        assert status in (0, 1), what
        if ended:
            assert "chain.db" in process.log()[log:], what + process.log()[-2000:]
    check(world, what)
    return True


def calls(world, kinds):
    """How many there are without a fault; the numbers that are tried."""
    world.put_back()
    with world.faults.logged(kinds) as faults:
        world.run_to_tip()
        count = faults.count
    assert count > 50  # with the cache that chainwatch has, a page is read once
    if ALL:
        return range(1, count + 1)
    return sorted([*range(1, FIRST + 1), *random.Random(SEED).sample(range(FIRST + 1, count + 1), SOME)])


@pytest.mark.parametrize("action,kinds", [
    (errno.EIO, faultlib.WRITES), (errno.ENOSPC, faultlib.WRITES), (errno.EIO, faultlib.READS), (faultlib.TEAR, faultlib.WRITES)],
    ids=["io-error", "full", "unreadable", "killed"])
def test_whichever_call_fails_chain_db_is_that_of_a_height_and_it_goes_on(world, action, kinds):
    hits = sum(go_with(world, action, number, kinds) for number in calls(world, kinds))
    assert hits > FIRST + SOME // 3


def test_what_is_read_again_is_synced_first(world):
    """The log of SQLite is synced before its pages go into chain.db."""
    world.put_back()
    with world.faults.logged() as faults:
        world.run_to_tip()
    entries = faults.entries()
    into = [n for n, words in enumerate(entries) if words[:2] == ["write", "chain.db"]]
    logged = [n for n, words in enumerate(entries) if words[:2] == ["write", "chain.db-wal"]]
    synced = [n for n, words in enumerate(entries) if words == ["sync", "chain.db-wal"]]
    assert into and logged and synced
    last = max(n for n in logged if n < into[0])
    assert any(last < n < into[0] for n in synced), (last, synced, into[0])
    assert ["sync", "chain.db"] in entries[into[-1]:]


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
