"""dnetd and dnet-tinc-hub, as they run in earnest, on a state folder whose disk fails at single calls, or killed there: each
says so or goes on, what was answered lasts, and the next start has the same keys. (Each file by itself, every call:
tests/unit/service/disk.c, tests/unit/adapters/disk.c.)

Some of the calls, drawn from the seed that is printed; DNET_SEED=N draws the same, DNET_ROUNDS=N (contrib/long) takes
them all."""

import contextlib
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
import live  # noqa: E402
import testlib as lib  # noqa: E402

faultlib.need_library()
live.need_namespaces()

SEED = int(os.environ.get("DNET_SEED") or random.randrange(1 << 32))
RNG = random.Random(SEED)
ALL = bool(os.environ.get("DNET_ROUNDS"))
OTHER = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
ACTIONS = [(errno.EIO, faultlib.WRITES), (faultlib.TEAR, faultlib.WRITES), (errno.EIO, faultlib.READS)]
NAMES = ["io-error", "killed", "unreadable"]
print("DNET_SEED=%d" % SEED, flush=True)


class Refused(Exception):
    pass


class Daemon(live.Daemon):
    """One that is started and ended again, by itself or under faults. state: its folder."""

    def __init__(self, world, program, name, *options):
        self.socket, self.state = (os.path.join(world.folder, name + end) for end in (".sock", ""))
        self.log = os.path.join(world.folder, name + ".log")
        self.front = ["ip", "netns", "exec", world.namespace.name]
        self.argv = [lib.program(program), "-c", "/dev/null", "--state", self.state, "--control", self.socket, *options]
        self.faults = faultlib.Faults(os.path.join(world.folder, name + ".plan"), self.state)
        self.process = None

    def start(self, *front):
        """False: it has ended."""
        self.process = lib.Process([*self.front, *front, *self.argv], self.log)

        def serves():
            if not self.process.alive():
                return "ended"
            with contextlib.suppress(OSError, ValueError):
                return bool(self.call("status"))
            return None
        return lib.wait_for(serves, "it serves or ends") is True

    def ask(self, method, **params):
        """Raises Refused for an error, OSError or ValueError where it ended meanwhile."""
        try:
            return self.call(method, **params)
        except AssertionError as error:
            raise Refused(str(error)) from error

    def kill(self):
        if self.process:
            process, self.process = self.process, None
            process.stop(signal.SIGKILL)

    def has(self, fact):
        def holds():
            with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
                return fact(self.call("status"))
        return holds

    def clean(self):
        """Nothing half-made, and nothing put aside, is in its folder."""
        for folder, _, names in os.walk(self.state):
            assert not [name for name in names if ".new-" in name or name.endswith(".bad")], (folder, names)


class Node:
    """dnetd of a node that joins a dnet of two, from a state folder that has nothing but its master secret."""

    SOME = 4  # calls of each kind of failure

    def __init__(self, folder):
        self.folder = folder
        self.namespace = live.Namespace("faults")
        self.chain = live.Chain(folder)
        self.dnet = self.chain.call("dnet", "office", "10.77.0.0/24")
        self.daemon = Daemon(self, "dnetd", "dnetd", "--chain-db", self.chain.path, "--chainwatch", "", "--confirm", "1")
        assert self.daemon.start()
        self.key = self.daemon.call("id", dnet=self.dnet)["key"]
        self.chain.call("node", self.dnet, self.key, "alice", "10.77.0.1")
        self.chain.call("node", self.dnet, OTHER, "bob", "10.77.0.2")
        self.chain.call("height", "110")
        self.daemon.kill()
        with open(os.path.join(self.daemon.state, "master.key"), "rb") as f:
            self.master = f.read()

    def forget(self):
        shutil.rmtree(self.daemon.state)
        os.mkdir(self.daemon.state, 0o700)
        with open(os.path.join(self.daemon.state, "master.key"), "wb") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(self.master)

    def work(self):
        self.daemon.ask("join", id=self.dnet)

    def works(self):
        return self.daemon.has(lambda status: status["dnets"][0].get("peers_total") == 1)

    def same(self):
        assert self.daemon.call("id", dnet=self.dnet)["key"] == self.key

    def finish(self, worked):
        """After a start without faults. What was answered lasts."""
        self.same()
        if not worked:
            with contextlib.suppress(Refused):  # the kill may have come behind it
                self.work()
        lib.wait_for(self.works(), "it is a member")

    def go_on_alone(self):
        """Without chain.db: what it knows is from its own folder."""
        ends = [end for end in ("", "-wal", "-shm") if os.path.exists(self.chain.path + end)]
        for end in ends:
            os.rename(self.chain.path + end, self.chain.path + ".away" + end)
        assert self.daemon.start()
        lib.wait_for(self.works(), "it goes on without the others")
        self.same()
        self.daemon.kill()
        for end in ends:
            os.rename(self.chain.path + ".away" + end, self.chain.path + end)

    def stop(self):
        self.daemon.kill()
        self.namespace.remove()


