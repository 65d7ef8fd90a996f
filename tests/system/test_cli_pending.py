"""What was sent and is in no block: shown with what to do, paid more for, sent again; two that pay from one wallet."""

import json
import os
import pty
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import clilib  # noqa: E402
import testlib as lib  # noqa: E402
from clilib import (ABORTED, DENIED, FAILED, FUNDS, KEYS, NOT_FOUND, OK, USAGE, Tool,  # noqa: E402
                    clean_environment, mine, tool)  # noqa: E402,F401

lib.need_litecoind()


@pytest.fixture(scope="module")
def world():
    """A node that replaces transactions: Litecoin's do not, unless they are told to."""
    with clilib.running(["-mempoolreplacement=1"]) as made:
        yield made


def pending(tool):
    return tool.ok("pending")["pending"]


def states(tool):
    return [p["state"] for p in pending(tool)]


def drop(node, *txids):
    """The node forgets its mempool and keeps its chain."""
    node.stop()
    path = os.path.join(node.folder, "regtest", "mempool.dat")
    if os.path.exists(path):
        os.unlink(path)
    node.extra.append("-walletbroadcast=0")  # the wallet would put its own back
    node.start()
    node.extra.remove("-walletbroadcast=0")
    node.loadwallet("w")
    assert not set(txids) & set(node.getrawmempool())


def test_what_waits_is_shown_until_a_block_has_it(world, tool):
    assert pending(tool) == []
    made = tool.write_ok("create", "waits")
    shown, = pending(tool)
    assert (shown["txid"], shown["id"], shown["state"], shown["what"]) == (
        made["txid"], made["id"], "waiting", "create dnet waits")
    mine(world)
    assert pending(tool) == []
    assert "nothing waits" in tool.run("pending").stdout


def test_a_bump_keeps_the_id_and_the_order(world, tool):
    _, node, _ = world
    made = tool.write_ok("create", "bumped")
    before = node.getrawtransaction(made["txid"], True)
    dry = tool.ok("bump", made["txid"], "--dry-run")
    assert dry["transactions"][0]["fee"] > made["fee"]
    assert made["txid"] in node.getrawmempool()
    error = tool.run("bump", made["txid"])
    assert error.returncode == ABORTED
    done = tool.ok("--yes", "bump", made["txid"][:12])
    assert done["fee"] > made["fee"] and done["again"] == 0
    assert made["txid"] not in node.getrawmempool() and done["txid"] in node.getrawmempool()
    after = node.getrawtransaction(done["txid"], True)
    assert after["vin"][0]["txid"] == before["vin"][0]["txid"]
    assert [o["scriptPubKey"]["hex"] for o in after["vout"][:2]] == [
        o["scriptPubKey"]["hex"] for o in before["vout"][:2]]
    mine(world)
    assert tool.ok("show", made["id"])["sequence"] == 0
    tool.write_ok("node", "add", made["id"], KEYS[1])
    error = tool.fails(NOT_FOUND, "bump", made["txid"])
    assert error["next"]


def test_what_hangs_on_it_is_built_again(world, tool):
    _, node, _ = world
    made = tool.write_ok("create", "family")
    mine(world)
    first = tool.write_ok("node", "add", "family", KEYS[1] + "=a")
    rest = [tool.write_ok("node", "add", "family", "%s=n%d" % (k, n))["txid"]
            for n, k in enumerate(KEYS[2:4])]
    done = tool.ok("--yes", "bump", first["txid"], "--fee-rate", "60")
    assert done["again"] == 2
    pool = node.getrawmempool()
    assert not set(rest + [first["txid"]]) & set(pool)
    assert [p["state"] for p in pending(tool)] == ["waiting"] * 3
    tool.write_ok("node", "add", "family", KEYS[4] + "=last")
    mine(world)
    shown = tool.ok("show", made["id"])
    assert {n["name"] for n in shown["nodes"]} == {"a", "n0", "n1", "last"}
    assert shown["sequence"] == 4


def test_a_bump_says_what_it_has_to_pay(world, tool):
    made = tool.write_ok("create", "cheap", "--fee-rate", "10")
    error = tool.fails(USAGE, "bump", made["txid"], "--fee-rate", "10.5", words="at least")
    assert "higher --fee-rate" in error["next"]
    tool.fails(FUNDS, "bump", made["txid"], "--fee-rate", "5000", words="over the cap")
    mine(world)
    tool.fails(FAILED, "bump", made["txid"], words="in a block already")


