"""Many members of a file at once: every line checked first, as few transactions as the node relays, gone on with after
any interruption. DNET_LONG=1, or DNET_ROUNDS of more than 20, takes a thousand members instead of sixty."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import clilib  # noqa: E402
import testlib as lib  # noqa: E402
from clilib import (FAILED, KEYS, OK, USAGE, Tool, clean_environment, mine,  # noqa: E402
                    tool, world)  # noqa: E402,F401

lib.need_litecoind()

P = 2**256 - 2**32 - 977
GX = 0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798
GY = 0x483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8
COUNT = 1000 if os.environ.get("DNET_LONG") or int(os.environ.get("DNET_ROUNDS") or 0) > 20 else 60  # contrib/long


def keys(count):
    """The first multiples of the generator, compressed."""
    x, y, made = GX, GY, []
    for _ in range(count):
        made.append("%02x%064x" % (2 + y % 2, x))
        if (x, y) == (GX, GY):
            slope = 3 * x * x * pow(2 * y, -1, P) % P
        else:
            slope = (y - GY) * pow(x - GX, -1, P) % P
        x3 = (slope * slope - x - GX) % P
        y = (slope * (x - x3) - y) % P
        x = x3
    return made


def write_members(tool, count, name="members.csv", ipv4=True):
    path = os.path.join(tool.folder, name)
    with open(path, "w") as f:
        f.write("key,name%s\n" % (",ipv4" if ipv4 else ""))
        for n, key in enumerate(keys(count), 1):
            f.write("%s,n%d%s\n" % (key, n, ",10.77.%d.%d" % (n // 250, n % 250 + 1) if ipv4 else ""))
    return path


class Miner:
    """A block whenever the mempool is as full as a chain of ours makes it."""

    def __init__(self, node, blocks=None):
        self.node, self.end, self.blocks = node, threading.Event(), 0
        self.rpc = type(node)(node.folder)  # a connection of its own
        self.rpc.port, self.rpc.user, self.rpc.password = node.port, node.user, node.password
        self.address = node.getnewaddress()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        full = 0
        while not self.end.wait(0.05):
            # as many as hang together at most; for a second, in which dnet meets it
            full = full + 1 if len(self.rpc.getrawmempool()) >= 25 else 0
            if full == 20:
                self.rpc.generatetoaddress(1, self.address)
                self.blocks += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()
        if self.rpc.connection:
            self.rpc.connection.close()


def add(tool, path, *argv, stdin=subprocess.DEVNULL):
    return subprocess.run([lib.program("dnet"), "-c", tool.conf, "--yes", "node", "add", "crowd", "--from", path, *argv],
                          stdin=stdin, capture_output=True, text=True, timeout=600, env=clean_environment())


def names(tool, ident="crowd"):
    return [n["name"] for n in tool.ok("show", ident)["nodes"]]


def records_on_chain(node, ident, tool):
    """How often each name was written: by dnet history, of what counts."""
    return [e for e in tool.ok("history", ident)["events"] if e["type"] == "NODE_PUT"]


def test_every_line_is_checked_before_anything_is_sent(world, tool):
    _, node, _ = world
    tool.write_ok("create", "crowd", "--ipv4", "10.77.0.0/16")
    mine(world)
    path = os.path.join(tool.folder, "bad.csv")
    good = keys(4)
    with open(path, "w") as f:
        f.write("# a comment\n\n key , name ,ipv4,gateway\r\n%s,alice,10.77.0.2,yes\n" % good[0])
        f.write("02ab,bob,,\n%s,Bob,,\n%s,carol,10.77.0,\n%s,dave,,maybe\n" % (good[1], good[2], good[3]))
        f.write("02" + "ff" * 32 + ",eve,,\n%s,x,,,,\n" % good[1])
    done = add(tool, path)
    assert done.returncode == USAGE
    for line, says in ((5, "66 hex digits"), (6, "a name is"), (7, "IPv4"), (8, "gateway"), (9, "no point"),
                       (10, "more values")):
        assert "dnet: %s:%d: " % (path, line) in done.stderr and says in done.stderr, done.stderr
    error = tool.fails(USAGE, "node", "add", "crowd", "--from", path, words=":5: ")
    assert error["message"].count("bad.csv") == 1
    for text, where, says in (
            ("key,name\n%s,a\n%s,b\n" % (good[0], good[0]), 3, "stands there twice"),
            ("key,ipv4\n%s,10.78.0.1\n" % good[0], 2, "outside the dnet's network"),
            ("name,ipv4\na,10.77.0.1\n", 1, "no column key"), ("key,key\n", 1, "column twice"),
            ("key,color\n", 1, "none of key"), ("", 0, "has no members"), ("key\n", 0, "has no members")):
        with open(path, "w") as f:
            f.write(text)
        done = add(tool, path)
        assert done.returncode == USAGE and says in done.stderr, done.stderr
        assert not where or "%s:%d: " % (path, where) in done.stderr, done.stderr
    assert node.getrawmempool() == []


def test_all_that_a_list_means_wrongly_is_said_at_once(world, tool):
    _, node, _ = world
    tool.write_ok("create", "crowd", "--ipv4", "10.77.0.0/24")
    mine(world)
    tool.write_ok("node", "add", "crowd", KEYS[0] + "=taken", "--ipv4", "10.77.0.9")
    mine(world)
    path, many = os.path.join(tool.folder, "means.csv"), keys(30)
    good = "%s,fine,10.77.0.1\n" % many[2]
    with open(path, "w") as f:
        f.write("key,name,ipv4\n" + good + "%s,taken,\n%s,b,10.78.0.1\n%s,fine,\n%s,d,10.77.0.9\n" %
                tuple(many[3:7]) + "%s,e,10.77.0.255\n%s,f,\n" % (many[7], many[2]))
    done = add(tool, path)
    assert done.returncode == USAGE
    told = [(3, "taken belongs to the node taken"), (4, "outside the dnet's network"), (5, "fine belongs to the node fine"),
            (6, "10.77.0.9 belongs to the node taken"), (7, "broadcast"), (8, "stands there twice")]
    lines = [line for line in done.stderr.splitlines() if line.startswith("dnet: " + path)]
    assert len(lines) == len(told), done.stderr
    for line, (number, says) in zip(lines, told):
        assert line.startswith("dnet: %s:%d: " % (path, number)) and says in line, done.stderr
    assert "nothing was sent" in done.stderr and "more" not in done.stderr
    assert ":3: " in tool.fails(USAGE, "node", "add", "crowd", "--from", path)["message"]
    # twenty are enough
    for count in (20, 21):
        with open(path, "w") as f:
            f.write("key,ipv4\n" + "".join("%s,10.78.0.%d\n" % (key, n) for n, key in enumerate(many[3:3 + count], 1)))
        done = add(tool, path)
        assert done.stderr.count("outside the dnet's network") == 20
        assert ("and 1 more" in done.stderr) == (count > 20)
    assert node.getrawmempool() == []


def test_members_of_standard_input_and_a_dry_run(world, tool):
    _, node, _ = world
    tool.write_ok("create", "crowd")
    mine(world)
    path = write_members(tool, 3, ipv4=False)
    with open(path) as f:
        done = subprocess.run([lib.program("dnet"), "-c", tool.conf, "--json", "node", "add", "crowd", "--from", "-", "-n"],
                              stdin=f, capture_output=True, text=True, timeout=60, env=clean_environment())
    dry = json.loads(done.stdout)
    assert sum(len(t["records"]) for t in dry["transactions"]) == 3 and node.getrawmempool() == []
    with open(path) as f:
        assert add(tool, "-", stdin=f).returncode == OK
    mine(world)
    assert sorted(names(tool)) == ["n1", "n2", "n3"]
    # what is in force is not written again
    again = add(tool, path)
    assert again.returncode == OK and "nothing to do" in again.stdout, again.stderr
    assert node.getrawmempool() == []


def test_a_crowd_waits_for_blocks(world, tool):
    _, node, watch = world
    tool.write_ok("create", "crowd", "--ipv4", "10.77.0.0/16")
    mine(world)
    path = write_members(tool, COUNT)
    start = time.monotonic()
    with Miner(node) as miner:
        done = add(tool, path)
    print("%d members in %.1f s and %d blocks" % (COUNT, time.monotonic() - start, miner.blocks))
    assert done.returncode == OK, done.stderr
    assert "takes no more until the next block" in done.stderr
    mine(world)
    mine(world)
    assert sorted(names(tool)) == sorted("n%d" % n for n in range(1, COUNT + 1))
    assert len(records_on_chain(node, "crowd", tool)) == COUNT
    assert miner.blocks >= COUNT // 30


def test_killed_anywhere_nothing_is_twice_and_nothing_missing(world, tool):
    _, node, watch = world
    tool.write_ok("create", "crowd", "--ipv4", "10.77.0.0/16")
    mine(world)
    count = COUNT if COUNT > 100 else 40
    path = write_members(tool, count)
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    kills = 0
    with Miner(node):
        while True:
            child = subprocess.Popen([lib.program("dnet"), "-c", tool.conf, "--yes", "node", "add", "crowd", "--from", path],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                     env=clean_environment())
            try:
                out, err = child.communicate(timeout=None if kills >= 12 else 0.15 + chance.random() * 0.5)
                assert child.returncode == OK, err
                break
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
                child.communicate()
                kills += 1
    print("%d kills" % kills)
    assert kills
    mine(world)
    mine(world)
    assert sorted(names(tool)) == sorted("n%d" % n for n in range(1, count + 1))
    assert len(records_on_chain(node, "crowd", tool)) == count
    node.lockunspent(True)


def test_a_node_that_relays_several_payloads_gets_them_in_one_transaction():
    with clilib.running(["-acceptnonstdtxn=1"]) as (folder, node, watch):
        tool = Tool(folder, node, watch)
        tool.write_ok("create", "crowd", "--ipv4", "10.77.0.0/16")
        node.mine()
        path = write_members(tool, 300)
        done = tool.ok("--yes", "node", "add", "crowd", "--from", path)
        assert len(done["txids"]) == 2 and done["seen"] is True
        node.mine()
        watch.wait_tip()
        assert len(names(tool)) == 300


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] +
                         sys.argv[1:]))
