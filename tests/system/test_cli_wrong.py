"""What people get wrong: each message names the cause and the next step, and nothing is sent."""

import os
import shutil
import socket
import sqlite3
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402
from clilib import (ABORTED, DENIED, FAILED, FUNDS, KEYS, NOT_FOUND, OK, UNREACHABLE, USAGE,  # noqa: E402
                    Tool, mine, world)  # noqa: E402,F401

lib.need_litecoind()


class Wrong:
    """One owner with an object of each kind in blocks; ids by name."""

    def __init__(self, world):
        self.world = world
        self.folder, self.node, self.watch = world
        self.tool = Tool(self.folder, self.node, self.watch, name="wrong")
        make = self.tool.write_ok
        self.id = {"office": make("create", "office", "--ipv4", "10.77.0.0/24")["id"],
                   "plain": make("create", "plain")["id"], "dead": make("create", "dead")["id"],
                   "meet": make("ovc", "create", "meet", "--key", KEYS[0])["id"],
                   "relay": make("ovr", "create", "relay", "--key", KEYS[0])["id"],
                   "gone": make("ovc", "create", "gone", "--key", KEYS[0])["id"]}
        mine(world)
        make("node", "add", "office", KEYS[1], "--name", "alice", "--ipv4", "10.77.0.1", "--ipv6",
             "fd00:77::1")
        make("close", "dead")
        make("close", "gone")
        mine(world)

    def __call__(self, code, words, *argv, env=None):
        """It fails with that status and these words, names a next step, and sends nothing."""
        before = set(self.node.getrawmempool())
        error = self.tool.fails(code, *[self.id.get(a[1:], a) if a[:1] == "@" else a for a in argv],
                                words=words, env=env)
        assert error.get("next") or "check rpc-user" in error["message"], error
        assert set(self.node.getrawmempool()) == before
        return error


@pytest.fixture(scope="module")
def wrong(world):
    return Wrong(world)


def test_ids_of_the_wrong_kind(wrong):
    wrong(USAGE, "is the id of an OVC, not of a dnet", "node", "add", "@meet", KEYS[1])
    wrong(USAGE, "is the id of a dnet, not of an OVC", "ovc", "grant", "@office", "office")
    wrong(USAGE, "is the id of an OVR, not of an OVC", "ovc", "grant", "@relay", "office")
    wrong(USAGE, "is the id of an OVC, not of a dnet", "link", "@meet", "@relay")
    wrong(USAGE, "is a dnet, not an OVC or OVR", "link", "office", "@plain")
    wrong(USAGE, "is the id of an OVR, not of a dnet", "ovc", "grant", "meet", "@relay")


def test_names(wrong):
    for name in ("b\u00fcro", "a" * 33, "", "-a", "a-", "A", "a b", "a_b", "a\n", "\u202ea"):
        wrong(USAGE, "is not a name", "create", "--", name)
        wrong(USAGE, "is not a name", "node", "add", "office", KEYS[2] + "=" + name)
    wrong(NOT_FOUND, "no dnet is called \"b\u00fcro\"", "node", "add", "b\u00fcro", KEYS[2])
    wrong(NOT_FOUND, "no dnet is called \"b?ro\"", "node", "add", "b\udcffro", KEYS[2])  # a byte that is no UTF-8
    wrong(NOT_FOUND, "no object is called \"\"", "show", "")
    assert wrong.tool.run("create", "a" * 32, "--dry-run").returncode == OK


def test_addresses_of_nodes(wrong):
    def add(words, address, dnet="office", option="--ipv4"):
        wrong(USAGE, words, "node", "add", dnet, KEYS[2], option, address)

    add("outside the dnet's network 10.77.0.0/24", "10.78.0.1")
    add("outside", "10.76.255.255")
    add("network address of 10.77.0.0/24", "10.77.0.0")
    add("broadcast address of 10.77.0.0/24", "10.77.0.255")
    add("10.77.0.1 belongs to the node alice already", "10.77.0.1")
    add("created without an IPv4 network", "10.77.0.2", dnet="plain")
    for text in ("10.77.0.256", "10.77.0", "10.77.0.1/24", "", "bob", "fd00::1"):
        add("not an IPv4 address", text)
    add("fd00:77::1 belongs to the node alice already", "fd00:77::1", option="--ipv6")
    add("not inside fd00::/8", "2001:db8::1", option="--ipv6")
    for good in ("10.77.0.2", "10.77.0.254"):
        done = wrong.tool.run("node", "add", "office", KEYS[2], "--ipv4", good, "--dry-run")
        assert done.returncode == OK, done.stderr
    # the same node may keep what it has
    done = wrong.tool.run("node", "add", "office", KEYS[1], "--name", "alice", "--ipv4",
                          "10.77.0.1", "--dry-run")
    assert done.returncode == OK, done.stderr


