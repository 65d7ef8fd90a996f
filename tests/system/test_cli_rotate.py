"""An object goes to another key, of the same owner or of another one: with updates that wait, by machines without the
key, by several owners, after a copy on paper."""

import os
import sqlite3
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402
from clilib import (DENIED, FAILED, KEYS, OK, USAGE, Tool, clean_environment,  # noqa: E402
                    mine, tool, world)  # noqa: E402,F401

lib.need_litecoind()


def machine(world, tool, name):
    folder, node, watch = world
    return Tool(folder, node, watch, name="%s-%s" % (os.path.basename(tool.folder), name))


def admin_key(world, ident):
    with sqlite3.connect("file:%s?mode=ro" % world[2].db, uri=True) as db:
        return db.execute("SELECT admin_key FROM dnet_in_force WHERE id = ?", (ident,)).fetchone()[0]


def seal_address(world, tool, ident):
    seal = tool.ok("show", ident)["seal"]
    return world[1].gettxout(seal["txid"], seal["vout"])["scriptPubKey"]["addresses"][0]


def test_rotate_changes_seal_and_admin_key(world, tool):
    made = tool.write_ok("create", "turn")["id"]
    mine(world)
    before = admin_key(world, made), seal_address(world, tool, made)
    dry = tool.ok("rotate", "turn", "--dry-run")
    assert dry["transactions"][0]["records"][0]["type"] == "TRANSFER"
    assert len(tool.ok("keystore", "show")["keys"]) == 1
    old = open(tool.options["keystore"], "rb").read()
    tool.write_ok("rotate", "turn")
    # at once, upon the transaction that waits
    tool.write_ok("node", "add", "turn", KEYS[1] + "=alice")
    mine(world)
    after = admin_key(world, made), seal_address(world, tool, made)
    assert before[0] != after[0] and before[1] != after[1]
    received = tool.ok("receive", made)
    assert (received["admin_key"], received["address"]) == after
    # again, and the copy of before has nothing to say any more
    tool.write_ok("rotate", "turn")
    mine(world)
    assert admin_key(world, made) not in (before[0], after[0])
    thief = machine(world, tool, "thief")
    with open(thief.options["keystore"], "wb") as f:
        f.write(old)
    thief.fails(DENIED, "node", "del", made, "alice", words="another key")
    # the words of the beginning still bring all of it back
    words = tool.ok("--yes", "keystore", "backup")["words"]
    other = machine(world, tool, "paper")
    subprocess.run([lib.program("dnet"), "-c", other.conf, "keystore", "restore", "--from", "-"], input=words, text=True,
                   check=True, capture_output=True, env=clean_environment())
    other.write_ok("node", "del", made, "alice")
    mine(world)


def test_a_rotation_that_was_broken_off_leaves_no_trace(world, tool):
    made = tool.write_ok("create", "still")["id"]
    ovc = tool.write_ok("ovc", "create", "meet", "--key", KEYS[0])["id"]
    mine(world)
    before = admin_key(world, made)
    for _ in range(3):
        assert tool.run("rotate", "still").returncode != OK  # nobody to ask
    assert len([k for k in tool.ok("keystore", "show")["keys"] if k["id"] == made]) == 2  # one spare, used again
    tool.write_ok("node", "add", "still", KEYS[1])
    tool.write_ok("rotate", "meet")
    tool.write_ok("ovc", "grant", "meet", "still")
    mine(world)
    assert admin_key(world, made) == before
    assert tool.ok("show", ovc)["sequence"] == 2
    tool.fails(USAGE, "rotate", "meet", "--admin-key", "11" * 32, words="only dnets")
    tool.fails(USAGE, "rotate", "still", "--admin-key", "ff" * 32, words="not an admin key")


def test_a_transfer_with_the_new_owners_admin_key(world, tool):
    made = tool.write_ok("create", "sold")["id"]
    mine(world)
    buyer = machine(world, tool, "buyer")
    got = buyer.ok("receive", made)
    assert buyer.run("receive", made, "--admin-key").stdout.strip() == got["admin_key"]
    assert "dnet rotate" in tool.run("transfer", made, got["address"], "--dry-run").stderr
    # updates wait, and the transfer goes behind them
    tool.write_ok("node", "add", "sold", KEYS[1] + "=alice")
    tool.write_ok("node", "add", "sold", KEYS[2] + "=bob")
    tool.write_ok("transfer", made, got["address"], "--admin-key", got["admin_key"])
    tool.fails(DENIED, "node", "add", "sold", KEYS[3], words="another key")
    mine(world)
    assert admin_key(world, made) == got["admin_key"]
    buyer.write_ok("node", "del", made, "alice")
    # closed with an update that waits
    buyer.write_ok("node", "add", made, KEYS[4] + "=carol")
    buyer.write_ok("close", made)
    buyer.fails(FAILED, "node", "add", made, KEYS[3], words="closed")
    mine(world)
    assert tool.ok("list", "--closed")["objects"]