def test_a_bump_that_would_lose_anothers_transaction_is_refused(world, tool):
    _, node, _ = world
    node.createwallet("poor")
    address = node.post_to("wallet/poor", {"id": 1, "method": "getnewaddress", "params": ["", "bech32"]})["result"]
    node.post_to("wallet/w", {"id": 1, "method": "sendtoaddress", "params": [address, 1]})
    node.unloadwallet("w")
    try:
        mine(world)
        first = tool.write_ok("create", "one")
        second = tool.write_ok("create", "two")  # paid from the change of the first
        error = tool.fails(FAILED, "bump", first["txid"], words="another id")
        assert "bump that one" in error["next"]
        change = node.decoderawtransaction(node.getrawtransaction(second["txid"]))["vout"][2]
        raw = node.createrawtransaction([{"txid": second["txid"], "vout": 2}],
                                        [{node.getnewaddress(): "%.8f" % (float(change["value"]) - 0.001)}])
        third = node.sendrawtransaction(node.signrawtransactionwithwallet(raw)["hex"])  # in no journal
        error = tool.fails(FAILED, "bump", second["txid"], words=third)
        assert error["next"]
        mine(world)
        assert pending(tool) == []
    finally:
        node.loadwallet("w")
        node.unloadwallet("poor")


def test_what_a_node_has_lost_is_sent_again(world, tool):
    _, node, watch = world
    made = tool.write_ok("create", "lost")
    txids = [made["txid"], tool.write_ok("node", "add", "lost", KEYS[1] + "=x")["txid"]]
    drop(node, *txids)
    shown = pending(tool)
    assert [p["txid"] for p in shown] == txids
    assert shown[0]["state"] == "missing" and "--resend" in shown[0]["next"]
    after = tool.ok("pending", "--resend")["pending"]
    assert [p["state"] for p in after] == ["waiting", "waiting"]
    assert set(txids) <= set(node.getrawmempool())
    mine(world)
    assert tool.ok("show", "lost")["nodes"][0]["name"] == "x"


def test_one_that_no_block_takes_is_called_slow(world, tool):
    _, node, _ = world
    made = tool.write_ok("create", "slow")
    node.prioritisetransaction(made["txid"], 0, -100000000)
    for _ in range(6):
        mine(world)
    shown, = pending(tool)
    assert (shown["state"], shown["blocks"]) == ("slow", 6) and "bump" in shown["next"]
    done = tool.ok("--yes", "bump", made["txid"])
    mine(world)
    assert pending(tool) == [] and tool.ok("show", made["id"])["sequence"] == 0
    assert done["txid"] != made["txid"]


def test_one_that_is_excluded_is_named_and_forgotten(world, tool):
    """The same keystore on two machines: each writes its own update, a block has one of them."""
    _, node, watch = world
    made = tool.write_ok("create", "torn")
    mine(world)
    mine_tx = tool.write_ok("node", "add", "torn", KEYS[1] + "=here")
    drop(node, mine_tx["txid"])
    # the other machine knows nothing of it
    seals = tool.options["keystore"] + ".seals"
    outbox = tool.options["keystore"] + ".outbox"
    kept = {name: open(name).read() for name in (seals, outbox)}
    os.unlink(seals)
    os.unlink(outbox)
    lib.wait_for(lambda: tool.ok("show", made["id"])["seal"]["pending"] == 0, "chainwatch forgets it")
    other = tool.write_ok("node", "add", made["id"], KEYS[2] + "=there")
    for name, text in kept.items():
        with open(name, "w") as f:
            f.write(text)
    mine(world)
    shown = [p for p in pending(tool) if p["txid"] == mine_tx["txid"]]
    assert shown[0]["state"] == "conflict" and "--forget" in shown[0]["next"]
    assert tool.ok("pending", "--forget", mine_tx["txid"])["pending"] == []
    assert other["txid"] != mine_tx["txid"]
    # the command again goes on from what the block has
    tool.write_ok("node", "add", "torn", KEYS[1] + "=here")
    mine(world)
    assert {n["name"] for n in tool.ok("show", made["id"])["nodes"]} == {"here", "there"}


def test_a_journal_that_was_cut_off_is_read_to_the_cut(world, tool):
    made = tool.write_ok("create", "cut")
    with open(tool.options["keystore"] + ".outbox", "a") as f:
        f.write('{"tx":{"chain":"litecoin-regtest","id":"dn')
    assert [p["txid"] for p in pending(tool)] == [made["txid"]]
    second = tool.write_ok("node", "add", "cut", KEYS[1])
    assert [p["txid"] for p in pending(tool)] == [made["txid"], second["txid"]]
    with open(tool.options["keystore"] + ".outbox") as f:
        assert all(json.loads(line) for line in f)
    with open(tool.options["keystore"] + ".outbox", "a") as f:
        f.write("nonsense\n{}\n")
    tool.fails(FAILED, "pending", words="not as dnet writes it")


