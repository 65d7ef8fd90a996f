"""A light chainwatch that comes to follow a dnet whose block is far behind: it is read beside chain.db, in pieces."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import lying_peer as peers  # noqa: E402
import testlib as lib  # noqa: E402
from lightlib import Dnet, Light, both_at_tip, folder, nodes  # noqa: E402,F401

lib.need_litecoind()

LONG = 1200    # blocks…
WINDOW = 256   # …filters asked for at once
STEP_S = 0.25  # longer than a step is


@pytest.fixture(scope="module")
def world(nodes):
    """Two dnets, of which the second is far behind at the end."""
    with lib.Folder() as folder:
        node = nodes[0]
        first = Dnet(node, folder, "first")
        node.mine(6)  # what is made in a block that is read whole is followed too
        second = Dnet(node, folder, "second")
        anybody = node.getdescriptorinfo("raw(51)")["descriptor"]
        first.put(1, "alice")
        second.put(2, "bob")
        second.owner.send(lib.node_put(3, "carol", "10.9.0.3"))
        node.generatetodescriptor(LONG, anybody)
        second.owner.send(lib.node_del(3))
        first.put(4, "dave")
        both_at_tip(nodes)
        yield nodes, first, second


class Slow(peers.Lie):
    """Says the truth, a window of filters in the time of a step once it is told to."""

    def __init__(self):
        self.slow, self.told = threading.Event(), 0

    def answered(self, command, payload):
        if command == "cfilter" and self.slow.is_set():
            self.told += 1
            if self.told % WINDOW == 0:
                threading.Event().wait(STEP_S)


@pytest.fixture
def slow(world):
    made = [peers.LyingPeer(node, Slow()) for node in world[0]]
    yield made
    for peer in made:
        peer.stop()


@pytest.fixture
def watch(world, folder, slow):
    """At the tip, following the first."""
    nodes, first, _ = world
    watch = Light(folder, nodes[0], slow, [first.follow])
    try:
        watch.start()
        watch.wait_tip(60)
        yield watch
    finally:
        watch.stop()


def late(watch, dnet):
    assert watch.call("follow", {"id": dnet.id, "height": dnet.height}) == {"new": True}


def beside(watch):
    """The height that the file beside chain.db has come to; None: there is none."""
    path = watch.db + "-follow"
    if not os.path.exists(path):
        return None
    try:
        db = sqlite3.connect("file:%s?mode=ro" % path, uri=True, timeout=1)
        try:
            return db.execute("SELECT max(height) FROM block").fetchone()[0]
        finally:
            db.close()
    except sqlite3.Error:
        return None


def left(watch):
    folder = os.path.dirname(watch.db)
    return [name for name in os.listdir(folder) if "-follow" in name]


def followed_from_the_begin(nodes, *dnets):
    with lib.Folder() as folder:
        watch = Light(folder, nodes[0], nodes, [dnet.follow for dnet in dnets])
        try:
            watch.start()
            watch.wait_tip(60)
            return watch.dump(), watch.query("SELECT height, tx_index, vout, pos FROM record_log ORDER BY n")
        finally:
            watch.stop()


def test_what_is_followed_late_is_as_if_it_always_had_been(world, watch):
    nodes, first, second = world
    late(watch, second)
    watch.wait_names("alice", "bob", "dave", seconds=60)
    lib.wait_for(lambda: not left(watch), "nothing is left beside it")
    assert watch.query("SELECT type FROM revocation WHERE object = ?", second.id) == [("NODE_DEL",)]
    dump, order = followed_from_the_begin(nodes, first, second)
    assert dump == watch.dump()
    assert order == watch.query("SELECT height, tx_index, vout, pos FROM record_log ORDER BY n")
    # and it goes on, for both, and back
    second.put(5, "eve")
    watch.wait_names("alice", "bob", "dave", "eve")
    tip = nodes[0].getbestblockhash()
    for node in nodes:
        node.invalidateblock(tip)
    for _ in range(2):
        nodes[0].generateblock(nodes[0].getnewaddress(), [])
    both_at_tip(nodes)
    watch.wait_names("alice", "bob", "dave")
    for node in nodes:
        node.reconsiderblock(tip)
    nodes[0].mine(2)
    both_at_tip(nodes)
    watch.wait_names("alice", "bob", "dave", "eve")
    second.owner.send(lib.node_del(5))
    second.node.mine()
    both_at_tip(nodes)


def test_killed_in_the_middle_it_goes_on_from_there(world, watch, slow):
    """And meanwhile chain.db goes on."""
    nodes, first, second = world
    for peer in slow:
        peer.lie.slow.set()
    before = watch.query("SELECT id FROM object")
    late(watch, second)
    came = lib.wait_for(lambda: (beside(watch) or 0) > second.height + 200 and beside(watch), "the middle", 60, 0.002)
    assert "again: at height" in watch.status()["doing"]
    first.owner.send(lib.node_del(4))
    watch.wait_names("alice")
    assert beside(watch), "it was too fast for this test"
    watch.stop(signal.SIGKILL)
    assert beside(watch) < watch.node.getblockcount(), "it was too fast for this test"
    assert watch.query("SELECT id FROM object") == before  # readers see nothing of it
    watch.start()
    watch.wait_names("alice", "bob", seconds=60)
    lib.wait_for(lambda: not left(watch), "nothing is left beside it")
    counters = watch.light()["counters"]
    assert counters["passed"] + counters["blocks"] <= watch.node.getblockcount() - came + 20, (came, counters)


def test_killed_at_any_instant_it_comes_to_the_same(world, watch, slow):
    nodes, first, second = world
    nodes[0].mine()
    both_at_tip(nodes)
    watch.wait_tip()
    want, _ = followed_from_the_begin(nodes, first, second)
    for peer in slow:
        peer.lie.slow.set()
    late(watch, second)
    for height in (0, 400, 1000, 10**6):
        lib.wait_for(lambda: not left(watch) or (beside(watch) or -1) >= height, "it comes to %d" % height, 60, 0.001)
        watch.stop(signal.SIGKILL)
        watch.start()
    lib.wait_for(lambda: not left(watch) and watch.dump() == want, "the same", 60)


def test_two_more_while_it_reads(world, watch):
    """The second comes while the first is read: one after the other, and both are there in the end."""
    nodes, _, second = world
    nodes[0].mine(6)
    third = Dnet(nodes[0], watch.folder, "third")
    third.put(7, "zoe")
    both_at_tip(nodes)
    watch.wait_tip()
    late(watch, second)
    late(watch, third)
    watch.wait_names("alice", "bob", "zoe", seconds=60)
    lib.wait_for(lambda: not left(watch), "nothing is left beside it")


def verify(watch):
    return subprocess.run(watch.argv("--verify"), capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


def test_what_was_followed_is_compared_with_what_peers_tell(world, watch):
    """Headers, filters and blocks are fetched anew; beside the daemon, of what chain.db covers, however it came to."""
    nodes, _, second = world
    late(watch, second)
    lib.wait_for(lambda: watch.query("SELECT 1 FROM object WHERE id = ?", second.id) and not left(watch), "it is followed", 60)
    done = verify(watch)
    assert done.returncode == 0 and " 0 differences" in done.stdout, done
    assert int(re.search(r"(\d+) rows from the chain", done.stdout)[1]) > 8, done
    assert watch.status()["state"] == "following"
    watch.stop()
    db = sqlite3.connect(watch.db)
    db.execute("DELETE FROM node WHERE name = 'bob'")
    db.execute("UPDATE seal SET value = value + 1 WHERE to_height IS NULL AND object = ?", [second.id])
    db.commit()
    db.close()
    done = verify(watch)
    assert done.returncode == 3 and "missing node: " in done.stdout and "not on the chain seal: " in done.stdout, done
    assert "--rescan" in done.stdout


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
