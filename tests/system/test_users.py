"""Each daemon under a user of its own, as in the example units: chain.db is chainwatch's, the others read it by their group,
from a file system that is read-only to them."""

import grp
import json
import os
import pwd
import re
import socket
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import testlib as lib  # noqa: E402

SOURCE = os.environ.get("top_srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
GROUP = 65534  # in place of dnet
USERS = {"chainwatch": 64001, "ovcd": 64002, "ovrd": 64003}
READ_ONLY = 'mount --make-rprivate / && mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


def need():
    if os.getuid() or not lib.shutil.which("setpriv") or not os.path.exists(lib.LITECOIND or ""):
        print("SKIP: needs root, setpriv and litecoind")
        sys.exit(77)
    if lib.subprocess.run(["unshare", "-m", "sh", "-c", READ_ONLY, "/usr", "true"], capture_output=True).returncode:
        print("SKIP: cannot make mount namespaces")
        sys.exit(77)


need()


def as_user(name):
    """As systemd does it with User=, Group=, CapabilityBoundingSet= and NoNewPrivileges=."""
    return ["setpriv", "--reuid", str(USERS[name]), "--regid", str(GROUP), "--clear-groups", "--bounding-set", "-all",
            "--inh-caps", "-all", "--no-new-privs"]


class Chainwatch(lib.Chainwatch):
    def argv(self, *extra):
        return as_user("chainwatch") + super().argv(*extra)


class Reader:
    """ovcd or ovrd that serves nobody."""

    def __init__(self, name, folder, db):
        self.name, self.db = name, db
        self.state, self.control = os.path.join(folder, name), os.path.join(folder, "run", name + ".sock")
        os.mkdir(self.state, 0o700)
        os.chown(self.state, USERS[name], GROUP)
        with open(os.path.join(SOURCE, "contrib/examples", name + ".conf")) as f:
            self.id = re.search(r"^id = (.*)$", f.read(), re.M).group(1)
        self.log = os.path.join(folder, name + ".log")
        self.process = None

    def start(self):
        argv = ["unshare", "-m", "sh", "-c", READ_ONLY, os.path.dirname(self.db), *as_user(self.name),
                lib.program(self.name), "-c", "/dev/null", "--id", self.id, "--port", str(lib.free_port()), "--state", self.state,
                "--control", self.control, "--control-group", grp.getgrgid(GROUP).gr_name, "--chain-db", self.db,
                "--chainwatch", "", "--confirm", "1"]
        self.process = lib.Process(argv, self.log)
        lib.wait_for(self.serves, "%s serves" % self.name)

    def serves(self):
        try:
            return self.chain() is not None
        except OSError:  # not yet, or the socket of the one before
            return False

    def stop(self):
        if self.process:
            process, self.process = self.process, None
            assert process.stop() == 0, process.log()

    def chain(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.control)
            s.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "status"}\n')
            with s.makefile() as lines:
                return json.loads(lines.readline())["result"]["chain"]

    def reads(self, height):
        def there():
            chain = self.chain()
            return chain["error"] is None and chain["height"] == height
        lib.wait_for(there, "%s reads chain.db at height %d: %s" % (self.name, height, self.chain()))


@pytest.fixture(scope="module")
def world():
    with lib.Folder() as folder:
        os.chmod(folder, 0o711)
        os.mkdir(os.path.join(folder, "run"))
        os.chown(os.path.join(folder, "run"), 0, GROUP)
        with open(os.path.join(SOURCE, "contrib/systemd/dnet.tmpfiles.conf")) as f:
            os.chmod(os.path.join(folder, "run"), int(re.search(r"^d /run/dnet (\d+)", f.read(), re.M).group(1), 8))
        for name, mode in (("db", 0o750), ("state", 0o750)):
            os.mkdir(os.path.join(folder, name))
            os.chown(os.path.join(folder, name), USERS["chainwatch"], GROUP)
            os.chmod(os.path.join(folder, name), mode)
        node = lib.Litecoind(os.path.join(folder, "node"))
        watch = Chainwatch(folder, node, control=os.path.join(folder, "run", "chainwatch.sock"))
        watch.socket = watch.options["control"]
        readers = [Reader(name, folder, watch.db) for name in ("ovcd", "ovrd")]
        try:
            node.start()
            node.wallet(3)
            watch.start()
            for reader in readers:
                reader.start()
            yield node, watch, readers
        finally:
            for reader in readers:
                reader.stop()
            watch.stop()
            node.stop()


def test_chain_db_is_read_by_other_users_and_written_by_none(world):
    node, watch, readers = world
    for reader in readers:
        reader.reads(3)
    node.mine(1)
    for reader in readers:
        reader.reads(4)
    for entry in os.scandir(os.path.dirname(watch.db)):
        assert entry.stat().st_uid == USERS["chainwatch"] and not entry.stat().st_mode & 0o022, entry.name


@pytest.mark.parametrize("number", [lib.signal.SIGTERM, lib.signal.SIGKILL])
def test_it_is_readable_when_chainwatch_has_ended(world, number):
    node, watch, readers = world
    height = readers[0].chain()["height"]
    for reader in readers:
        reader.stop()  # the last one to close it is chainwatch
    watch.stop(number)
    for reader in readers:
        reader.start()
        reader.reads(height)
    watch.start()
    node.mine(1)
    for reader in readers:
        reader.reads(height + 1)


def owners(watch):
    return {entry.name: entry.stat().st_uid for entry in os.scandir(os.path.dirname(watch.db))}


def test_started_by_root_with_user_its_files_are_of_that_user():
    """Not of root: who starts it as that user later could not write them."""
    with lib.Folder() as folder:
        os.chmod(folder, 0o711)
        node = lib.Litecoind(os.path.join(folder, "node"))
        watch = lib.Chainwatch(folder, node, user="nobody")
        nobody = pwd.getpwnam("nobody").pw_uid
        try:
            node.start()
            node.wallet(3)
            watch.start()
            watch.wait_tip()
            assert set(owners(watch).values()) == {nobody}, owners(watch)
            assert {"chain.db", "chain.db-wal", "chain.db-shm", "chain.db-lock"} <= set(owners(watch))
            # and what was root's is handed over
            watch.stop()
            for name in owners(watch):
                os.chown(os.path.join(os.path.dirname(watch.db), name), 0, 0)
            watch.start()
            node.mine()
            watch.wait_tip()
            assert set(owners(watch).values()) == {nobody}, owners(watch)
            watch.stop()
            # another one may not have them, and is told
            own = os.path.join(folder, "own")
            os.mkdir(own)
            os.chown(own, USERS["chainwatch"], GROUP)
            os.chmod(os.path.dirname(watch.db), 0o777)
            del watch.options["user"]
            watch.options.update(state=own, control=os.path.join(own, "sock"))
            done = lib.subprocess.run(as_user("chainwatch") + watch.argv(), text=True, capture_output=True)
            assert "chain.db-lock belongs to another user" in done.stdout + done.stderr, done
            assert done.returncode == 1
        finally:
            watch.stop()
            node.stop()


def test_each_is_what_its_unit_says(world):
    for reader in world[2]:
        with open("/proc/%d/status" % reader.process.pid) as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        assert status["Uid"].split() == [str(USERS[reader.name])] * 4 and status["Gid"].split() == [str(GROUP)] * 4
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
        key = os.path.join(reader.state, "service.key")
        for other in USERS:
            done = lib.subprocess.run(as_user(other) + ["cat", key], capture_output=True)
            assert (done.returncode == 0) == (other == reader.name), (other, key)


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
