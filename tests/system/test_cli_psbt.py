"""Transactions that are made where no key is, and that several owners sign: BIP174, with a chain node's wallet beside."""

import base64
import json
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import clilib  # noqa: E402
import testlib as lib  # noqa: E402
from clilib import (ABORTED, DENIED, FAILED, KEYS, USAGE, Tool,  # noqa: E402
                    mine, tool, world)  # noqa: E402,F401

lib.need_litecoind()


def machine(world, tool, name, **options):
    folder, node, watch = world
    return Tool(folder, node, watch, name="%s-%s" % (os.path.basename(tool.folder), name), **options)


def psbt_file(tool, name):
    return os.path.join(tool.folder, name + ".psbt")


def test_made_without_the_key_and_signed_with_it(world, tool):
    """The machine that watches makes and sends it; the one with the key signs, without a chain node."""
    _, node, _ = world
    made = tool.write_ok("create", "vault")["id"]
    mine(world)
    watcher = machine(world, tool, "watcher")
    watcher.ok("keystore", "watch", made)
    path = psbt_file(watcher, "add")
    error = watcher.fails(DENIED, "node", "add", "vault", KEYS[1] + "=alice", words="no key")
    assert "--psbt" in error["next"]
    done = watcher.ok("node", "add", "vault", KEYS[1] + "=alice", "--psbt", path)
    assert done["psbt"] == path and node.getrawmempool() == []
    coins = node.listlockunspent()
    assert coins  # nobody else takes what it spends
    shown = watcher.ok("psbt", "show", path)
    assert shown["id"] == made and shown["fee"] == done["transactions"][0]["fee"]
    assert [i["state"] for i in shown["inputs"]] == ["not signed"] * len(shown["inputs"])
    assert shown["transaction"]["records"][0]["name"] == "alice"
    watcher.fails(FAILED, "psbt", "send", path, words="signatures are missing")
    # the key's machine is offline: no chain.db, no node
    tool.options.update({"rpc-url": "http://127.0.0.1:1/", "chain-db": os.path.join(tool.folder, "none.db")})
    tool.write()
    text = tool.run("psbt", "show", path).stdout
    assert "vault" in text and "alice" in text and "fee" in text
    assert tool.run("psbt", "sign", path).returncode == ABORTED
    signed = psbt_file(tool, "signed")
    tool.ok("--yes", "psbt", "sign", path, "--out", signed)
    assert tool.ok("psbt", "show", signed)["inputs"][0]["state"] == "signed"
    tool.fails(DENIED, "psbt", "sign", signed, words="anything to sign")
    error = watcher.run("psbt", "send", signed)
    assert error.returncode == ABORTED and node.getrawmempool() == []
    sent = watcher.ok("--yes", "psbt", "send", signed)
    assert "dnet pending" in watcher.fails(FAILED, "psbt", "send", signed, words="it was sent before")["next"]
    assert sent["seen"] is True and sent["txid"] in node.getrawmempool()
    assert node.listlockunspent() == []
    assert [p["txid"] for p in watcher.ok("pending")["pending"]] == [sent["txid"]]
    # it goes on from there at once
    second = psbt_file(watcher, "second")
    watcher.ok("node", "add", "vault", KEYS[2] + "=bob", "--psbt", second)
    tool.ok("--yes", "psbt", "sign", second)
    watcher.ok("--yes", "psbt", "send", second)
    mine(world)
    assert {n["name"] for n in watcher.ok("show", made)["nodes"]} == {"alice", "bob"}


def test_an_object_is_made_by_coins_of_another_wallet(world, tool):
    """The key of the object is in the keystore at once; who has the coins signs."""
    _, node, _ = world
    path = psbt_file(tool, "create")
    done = tool.ok("create", "bought", "--ipv4", "10.77.0.0/24", "--psbt", path)
    assert node.getrawmempool() == [] and node.listlockunspent()
    shown = tool.ok("psbt", "show", path)
    assert shown["id"] == done["id"] and shown["warning"] == "" and shown["fee"] > 0
    assert shown["transaction"]["records"][0]["type"] == "DNET_CREATE"
    assert "makes dnet" in tool.run("psbt", "show", path).stdout
    tool.fails(DENIED, "--yes", "psbt", "sign", path, words="anything to sign")
    with open(path) as f:
        text = f.read().strip()
    with open(path, "w") as f:
        f.write(node.walletprocesspsbt(text)["psbt"])
    sent = tool.ok("--yes", "psbt", "send", path)
    assert sent["id"] == done["id"] and sent["seen"] is True and node.listlockunspent() == []
    # it is this keystore's, and goes on at once
    tool.write_ok("node", "add", "bought", KEYS[1] + "=alice", "--ipv4", "10.77.0.1")
    mine(world)
    shown = tool.ok("show", done["id"])
    assert [n["name"] for n in shown["nodes"]] == ["alice"] and shown["sequence"] == 1