def test_names_and_keys_twice(wrong):
    wrong(USAGE, "alice belongs to the node alice already", "node", "add", "office", KEYS[2],
          "--name", "alice")
    wrong(USAGE, "x belongs to the node x already", "node", "add", "office", KEYS[2] + "=x",
          KEYS[3] + "=x")
    wrong(USAGE, "stands there twice", "node", "add", "office", KEYS[2], KEYS[2])


def test_a_name_is_free_again_before_any_block(wrong):
    """What waits for a block may have changed it: it is the owner's to know."""
    wrong.tool.write_ok("create", "moving")
    mine(wrong.world)
    wrong.tool.write_ok("node", "add", "moving", KEYS[1] + "=host")
    mine(wrong.world)
    wrong.tool.write_ok("node", "del", "moving", "host")
    wrong.tool.write_ok("node", "add", "moving", KEYS[2] + "=host")
    wrong.tool.write_ok("node", "del", "moving", KEYS[2])
    mine(wrong.world)


def test_keys(wrong):
    for key in (KEYS[1][2:], KEYS[1][:-1], KEYS[1] + "00", "04" + KEYS[1][2:], "zz" + KEYS[1][2:]):
        wrong(USAGE, "is not a key", "node", "add", "office", key)
        wrong(USAGE, "is not a key", "ovc", "create", "x", "--key", key)
    wrong(USAGE, "no point of the curve", "node", "add", "office", "02" + "ff" * 32)
    wrong(USAGE, "no point of the curve", "node", "add", "office", "02" + "00" * 31 + "05")


def test_endpoints(wrong):
    for url in ("udp://192.0.2.1:0", "udp://192.0.2.1:65536", "udp://192.0.2.1:-1",
                "udp://192.0.2.1:+1", "udp://192.0.2.1", "udp://[2001:db8::1", "http://h:1",
                "udp://" + "a" * 65 + ":1"):
        wrong(USAGE, "is not an endpoint", "ovc", "endpoint", "add", "meet", url)
    for url in ("udp://192.0.2.1:1", "udp://192.0.2.1:65535"):
        done = wrong.tool.run("ovc", "endpoint", "add", "meet", url, "--dry-run")
        assert done.returncode == OK, done.stderr


def test_what_is_not_there_cannot_be_removed(wrong):
    wrong(NOT_FOUND, "has no node with that key", "node", "del", "office", KEYS[4])
    wrong(NOT_FOUND, "no node of", "node", "del", "office", "nobody")
    wrong(NOT_FOUND, "has no such link", "unlink", "office", "relay")
    wrong(NOT_FOUND, "has no grant to that dnet", "ovc", "revoke", "meet", "plain")
    wrong(NOT_FOUND, "has no such endpoint", "ovc", "endpoint", "del", "meet", "udp://192.0.2.9:1")


def test_closed_objects(wrong):
    wrong(FAILED, "is closed", "ovc", "grant", "meet", "@dead")
    wrong(FAILED, "is closed", "link", "@dead", "meet")
    wrong(FAILED, "is closed", "link", "office", "@gone")
    wrong(FAILED, "is closed", "node", "add", "@dead", KEYS[1])
    wrong(FAILED, "is closed", "close", "@dead")


def test_two_owners(wrong):
    folder, node, watch = wrong.world
    other = Tool(folder, node, watch, name="other-owner")
    for command in (("node", "add", wrong.id["office"], KEYS[2]), ("close", wrong.id["office"])):
        error = other.fails(DENIED, *command, words="has no key for")
        assert "--keystore" in error["next"]


def test_amounts(wrong):
    for text in ("-1", "lots", "0.000000001", "99999999999999999999", "1e3", "1,5"):
        wrong(USAGE, "not an amount", "create", "x", "--max-fee", text)
    for text in ("-1", "lots", "0", "1e3"):
        wrong(USAGE, "not a fee rate", "create", "x", "--fee-rate", text)
    wrong(FUNDS, "over the cap", "create", "x", "--max-fee", "0")
    for option in ("--expires", "--rate", "--volume"):
        for text in ("-1", "4294967296", "x", "1x", "99999999999999999999"):
            wrong(USAGE, "is 0 to 4294967295", "ovc", "grant", "meet", "office", option, text)
    height = wrong.node.getblockcount()
    wrong(USAGE, "is over: the chain is at height", "ovc", "grant", "meet", "office", "--expires",
          str(height))
    done = wrong.tool.run("ovc", "grant", "meet", "office", "--expires", str(height + 1),
                          "--dry-run")
    assert done.returncode == OK, done.stderr


