"""The clocks of running daemons jump, forwards and backwards, while traffic runs (tests/system/apart.py): nothing is lost
by a jump of the wall clock, and handshakes go on afterwards, also of who was killed and has started again."""

import os
import shutil
import signal
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import apart  # noqa: E402
import live  # noqa: E402
import testlib as lib  # noqa: E402

lib.need_litecoind()
live.need_namespaces()
if not os.access(apart.DNSMASQ, os.X_OK) or not shutil.which("cc"):
    print("SKIP: dnsmasq or a compiler is missing: apt-get install dnsmasq-base gcc")
    sys.exit(77)

HOUR, DAY = 3600, 86400


class Chainwatch(lib.Chainwatch):
    front = []

    def argv(self, *extra):
        return self.front + super().argv(*extra)


class World(apart.World):
    """The daemons' clocks are those of tests/fixture/clocks.c. suspend: the time since boot jumps with the wall clock."""

    def __init__(self, folder, suspend):
        super().__init__(folder)
        self.suspend, self.clocks, library = suspend, os.path.join(folder, "clocks"), os.path.join(folder, "clocks.so")
        with open(self.clocks, "wb") as f:
            f.write(bytes(16))
        live.run("cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-O2", "-o", library,
                 os.path.join(live.SOURCE, "tests/fixture/clocks.c"), "-ldl")
        self.front = ["env", "LD_PRELOAD=" + library, "CLOCKS=" + self.clocks]

    def chainwatch(self):
        watch = Chainwatch(self.folder, self.node, poll="100ms")
        watch.front = self.front
        return watch

    def jump(self, seconds):
        with open(self.clocks, "r+b") as f:
            f.write(struct.pack("<qq", seconds, seconds if self.suspend else 0))
        if not self.suspend:
            self.show_time(seconds)

    def show_time(self, seconds):
        """The daemons tell the new time themselves: a dnetd says how old the last block is."""
        age = time.time() + seconds - self.node.getblockheader(self.node.getbestblockhash())["time"]
        lib.wait_for(lambda: abs(self.daemon["a"].call("status")["chain"]["age_s"] - max(age, 0)) < HOUR, "the clock jumps", 5)

    def rekey(self):
        """A new handshake from each side."""
        for name in "abc":
            since = self.handshakes()
            self.daemon[name].call("down", id=self.id)
            self.daemon[name].call("up", id=self.id)
            lib.wait_for(lambda: self.handshakes() > since, "handshakes", 20)
            for pair in self.pairs:
                pair.wait_flow(seconds=20)

    def handshakes(self):
        return self.daemon["a"].call("counters")["handshake_response_in"] + \
            self.daemon["a"].call("counters")["handshake_response_out"]

    def restart(self, name):
        self.daemon[name].stop(signal.SIGKILL)
        start = time.time()
        self.daemon[name].start()
        for pair in self.pairs:
            pair.wait_flow(since=start, seconds=20)

    def revoked(self):
        """The owner's word still counts at once: a node is added and taken away again."""
        key = bytes.fromhex("02" + os.urandom(1).hex() * 32)
        a = self.daemon["a"]
        self.owner.send(self.put(key, b"guest"))
        self.mine()
        lib.wait_for(lambda: self.peer(a, "guest"), "the guest is in", 5)
        self.owner.send(lib.record(lib.NODE_DEL, key))
        lib.wait_for(lambda: not self.peer(a, "guest"), "the guest is out", 5)


@pytest.fixture(scope="module")
def world(request):
    with lib.started(lambda folder: World(folder, request.param == "suspend")) as w:
        yield w


wall_only = pytest.mark.parametrize("world", ["wall clock"], indirect=True)
suspend = pytest.mark.parametrize("world", ["suspend"], indirect=True)


@wall_only
@pytest.mark.parametrize("offset", [5 * HOUR, -30 * DAY, 0])
def test_a_jump_of_the_wall_clock_loses_nothing(world, offset):
    world.wait_well()
    start = time.time()
    world.jump(offset)
    lib.wait_for(lambda: all(len(p.since(start)) > 20 for pair in world.pairs for p in pair.pings), "a second of traffic", 10)
    assert [pair.lost(start) for pair in world.pairs] == [0, 0]
    world.rekey()
    world.revoked()


@wall_only
def test_who_was_a_day_ahead_is_heard_after_a_kill(world):
    """The last timestamp that all others saw is of tomorrow, and the clock has been set right since. Helpers begin no
    handshake: they have to hear his."""
    world.wait_well()
    world.jump(DAY)
    world.rekey()
    world.jump(0)
    for name in "abc":
        world.restart(name)
    world.wait_well()


@wall_only
def test_helpers_that_were_restarted_in_another_year(world):
    world.wait_well()
    used = world.daemon["relay-h"].call("status")["tenants"][0]["forwarded_bytes"]
    for offset in (-400 * DAY, 400 * DAY, 0):
        world.jump(offset)
        for name in ("meet", "relay-h", "relay-g"):
            world.daemon[name].stop(signal.SIGTERM)
            world.daemon[name].start()
        world.wait_well()
    assert world.daemon["relay-h"].call("status")["tenants"][0]["forwarded_bytes"] >= used


@suspend
def test_after_a_suspend_all_goes_on(world):
    """The machine has slept for 20 seconds, ten minutes, a day."""
    for offset in (20, 620, DAY):
        world.wait_well()
        start, handshakes = time.time(), world.handshakes()
        world.jump(offset)
        if offset > 180:
            lib.wait_for(lambda: world.handshakes() > handshakes, "the sessions of before are too old", 20)
        took = [pair.wait_flow(since=start, seconds=10) for pair in world.pairs]
        print("%d s later: direct %.2f s, relayed %.2f s; no answer for %.2f s and %.2f s at most" %
              (offset, *took, *(pair.pause(start) for pair in world.pairs)))
    world.wait_well()
    world.revoked()


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-s", "-p", "no:cacheprovider", "-x", __file__]))