def test_what_is_dropped_gives_its_coins_back(world, tool):
    _, node, _ = world
    tool.write_ok("create", "given")
    mine(world)
    for argv in (("node", "add", "given", KEYS[1]), ("create", "up")):
        path = psbt_file(tool, argv[0])
        tool.ok(*argv, "--psbt", path)
        assert node.listlockunspent()
        assert "inputs" in tool.ok("psbt", "drop", path)
        assert node.listlockunspent() == []
        tool.ok("psbt", "drop", path)  # again is no harm


def test_who_has_none_of_the_keys_is_told(world, tool):
    made = tool.write_ok("create", "three")["id"]
    own = tool.ok("receive", made)["key"]
    assert tool.ok("receive", made, own, KEYS[1], "--multisig", "2")["own"] is True
    assert tool.ok("receive", made, KEYS[0], KEYS[1], "--multisig", "2")["own"] is False
    done = tool.run("receive", made, KEYS[0], KEYS[1], "--multisig", "2")
    assert done.returncode == 0 and "none of the keys" in done.stderr
    assert "none" not in tool.run("receive", made, own, KEYS[1], "--multisig", "2").stderr


def test_a_chain_nodes_wallet_reads_and_signs_it(world, tool):
    _, node, _ = world
    tool.write_ok("create", "shared")
    path = psbt_file(tool, "add")
    tool.ok("node", "add", "shared", KEYS[1], "--psbt", path)
    with open(path) as f:
        text = f.read().strip()
    decoded = node.decodepsbt(text)
    assert decoded["inputs"][0]["witness_utxo"]["amount"] > 0 and "fee" in decoded
    processed = node.walletprocesspsbt(text)["psbt"]
    with open(path, "w") as f:
        f.write(processed)
    states = [i["state"] for i in tool.ok("psbt", "show", path)["inputs"]]
    assert states[0] == "not signed" and set(states[1:]) == {"signed"}
    tool.ok("--yes", "psbt", "sign", path)
    with open(path) as f:
        final = node.finalizepsbt(f.read().strip())
    assert final["complete"] is True
    assert node.testmempoolaccept([final["hex"]])[0]["allowed"] is True
    # and as bytes, which is how others write files
    raw = psbt_file(tool, "raw")
    with open(path) as f, open(raw, "wb") as g:
        g.write(base64.b64decode(f.read()))
    tool.ok("--yes", "psbt", "send", raw)
    mine(world)


def three_owners(world, tool):
    """A dnet that goes from one owner to two of three; their machines."""
    made = tool.write_ok("create", "board")["id"]
    mine(world)
    owners = [machine(world, tool, "owner%d" % n) for n in range(3)]
    keys = [o.ok("receive", made)["key"] for o in owners]
    assert owners[0].run("receive", made, "--key").stdout.strip() == keys[0]
    address = owners[0].ok("receive", made, *keys, "--multisig", "2")["address"]
    # the order does not matter, and every owner gets the same
    for owner in owners[1:]:
        assert owner.ok("receive", made, *reversed(keys), "--multisig", "2")["address"] == address
    tool.write_ok("transfer", made, address)
    mine(world)
    return made, owners, keys