def test_a_kill_between_signing_and_sending_leaves_it_in_the_journal(world, tool):
    _, node, _ = world
    tool.write_ok("create", "halted")
    outbox = tool.options["keystore"] + ".outbox"
    size = os.path.getsize(outbox)
    hit = 0
    for n, key in enumerate(KEYS[1:]):
        child = subprocess.Popen([lib.program("dnet"), "-c", tool.conf, "--yes", "node", "add", "halted",
                                  "%s=k%d" % (key, n)], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                 env=clean_environment())
        lib.wait_for(lambda: os.path.getsize(outbox) > size or child.poll() is not None,
                     "it is signed", interval=0.0001)
        child.send_signal(signal.SIGKILL)
        child.wait()
        tool.ok("pending", "--resend")
        assert all(s == "waiting" for s in states(tool)), pending(tool)
        size = os.path.getsize(outbox)
        hit += 1
    mine(world)
    assert {r["name"] for r in tool.ok("show", "halted")["nodes"]} == {"k0", "k1", "k2", "k3"}
    assert hit == 4


def test_a_child_pays_where_nodes_replace_nothing():
    with clilib.running() as (folder, node, watch):
        tool = Tool(folder, node, watch)
        made = tool.write_ok("create", "parent", "--fee-rate", "2")
        error = tool.fails(FAILED, "bump", made["txid"], words="replaces no transactions")
        assert "--child" in error["next"]
        shown = tool.run("bump", made["txid"], "--child", "--fee-rate", "40", "--dry-run").stdout
        outputs = [line for line in shown.splitlines() if line.startswith("  output")]
        assert len(outputs) == 1 and outputs[0].endswith("  payment"), shown
        done = tool.ok("--yes", "bump", made["txid"], "--child", "--fee-rate", "40")
        entry = node.getmempoolentry(done["txid"])
        assert entry["ancestorcount"] == 2
        rate = entry["ancestorfees"] / entry["ancestorsize"]
        assert 36 <= rate <= 48, rate
        # the object goes on as if nothing had been
        tool.write_ok("node", "add", "parent", KEYS[1])
        node.mine()
        watch.wait_tip()
        assert tool.ok("show", "parent")["sequence"] == 1 and pending(tool) == []


class Asked:
    """dnet at its question, with a terminal."""

    def __init__(self, tool, *argv):
        program, env = lib.program("dnet"), clean_environment()
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.execve(program, ["dnet", "-c", tool.conf, *argv], env)
        self.text = ""
        while "[y/N]" not in self.text:
            self.text += os.read(self.fd, 4096).decode()

    def answer(self, text):
        os.write(self.fd, text.encode())
        try:
            while True:
                self.text += os.read(self.fd, 4096).decode()
        except OSError:
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_two_that_pay_from_one_wallet_take_different_coins(world, tool):
    folder, node, watch = world
    other = Tool(folder, node, watch, name="other-owner")
    asked = Asked(tool, "create", "first")
    coins = {(c["txid"], c["vout"]) for c in node.listlockunspent()}
    assert coins
    second = other.write_ok("create", "second")
    spent = {(i["txid"], i["vout"]) for i in node.getrawtransaction(second["txid"], True)["vin"]}
    assert not spent & coins
    assert asked.answer("y\n") == OK
    assert node.listlockunspent() == []
    assert len(pending(tool)) == 1
    # the answer no frees them too
    asked = Asked(tool, "create", "third")
    assert node.listlockunspent()
    assert asked.answer("n\n") == ABORTED
    assert node.listlockunspent() == []
    mine(world)


def test_a_coin_that_is_spent_while_it_asks_is_replaced_by_another(world, tool):
    _, node, _ = world
    asked = Asked(tool, "create", "outrun")
    coin, = node.listlockunspent()
    node.lockunspent(True, [coin])
    raw = node.createrawtransaction([coin], [{node.getnewaddress(): 0.5}])
    raw = node.signrawtransactionwithwallet(raw)["hex"]
    node.sendrawtransaction(raw, 0)
    assert asked.answer("y\n") == OK, asked.text
    assert "spent meanwhile" in asked.text
    shown, = pending(tool)
    assert shown["state"] == "waiting"
    mine(world)
    # the id is that of what was sent, and its key is there
    assert tool.ok("show", "outrun")["id"] == shown["id"]
    tool.write_ok("node", "add", "outrun", KEYS[1])


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] +
                         sys.argv[1:]))