def test_closed_and_rotated_by_a_machine_without_the_key(world, tool):
    made = tool.write_ok("create", "cold")["id"]
    mine(world)
    watcher = machine(world, tool, "watcher")
    watcher.ok("keystore", "watch", made)
    path = os.path.join(watcher.folder, "tx.psbt")
    admin = tool.ok("receive", made)["admin_key"]
    fresh = watcher.ok("ovc", "create", "x", "--key", KEYS[0], "--dry-run")["id"]
    assert fresh
    for argv in (("rotate", made, "--admin-key", "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
                 ("close", made)):
        watcher.ok(*argv, "--psbt", path)
        tool.ok("--yes", "psbt", "sign", path)
        watcher.ok("--yes", "psbt", "send", path)
        mine(world)
        if argv[0] == "rotate":
            assert admin_key(world, made) == argv[3] != admin
    assert [o["id"] for o in watcher.ok("list", "--closed", "cold")["objects"]] == [made]


def test_an_owner_of_several_comes_back_from_paper(world, tool):
    made = tool.write_ok("create", "three")["id"]
    mine(world)
    owners = [machine(world, tool, "o%d" % n) for n in range(3)]
    keys = [o.ok("receive", made)["key"] for o in owners]
    address = owners[0].ok("receive", made, *keys, "--multisig", "2")["address"]
    owners[1].ok("receive", made, *keys, "--multisig", "2")
    tool.write_ok("transfer", made, address)
    mine(world)
    words = owners[1].ok("--yes", "keystore", "backup")["words"]
    back = machine(world, tool, "back")
    subprocess.run([lib.program("dnet"), "-c", back.conf, "keystore", "restore", "--from", "-"], input=words, text=True,
                   check=True, capture_output=True, env=clean_environment())
    assert back.ok("receive", made, *keys, "--multisig", "2")["address"] == address
    path = os.path.join(back.folder, "tx.psbt")
    new = owners[0].ok("receive", made)["admin_key"]
    back.ok("rotate", made, "--admin-key", new, "--psbt", path)
    back.ok("--yes", "psbt", "sign", path)
    owners[0].ok("--yes", "psbt", "sign", path)
    owners[0].ok("--yes", "psbt", "send", path)
    mine(world)
    assert admin_key(world, made) == new
    assert seal_address(world, tool, made) == address


INI = """
[dnet]
id = %s
expires = 30d

[policy any]
from = all
to = all
allow = all
"""


def test_rosters_are_signed_with_the_admin_key_in_force(world, tool):
    made = tool.write_ok("create", "signed")["id"]
    mine(world)
    tool.write_ok("rotate", made)
    path = os.path.join(tool.folder, "policy.ini")
    with open(path, "w") as f:
        f.write(INI % made)
    # the newest key is not the chain's before the block, nor afterwards another's
    for n in range(2):
        tool.write_ok("policy", "publish", path, "--out", os.path.join(tool.folder, "%d.roster" % n))
        mine(world)
    buyer = machine(world, tool, "buyer")
    got = buyer.ok("receive", made)
    tool.write_ok("transfer", made, got["address"])
    mine(world)
    error = buyer.fails(DENIED, "policy", "publish", path, "--out", os.path.join(buyer.folder, "a.roster"),
                        words="another one than the chain names")
    assert "dnet rotate" in error["next"]
    buyer.write_ok("rotate", made)
    mine(world)
    buyer.write_ok("policy", "publish", path, "--out", os.path.join(buyer.folder, "b.roster"))


def test_a_policy_that_was_not_confirmed_replaces_nothing(world, tool):
    made = tool.write_ok("create", "asked")["id"]
    mine(world)
    path, out = os.path.join(tool.folder, "asked.ini"), os.path.join(tool.folder, "asked.roster")
    with open(path, "w") as f:
        f.write(INI % made)
    tool.write_ok("policy", "publish", path, "--out", out)
    mine(world)
    with open(out, "rb") as f:
        served = f.read()
    with open(path, "a") as f:
        f.write("allow = tcp/22\n")
    before = tool.ok("policy", "show", made)
    assert before["sequence"] == 1 and before["anchored"]
    for argv in (("--out", out), ("--out", out, "--dry-run")):
        tool.run("policy", "publish", path, *argv)  # there is no terminal: the answer is no
    # whoever joins now still gets the one that the chain has
    with open(out, "rb") as f:
        assert f.read() == served
    assert tool.ok("policy", "show", made) == before
    assert tool.ok("policy", "check", path)["changes"]
    mempool = world[1].getrawmempool()
    error = tool.fails(FAILED, "policy", "publish", path, "--out", "/nonexistent/x", words="nothing was sent")
    assert "--out" in error["next"] and world[1].getrawmempool() == mempool
    assert tool.ok("policy", "show", made) == before
    for argv in (("check", "/nonexistent"), ("diff", tool.folder), ("publish", "/dev/zero"), ("show", made, "--file", "/nonexistent")):
        assert tool.fails(USAGE, "policy", *argv, words="cannot read")["next"]


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] +
                         sys.argv[1:]))