def test_two_of_three_own_a_dnet(world, tool):
    _, node, _ = world
    made, owners, keys = three_owners(world, tool)
    assert tool.fails(DENIED, "node", "add", made, KEYS[1], words="belongs to another key")
    error = owners[0].fails(DENIED, "node", "add", made, KEYS[1], words="3 owners, of whom 2")
    assert "--psbt" in error["next"]
    first = psbt_file(owners[0], "add")
    owners[0].ok("node", "add", made, KEYS[1] + "=alice", "--psbt", first)
    assert owners[0].ok("psbt", "show", first)["inputs"][0]["state"] == "0 of 2 signatures"
    # each signs a copy; one is not enough
    copies = [psbt_file(o, "signed") for o in owners[:2]]
    for owner, copy in zip(owners[:2], copies):
        owner.ok("--yes", "psbt", "sign", first, "--out", copy)
        assert owner.ok("psbt", "show", copy)["inputs"][0]["state"] == "1 of 2 signatures"
        owner.fails(FAILED, "psbt", "send", copy, words="signatures are missing")
    owners[0].ok("psbt", "combine", *copies)
    assert owners[2].ok("psbt", "show", copies[0])["inputs"][0]["state"] == "2 of 2 signatures"
    sent = owners[2].ok("--yes", "psbt", "send", copies[0])
    assert sent["seen"] is True
    mine(world)
    shown = owners[2].ok("show", made)
    assert [n["name"] for n in shown["nodes"]] == ["alice"] and shown["sequence"] == 2
    # the fee is what was asked for, at the size that it has
    tx = node.getrawtransaction(sent["txid"], True)
    assert len(tx["vin"][0]["txinwitness"]) == 4
    # two others, one after the other, remove the member again
    second = psbt_file(owners[1], "del")
    owners[1].ok("node", "del", made, "alice", "--psbt", second)
    for owner in (owners[1], owners[2]):
        owner.ok("--yes", "psbt", "sign", second)
    owners[1].ok("psbt", "finish", second)
    assert {i["state"] for i in owners[1].ok("psbt", "show", second)["inputs"]} <= {"signed", "2 of 2 signatures"}
    owners[1].ok("--yes", "psbt", "send", second)
    error = owners[1].fails(DENIED, "bump", owners[1].ok("pending")["pending"][0]["txid"])
    assert error["next"]
    mine(world)
    assert owners[0].ok("show", made)["nodes"] == []
    # a stranger with the address of it has nothing to say
    tool.fails(DENIED, "psbt", "sign", second, words="anything to sign")
    # and back to one
    alone = machine(world, tool, "alone")
    back = psbt_file(owners[0], "back")
    owners[0].ok("transfer", made, alone.ok("receive", made)["address"], "--psbt", back)
    for owner in owners[:2]:
        owner.ok("--yes", "psbt", "sign", back)
    owners[0].ok("--yes", "psbt", "send", back)
    mine(world)
    alone.write_ok("node", "add", made, KEYS[2])
    alone.write_ok("close", made)
    mine(world)


def test_two_of_three_pay_more():
    with clilib.running(["-mempoolreplacement=1"]) as made_world:
        folder, node, watch = made_world
        tool = Tool(folder, node, watch)
        made, owners, keys = three_owners(made_world, tool)
        path = psbt_file(tool, "tx")
        owners[0].ok("node", "add", made, KEYS[1] + "=alice", "--psbt", path, "--fee-rate", "2")
        for owner in owners[:2]:
            owner.ok("--yes", "psbt", "sign", path)
        first = owners[0].ok("--yes", "psbt", "send", path)
        owners[0].fails(DENIED, "bump", first["txid"], words="alone cannot sign")
        bumped = owners[0].ok("bump", first["txid"], "--psbt", path, "--fee-rate", "30")
        assert first["txid"] in node.getrawmempool() and bumped["fee"] > first["fee"]
        for owner in owners[1:]:
            owner.ok("--yes", "psbt", "sign", path)
        second = owners[0].ok("--yes", "psbt", "send", path)
        assert node.getrawmempool() == [second["txid"]]
        assert [p["txid"] for p in owners[0].ok("pending")["pending"]] == [second["txid"]]
        mine(made_world)
        shown = tool.ok("show", made)
        assert shown["sequence"] == 2 and shown["nodes"][0]["name"] == "alice"
        # and it goes on from there
        owners[0].ok("node", "del", made, "alice", "--psbt", path)


