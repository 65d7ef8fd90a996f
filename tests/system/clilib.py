"""What the tests of dnet, the tool, share: a litecoind with chainwatch, and the configured tool."""

import contextlib
import json
import os
import subprocess

import pytest

import testlib as lib

OK, FAILED, USAGE, NOT_FOUND, UNREACHABLE, DENIED, FUNDS, TIMEOUT, ABORTED = range(9)

# Points of the curve: the generator, and its multiples by 2, 3, 4, 5.
KEYS = ["0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
        "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
        "02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
        "02e493dbf1c10d80f3581e4904930b1404cc6c13900ee0758474fa94abe8c4cd13",
        "022f8bde4d1a07209355b4a7250a5c5128e88b84bddc619ab7cba8d569b240efe4"]


def clean_environment():
    return {k: v for k, v in os.environ.items() if not k.startswith("DNET_") and k != "NO_COLOR"}


class Tool:
    """dnet with a configuration and a keystore of its own."""

    def __init__(self, folder, node, watch, name="owner", **options):
        self.folder = os.path.join(folder, name)
        os.makedirs(self.folder)
        self.keyfile = os.path.join(self.folder, "passphrase")
        self.conf = os.path.join(self.folder, "dnet.conf")
        with open(self.keyfile, "w") as f:
            f.write("correct horse\n")
        self.options = {"chain": node.chain, "rpc-url": node.url(), "rpc-user": node.user,
                        "rpc-password": node.password, "chain-db": watch.db,
                        "chainwatch": watch.socket, "keyfile": self.keyfile,
                        "keystore": os.path.join(self.folder, "keystore"), **options}
        self.write()

    def write(self):
        with open(self.conf, "w") as f:
            for name, value in self.options.items():
                f.write("%s = %s\n" % (name, value))

    def run(self, *argv, env=None):
        return subprocess.run([lib.program("dnet"), "-c", self.conf, *argv],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, env={**clean_environment(), **(env or {})})

    def ok(self, *argv):
        """The JSON of a command that has to work."""
        done = self.run("--json", *argv)
        assert done.returncode == OK, (argv, done.returncode, done.stdout, done.stderr)
        assert done.stderr == "", done.stderr
        return json.loads(done.stdout)

    def write_ok(self, *argv):
        result = self.ok("--yes", *argv)
        assert result["seen"] is True
        return result

    def fails(self, code, *argv, words="", env=None):
        """The error object; and the same error for people has its words on stderr."""
        done = self.run("--json", "--yes", *argv, env=env)
        assert done.returncode == code, (argv, done.returncode, done.stdout, done.stderr)
        error = json.loads(done.stdout)["error"]
        assert error["code"] == code
        assert words in error["message"], error
        return error


@contextlib.contextmanager
def running(extra=()):
    """A node with these options too, chainwatch at its tip."""
    with lib.Folder() as folder:
        node = lib.Litecoind(os.path.join(folder, "node"), extra=extra)
        watch = None
        try:
            node.start()
            node.wallet(120)
            watch = lib.Chainwatch(folder, node)
            watch.start()
            watch.wait_tip()
            yield folder, node, watch
        finally:
            if watch:
                watch.stop()
            node.stop()


@pytest.fixture(scope="module")
def world():
    """A node, chainwatch at its tip."""
    with running() as made:
        yield made


@pytest.fixture
def tool(world, request):
    folder, node, watch = world
    return Tool(folder, node, watch, name=request.node.name)


def mine(world):
    _, node, watch = world
    node.mine()
    watch.wait_tip()