class Hub:
    """dnet-tinc-hub beside an ovcd that serves a dnet of two; its state folder is empty."""

    SOME = 2  # each of them waits for a key to be made

    def __init__(self, folder):
        self.folder = folder
        self.namespace = live.Namespace("faults")
        self.chain = live.Chain(folder)
        self.ovc = live.Helper("ovc", folder, self.namespace, self.chain, 4242)
        self.dnet = self.add("office")
        self.daemon = Daemon(self, "dnet-tinc-hub", "hub", "--ovcd", self.ovc.socket)
        self.key = None

    def add(self, name):
        """Another dnet, which the OVC serves."""
        dnet = self.chain.call("dnet", name, "10.77.0.0/24")
        self.chain.call("link", dnet, self.ovc.id)
        self.chain.call("grant", self.ovc.id, dnet)
        self.chain.call("node", dnet, self.ovc.key.hex(), "alice", "10.77.0.1")
        self.chain.call("node", dnet, OTHER, "bob", "10.77.0.2")
        self.chain.call("height", str(100 + len(name)))
        lib.wait_for(lambda: dnet in [tenant["dnet"] for tenant in self.ovc.call("status")["tenants"]], "ovcd serves it")
        return dnet

    def forget(self):
        def gone():  # its tincd ends a moment later
            shutil.rmtree(self.daemon.state, ignore_errors=True)
            return not os.path.exists(self.daemon.state)
        lib.wait_for(gone, "its folder is gone")
        os.mkdir(self.daemon.state, 0o700)
        self.key = None

    def work(self):
        """Asked for nothing, it does so by itself."""

    def read_key(self):
        """Of its only dnet: the port, too."""
        folder = os.path.join(self.daemon.state, "backend/tenant0")
        found = []
        for name in ("dnet", "port", "rsa_key.priv"):
            with open(os.path.join(folder, name)) as f:
                found.append(f.read())
        return found

    def works(self):
        def served(status):
            tenant = status["tenants"][0]
            if tenant["members"] != 2 or not tenant["program"].endswith("running"):
                return False
            self.key = self.key or self.read_key()
            return True
        return self.daemon.has(served)

    def same(self):
        assert self.key in (None, self.read_key())

    def finish(self, _):
        lib.wait_for(self.works(), "it serves as ever")
        self.same()

    def go_on_alone(self):
        """Whom it serves is ovcd's to say: nothing is known without."""

    def stop(self):
        self.daemon.kill()
        self.ovc.process.stop(signal.SIGKILL)
        self.namespace.remove()


KINDS = [Node] + ([Hub] if os.access("/usr/sbin/tincd", os.X_OK) else [])


@pytest.fixture(params=KINDS, ids=[kind.__name__ for kind in KINDS])
def world(request):
    with lib.Folder() as folder:
        w = request.param(folder)
        try:
            yield w
        finally:
            w.stop()


def attempt(world, action, kinds, number):
    """What failed, None: there is no such call."""
    daemon = world.daemon
    if kinds == faultlib.WRITES:
        world.forget()
    begin = os.path.getsize(daemon.log)
    worked, refused, serves = False, "", False
    with daemon.faults.at(action, number, kinds=kinds) as faults:
        serves = daemon.start(*faults.front)
        with contextlib.suppress(OSError, ValueError):
            try:
                if serves and kinds == faultlib.WRITES:
                    world.work()
                    worked = True
                if serves:
                    lib.wait_for(lambda: faults.hits or not daemon.process.alive() or world.works()(), "it works, or not")
            except Refused as error:
                refused = str(error)
        what = faults.entries()[number - 1] if faults.hits else None
    status = daemon.process.child.poll()
    words = daemon.process.log()[begin:] + refused
    daemon.kill()
    if what:
        if action == faultlib.TEAR:
            assert status in (None, 1, -signal.SIGKILL), (what, status)
        elif not serves:
            assert status == 1 and os.strerror(action) in words, (what, status, words)
        elif refused:
            assert os.strerror(action) in words, (what, words)
    check_next(world, worked or kinds == faultlib.READS, what)
    return what


def check_next(world, worked, what):
    assert world.daemon.start(), (what, world.daemon.process.log()[-3000:])
    world.finish(worked)
    world.daemon.kill()
    world.go_on_alone()
    world.daemon.clean()


def count(world, kinds):
    """How many calls there are."""
    if kinds == faultlib.WRITES:
        world.forget()
    with world.daemon.faults.logged(kinds) as faults:
        assert world.daemon.start(*faults.front)
        if kinds == faultlib.WRITES:
            world.work()
        lib.wait_for(world.works(), "it works")
        world.daemon.kill()
        return faults.count


@pytest.mark.parametrize("action,kinds", ACTIONS, ids=NAMES)
def test_whichever_call_fails_it_says_so_and_the_next_start_works(world, action, kinds):
    if kinds == faultlib.READS:
        count(world, faultlib.WRITES)  # so that there is something to read
    numbers = list(range(1, count(world, kinds) + 1))
    assert len(numbers) >= 4, numbers
    for number in numbers if ALL else sorted(RNG.sample(numbers, min(world.SOME, len(numbers)))):
        attempt(world, action, kinds, number)


@pytest.mark.skipif(Hub not in KINDS, reason="needs tincd (apt install tinc)")
def test_what_a_removal_left_over_is_no_other_dnets():
    with lib.Folder() as folder:
        world = Hub(folder)
        try:
            world.forget()
            assert world.daemon.start()
            lib.wait_for(world.works(), "it serves")
            world.daemon.kill()
            before, world.key = world.key, None
            os.unlink(os.path.join(world.daemon.state, "backend/tenant0/dnet"))  # and then it was killed
            world.chain.call("close", world.dnet)
            dnet = world.add("workshop")
            assert world.daemon.start()
            lib.wait_for(world.works(), "it serves the other one")
            assert world.key[0] == dnet and world.key[2] != before[2], "the key of one dnet is another one's"
        finally:
            world.stop()


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