def test_a_psbt_that_hides_what_it_does_is_not_signed(world, tool):
    """The chain asks for no record when a seal changes hands, or ends: who hands a PSBT round could hide it."""
    _, node, watch = world
    made = tool.write_ok("create", "trapped")["id"]
    other = tool.write_ok("create", "bystander")["id"]
    mine(world)
    path = psbt_file(tool, "trap")
    tool.ok("node", "add", made, KEYS[1] + "=alice", "--psbt", path)
    with open(path) as f:
        good = base64.b64decode(f.read())
    seal = tool.ok("show", made)["seal"]
    script = bytes.fromhex(node.gettxout(seal["txid"], seal["vout"])["scriptPubKey"]["hex"])
    assert good.count(script) >= 2  # the new seal in the transaction, then the coin that is spent

    def refused(raw, words):
        with open(path, "w") as f:
            f.write(base64.b64encode(raw).decode())
        assert words in tool.ok("psbt", "show", path)["warning"]
        assert "beware: " in tool.run("psbt", "show", path).stdout
        assert tool.fails(DENIED, "psbt", "sign", path, words=words)["next"]
        with open(path) as f:
            assert base64.b64decode(f.read()) == raw

    assert tool.ok("psbt", "show", path)["warning"] == ""
    thief = b"\0\x14" + b"\x07" * 20
    refused(good.replace(script, thief, 1), "and no record says so")
    carrier = re.search(rb"\x6a(?:[\x01-\x4b]|\x4c.)DN", good, re.DOTALL)
    refused(good[:carrier.start()] + b"\x51" + good[carrier.start() + 1:], "it has no record")
    # the seal of another object among what pays, by somebody who has the node's wallet
    stray = tool.ok("show", other)["seal"]
    coin = max(node.listunspent(), key=lambda c: c["amount"])
    raw = node.createpsbt([{"txid": o["txid"], "vout": o["vout"]} for o in (coin, stray)],
                          [{"data": "00"}, {node.getnewaddress(): float(coin["amount"]) - 0.001}])
    refused(base64.b64decode(node.utxoupdatepsbt(raw)), "spends the seal of dnet " + other)
    # what says what it does is signed
    tool.ok("transfer", made, node.getnewaddress("", "bech32"), "--psbt", path)
    assert tool.ok("psbt", "show", path)["warning"] == ""
    text = tool.run("psbt", "show", path).stdout
    assert "TRANSFER" in text and text.count("  to ") == 2
    tool.ok("--yes", "psbt", "sign", path)
    world[1].lockunspent(True)


def test_what_is_no_multisig_or_no_psbt_is_refused(world, tool):
    made = tool.write_ok("create", "strict")["id"]
    for argv, words in (((KEYS[0], "--multisig", "2"), "no multisig"), ((KEYS[0], KEYS[0], "--multisig", "1"), "twice"),
                        ((KEYS[0], KEYS[1], "--multisig", "0"), "no multisig"),
                        ((KEYS[0], KEYS[1], "--multisig", "x"), "no multisig"), ((KEYS[0], KEYS[1]), "without --multisig"),
                        ((KEYS[0], "02" + "ff" * 32, "--multisig", "1"), "no point")):
        tool.fails(USAGE, "receive", made, *argv, words=words)
    path = psbt_file(tool, "bad")
    for text in ("", "cHNidP8=", "nonsense", base64.b64encode(b"psbt\xff" + bytes(50)).decode()):
        with open(path, "w") as f:
            f.write(text)
        tool.fails(USAGE, "psbt", "show", path, words="no PSBT")
    tool.fails(USAGE, "psbt", "show", path + "none", words="cannot read")
    error = tool.fails(USAGE, "node", "add", made, *["%s=n%d" % (k, n) for n, k in enumerate(KEYS)], "--psbt", path,
                       words="a PSBT is one")
    assert "fewer" in error["next"]
    one, two = psbt_file(tool, "one"), psbt_file(tool, "two")
    tool.ok("node", "add", made, KEYS[1], "--psbt", one)
    tool.ok("node", "add", made, KEYS[2], "--psbt", two)
    tool.fails(USAGE, "psbt", "combine", one, two, words="of another transaction")
    # of two that spend one seal the second is refused when the first is sent
    for path in (one, two):
        tool.ok("--yes", "psbt", "sign", path)
    tool.ok("--yes", "psbt", "send", one)
    tool.fails(FAILED, "psbt", "send", two, words="another transaction spends")
    world[1].lockunspent(True)


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] +
                         sys.argv[1:]))