def test_the_chain_node(wrong):
    url = "http://127.0.0.1:%d/" % lib.free_port()
    wrong(UNREACHABLE, "cannot reach the chain node at " + url, "create", "x", "--rpc-url", url)
    wrong(UNREACHABLE, "Could not resolve host", "create", "x", "--rpc-url", "http://x.invalid/")
    wrong(UNREACHABLE, "refuses the credentials", "create", "x", "--rpc-password", "wrong")
    wrong(USAGE, "another genesis block", "create", "x", "--chain", "bitcoin-regtest")
    wrong(USAGE, "no chain is called", "create", "x", "--chain", "nope")
    wrong(FAILED, "wallet does not exist or is not loaded", "create", "x", "--rpc-url",
          wrong.node.url() + "wallet/none")
    wrong(USAGE, "not an address of litecoin-regtest", "transfer", "office",
          "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4")


def test_chain_db(wrong):
    folder = os.path.join(wrong.folder, "dbs")
    os.makedirs(folder)
    path = {n: os.path.join(folder, n) for n in ("noise", "empty", "newer", "cut", "locked")}
    with open(path["noise"], "w") as f:
        f.write("no database " * 1000)
    open(path["empty"], "w").close()
    for name in ("newer", "cut", "locked"):
        wrong.watch.query("VACUUM INTO ?", path[name])
    db = sqlite3.connect(path["newer"])
    db.execute("UPDATE meta SET value = '99' WHERE key = 'schema'" if "key" in
               [r[1] for r in db.execute("PRAGMA table_info(meta)")] else
               "UPDATE meta SET value = '99' WHERE name = 'schema'")
    db.commit()
    db.close()
    os.truncate(path["cut"], os.path.getsize(path["cut"]) // 2)
    holder = sqlite3.connect(path["locked"], isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    cases = (("/nonexistent/chain.db", "is not there yet"), (folder, "cannot open"),
             (path["noise"], "damaged"), (path["empty"], "no tables yet"),
             (path["cut"], "damaged"), (path["newer"], "99"), (path["locked"], "locked"))
    try:
        for file, words in cases:
            for command in (("show", "plain"), ("list",), ("history", "plain"), ("chain",)):
                wrong(UNREACHABLE, words, *command, "--chain-db", file)
    finally:
        holder.close()
    wrong(UNREACHABLE, "damaged", "node", "add", "office", KEYS[2], "--chain-db", path["noise"])


def test_daemons_that_do_not_run(wrong):
    plain = os.path.join(wrong.folder, "plain-file")
    open(plain, "w").close()
    dead = os.path.join(wrong.folder, "dead.sock")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(dead)
    for path in ("/nonexistent/dnetd.sock", plain, dead):
        for command in (("status",), ("peers",), ("why", "bob"), ("ping", "bob", "-c", "1"),
                        ("join", wrong.id["office"]), ("leave", "office")):
            assert "start dnetd" in wrong(UNREACHABLE, "", *command, "--socket", path)["next"]
    # chainwatch away: it is sent, and said that it was not waited
    done = wrong.tool.run("--yes", "create", "unwatched", "--chainwatch", "/nonexistent")
    assert done.returncode == OK and "not waited" in done.stderr, done.stderr
    done = wrong.tool.run("chain", "--chainwatch", "/nonexistent")
    assert done.returncode == OK and "not reached" in done.stdout


def test_keystores_and_sidecars(wrong):
    wrong(ABORTED, "no terminal", "keystore", "restore")
    tool, store = wrong.tool, wrong.tool.options["keystore"]
    wrong(FAILED, "Is a directory", "close", "plain", "--keystore", tool.folder)
    wrong(FAILED, "is not a keystore", "close", "@plain", "--keystore", tool.conf)
    wrong(DENIED, "cannot read the keyfile", "close", "plain", "--keyfile", "/nonexistent")
    shutil.copy(store, store + ".kept")
    shutil.copy(store + ".seals", store + ".seals.kept")
    try:
        with open(store, "rb") as f:
            data = f.read()
        for damaged, code in ((data[:-1], DENIED), (data[:20], FAILED), (b"", FAILED),
                              (data[:60] + b"x" + data[61:], DENIED)):
            with open(store, "wb") as f:
                f.write(damaged)
            wrong(code, store, "close", "@plain")
            wrong(code, store, "create", "x")
        shutil.copy(store + ".kept", store)
        for text in ("{", "[]", "", "\0", "{\"a\": 1, \"a\": 2}"):
            with open(store + ".seals", "w") as f:
                f.write(text)
            wrong(FAILED, "not as dnet writes it", "create", "x")
            wrong(FAILED, "not as dnet writes it", "node", "add", "@office", KEYS[2])
        # what the message says helps
        os.unlink(store + ".seals")
        assert tool.run("node", "add", "office", KEYS[2], "--dry-run").returncode == OK
    finally:
        shutil.copy(store + ".kept", store)
        shutil.copy(store + ".seals.kept", store + ".seals")


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] +
                         sys.argv[1:]))
