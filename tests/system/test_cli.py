"""dnet, the tool, against a real litecoind on regtest with chainwatch beside it."""

import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402
from clilib import (ABORTED, DENIED, FAILED, FUNDS, KEYS, NOT_FOUND, OK, TIMEOUT,  # noqa: E402
                    UNREACHABLE, USAGE, Tool, mine, tool, world)  # noqa: E402,F401

lib.need_litecoind()


def rows(tool, ident, kind):
    return tool.ok("show", ident)[kind]


def test_a_dnet_is_created_filled_linked_and_granted(world, tool):
    _, node, _ = world
    made = tool.write_ok("create", "office", "--ipv4", "10.77.0.0/24")
    assert made["kind"] == "dnet" and made["name"] == "office"
    assert made["id"].startswith("dnet1") and len(made["id"]) == 43
    assert made["txid"] in node.getrawmempool()
    ovc = tool.write_ok("ovc", "create", "meet", "--key", KEYS[0])
    ovr = tool.write_ok("ovr", "create", "relay", "--key", KEYS[0])
    assert (ovc["kind"], ovr["kind"]) == ("ovc", "ovr")
    mine(world)
    tool.write_ok("ovc", "endpoint", "add", "meet", "udp://198.51.100.10:4242")
    tool.write_ok("ovc", "endpoint", "add", "meet", "udp://[2001:db8::1]:4242",
                  "udp://meet.example.org:4242")
    tool.write_ok("ovr", "endpoint", "add", ovr["id"], "udp://198.51.100.20:4242")
    tool.write_ok("ovc", "grant", "meet", "office", "--expires", "5000", "--rate", "1000",
                  "--volume", "70000")
    tool.write_ok("ovr", "grant", "relay", "office")
    tool.write_ok("link", "office", "meet", "--priority", "3", "--weight", "200")
    tool.write_ok("link", "office", ovr["id"])
    tool.write_ok("node", "add", "office", KEYS[1], "--name", "alice", "--ipv4", "10.77.0.2",
                  "--gateway")
    mine(world)
    shown = tool.ok("show", "office")
    node_row, = shown["nodes"]
    assert (node_row["name"], node_row["key"], node_row["ipv4"], node_row["gateway"],
            node_row["in_force"]) == ("alice", KEYS[1], "10.77.0.2", True, True)
    links = {r["id"]: (r["priority"], r["weight"]) for r in shown["links"]}
    assert links == {ovc["id"]: (3, 200), ovr["id"]: (0, 1)}
    shown = tool.ok("show", "meet")
    assert {r["endpoint"] for r in shown["endpoints"]} == {
        "udp://198.51.100.10:4242", "udp://[2001:db8::1]:4242", "udp://meet.example.org:4242"}
    granted, = shown["grants"]
    assert (granted["dnet"], granted["expires"], granted["rate_kbit"], granted["volume_mib"]) == (
        made["id"], 5000, 1000, 70000)
    tool.write_ok("ovc", "endpoint", "del", "meet", "udp://198.51.100.10:4242")
    tool.write_ok("ovc", "revoke", "meet", "office")
    tool.write_ok("unlink", "office", "relay")
    # a revocation counts from the mempool on
    assert rows(tool, "meet", "grants")[0]["in_force"] is False
    mine(world)
    assert rows(tool, "meet", "grants") == []
    assert len(rows(tool, "meet", "endpoints")) == 2
    assert [r["id"] for r in rows(tool, "office", "links")] == [ovc["id"]]


def test_a_removed_node_is_revoked_from_the_mempool_on(world, tool):
    tool.write_ok("create", "club")
    tool.write_ok("node", "add", "club", KEYS[1] + "=bob", KEYS[2] + "=eve")
    mine(world)
    assert {r["name"] for r in rows(tool, "club", "nodes")} == {"bob", "eve"}
    tool.write_ok("node", "del", "club", "eve")
    assert {r["name"]: r["in_force"] for r in rows(tool, "club", "nodes")} == {
        "bob": True, "eve": False}
    tool.write_ok("node", "del", "club", KEYS[1])
    mine(world)
    assert rows(tool, "club", "nodes") == []
    error = tool.fails(NOT_FOUND, "node", "del", "club", "eve", words="no node of")
    assert error["next"]


def test_updates_chain_while_they_are_unconfirmed(world, tool):
    """The tool's own newest seal goes before chain.db's; no block between."""
    _, node, _ = world
    made = tool.write_ok("create", "chained")
    txids = [made["txid"]]
    for n, key in enumerate(KEYS[1:]):
        txids.append(tool.write_ok("node", "add", "chained", "%s=n%d" % (key, n))["txid"])
    assert set(txids) <= set(node.getrawmempool())
    for before, after in zip(txids, txids[1:]):
        first = node.getrawtransaction(after, True)["vin"][0]
        assert (first["txid"], first["vout"]) == (before, 1)
    assert tool.ok("show", made["id"])["seal"]["pending"] == 5
    mine(world)
    shown = tool.ok("show", "chained")
    assert shown["sequence"] == 4 and len(shown["nodes"]) == 4


def test_many_nodes_at_once_go_in_several_transactions(world, tool):
    _, node, _ = world
    tool.write_ok("create", "crowd")
    done = tool.write_ok("node", "add", "crowd", *["%s=m%d" % (k, n) for n, k in enumerate(KEYS)])
    assert len(done["txids"]) == 3 and done["txid"] == done["txids"][-1]
    mine(world)
    assert len(rows(tool, "crowd", "nodes")) == 5


def test_it_goes_on_when_chainwatch_has_not_seen_the_last_update(world, tool):
    """Without chain.db the seal that the tool made last is known all the same."""
    made = tool.write_ok("create", "blind")
    tool.options["chain-db"] = os.path.join(tool.folder, "missing.db")
    tool.options["chainwatch"] = os.path.join(tool.folder, "missing.sock")
    tool.write()
    done = tool.ok("--yes", "node", "add", made["id"], KEYS[1])
    assert done["seen"] is False


def test_dry_run_sends_and_keeps_nothing(world, tool):
    _, node, _ = world
    before = set(node.getrawmempool())
    planned = tool.ok("create", "ghost", "--ipv4", "10.1.0.0/16", "--dry-run")
    assert planned["dry_run"] is True
    tx, = planned["transactions"]
    assert tx["records"][0]["type"] == "DNET_CREATE" and tx["records"][0]["name"] == "ghost"
    assert tx["fee"] > 0 and tx["vsize"] > 100 and tx["inputs"] and len(tx["outputs"]) == 3
    assert set(node.getrawmempool()) == before
    assert not os.path.exists(tool.options["keystore"])
    tool.fails(NOT_FOUND, "show", "ghost", words="ghost")
    tool.write_ok("create", "solid")
    before = set(node.getrawmempool())
    done = tool.run("node", "add", "solid", *KEYS, "--dry-run")
    assert done.returncode == OK and "nothing was sent" in done.stdout
    assert done.stdout.count("NODE_PUT") == 5 and "the seal" in done.stdout
    assert set(node.getrawmempool()) == before


def test_without_a_terminal_and_without_yes_nothing_is_sent(world, tool):
    _, node, _ = world
    before = set(node.getrawmempool())
    done = tool.run("create", "silent")
    assert done.returncode == ABORTED and "--yes" in done.stderr
    assert set(node.getrawmempool()) == before


def test_a_wrong_passphrase_is_refused_before_anything_is_sent(world, tool):
    _, node, _ = world
    tool.write_ok("create", "locked")
    with open(tool.options["keystore"], "rb") as f:
        kept = f.read()
    before = set(node.getrawmempool())
    wrong = os.path.join(tool.folder, "wrong")
    with open(wrong, "w") as f:
        f.write("wrong horse")
    for command in (("node", "add", "locked", KEYS[1]), ("create", "other"), ("close", "locked")):
        tool.fails(DENIED, *command, "--keyfile", wrong, words="wrong passphrase")
    tool.options.pop("keyfile")
    tool.write()
    tool.fails(DENIED, "close", "locked", words="wrong passphrase", env={"DNET_KEYFILE": wrong})
    tool.fails(DENIED, "close", "locked", "--keyfile", wrong + "-missing", words="cannot read")
    assert set(node.getrawmempool()) == before
    with open(tool.options["keystore"], "rb") as f:
        assert f.read() == kept


def test_the_keystore_hides_its_secrets_and_is_private(world, tool):
    made = tool.write_ok("create", "private")
    path = tool.options["keystore"]
    assert os.stat(path).st_mode & 0o777 == 0o600
    with open(path, "rb") as f:
        data = f.read()
    assert data.startswith(b"dnetkeys") and b"private" not in data
    assert made["id"].encode() not in data


class Wallets:
    """Two wallets of one node, of which one at a time is loaded: "w" has coins, the other none."""

    def __init__(self, node, name):
        self.node, self.name = node, name
        node.unloadwallet("w")
        node.createwallet(name)
        self.address = node.getnewaddress()

    def use(self, name):
        for loaded in self.node.listwallets():
            self.node.unloadwallet(loaded)
        self.node.loadwallet(name)


@pytest.fixture
def poor(world, tool, request):
    wallets = Wallets(world[1], request.node.name)
    try:
        yield wallets
    finally:
        wallets.use("w")


def test_a_wallet_without_coins_says_so(world, tool, poor):
    tool.fails(FUNDS, "create", "beggar", words="not enough coins")


def test_one_coin_pays_for_many_unconfirmed_updates(world, tool, poor):
    """The change of an update is not trusted by the wallet, as the seal beside it is not its own:
    the tool takes it all the same."""
    _, node, watch = world
    poor.use("w")
    node.sendtoaddress(poor.address, 0.5)
    mine(world)
    poor.use(poor.name)
    tool.write_ok("create", "thrifty")
    tool.write_ok("node", "add", "thrifty", *["%s=m%d" % (k, n) for n, k in enumerate(KEYS)])
    tool.write_ok("node", "del", "thrifty", KEYS[0])
    assert len(node.listunspent(0)) == 1
    tool.write_ok("close", "thrifty")


def test_a_fee_over_the_cap_is_not_paid(world, tool):
    tool.fails(FUNDS, "create", "dear", "--fee-rate", "5000", words="over the cap")
    tool.fails(USAGE, "create", "cheap", "--fee-rate", "0.1", words="relays nothing below")
    tool.fails(USAGE, "create", "odd", "--fee-rate", "lots", words="not a fee rate")


def test_an_unknown_object_is_not_found(world, tool):
    for command in (("show", "nobody"), ("history", "nobody"), ("close", "nobody"),
                    ("node", "add", "nobody", KEYS[1])):
        tool.fails(NOT_FOUND, *command, words="nobody")
    strange = "dnet1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqxxxxxx"
    tool.fails(NOT_FOUND, "show", strange)


def test_another_owners_keystore_refuses(world, tool):
    folder, node, watch = world
    made = tool.write_ok("create", "mine")
    mine(world)
    thief = Tool(folder, node, watch, name="thief")
    before = set(node.getrawmempool())
    thief.fails(DENIED, "node", "add", made["id"], KEYS[1], words="has no key for")
    thief.write_ok("create", "his")
    thief.fails(DENIED, "close", made["id"], words="has no key for")
    thief.fails(DENIED, "close", "mine", words="has no key for")
    assert len(set(node.getrawmempool()) - before) == 1


def test_a_transfer_gives_the_object_to_the_other_keystore(world, tool):
    folder, node, watch = world
    made = tool.write_ok("create", "house")
    mine(world)
    buyer = Tool(folder, node, watch, name="buyer")
    address = buyer.ok("receive", made["id"])["address"]
    assert address.startswith("rltc1q")
    assert buyer.ok("receive", made["id"])["address"] == address  # paid-to keys stay
    tool.fails(USAGE, "transfer", "house", "rltc1qnonsense", words="not an address")
    tool.write_ok("transfer", "house", address)
    tool.fails(DENIED, "node", "add", "house", KEYS[1], words="belongs to another key")
    buyer.write_ok("node", "add", "house", KEYS[1] + "=new")
    mine(world)
    assert [r["name"] for r in rows(buyer, "house", "nodes")] == ["new"]


def test_a_closed_object_takes_no_more(world, tool):
    _, node, _ = world
    made = tool.write_ok("create", "shop")
    mine(world)
    closed = tool.write_ok("close", "shop")
    back = node.getrawtransaction(closed["txid"], True)["vout"][1]["scriptPubKey"]["addresses"][0]
    assert node.getaddressinfo(back)["ismine"]
    tool.fails(FAILED, "node", "add", made["id"], KEYS[1], words="closed")
    mine(world)
    tool.fails(FAILED, "node", "add", made["id"], KEYS[1], words="closed")
    assert tool.ok("show", made["id"])["closed"] is True
    assert made["id"] not in {o["id"] for o in tool.ok("list")["objects"]}
    assert made["id"] in {o["id"] for o in tool.ok("list", "--closed")["objects"]}


def test_the_seal_is_not_among_the_coins_of_the_wallet(world, tool):
    """Or the wallet would pay with it some day, and the object would be lost."""
    _, node, _ = world
    made = tool.write_ok("create", "sealed")
    for _ in range(2):
        coins = {(c["txid"], c["vout"]) for c in node.listunspent(0)}
        assert (made["txid"], 1) not in coins
        assert node.gettxout(made["txid"], 1) is not None
        mine(world)


def test_objects_are_found_by_id_prefix_and_label(world, tool):
    made = tool.write_ok("create", "prefixed")
    mine(world)
    for text in (made["id"], made["id"][:12], "prefixed"):
        assert tool.ok("show", text)["id"] == made["id"]
    tool.fails(NOT_FOUND, "show", made["id"][:7], words="no object is called")
    again = tool.write_ok("create", "prefixed")
    tool.fails(NOT_FOUND, "show", "prefixed", words="several")
    assert tool.ok("show", again["id"])["name"] == "prefixed"


def test_history_has_everything_in_order(world, tool):
    made = tool.write_ok("create", "story")
    mine(world)
    tool.write_ok("node", "add", "story", KEYS[1] + "=hero")
    tool.write_ok("node", "del", "story", KEYS[1])
    events = tool.ok("history", "story")["events"]
    assert [e["type"] for e in events] == ["DNET_CREATE", "NODE_PUT", "NODE_DEL"]
    assert [e["height"] == 0 for e in events] == [False, True, True]
    text = tool.run("history", "story").stdout
    assert text.index("NODE_DEL") < text.index("NODE_PUT hero") < text.index("DNET_CREATE story")
    assert "transaction " + made["txid"] in text and "\033" not in text


def test_history_reads_like_a_log(world, tool):
    """Newest first, a transaction a paragraph: where, when, by whom, and what was before."""
    _, node, _ = world
    made = tool.write_ok("create", "log", "--ipv4", "10.8.0.0/24")
    mine(world)
    tool.write_ok("node", "add", "log", KEYS[1] + "=alice", KEYS[2] + "=bob")
    mine(world)
    since = node.getblockcount() + 1
    tool.write_ok("node", "add", "log", KEYS[1] + "=carol")
    mine(world)
    tool.write_ok("node", "del", "log", KEYS[2])  # waits
    whole = tool.ok("history", "log")["events"]
    assert [e["type"] for e in whole] == ["DNET_CREATE", "NODE_PUT", "NODE_PUT", "NODE_PUT", "NODE_DEL"]
    assert whole[3]["changes"] == [{"field": "name", "old": "alice", "new": "carol"}]
    assert whole[4]["changes"] == [{"field": "name", "old": "bob", "new": None}]
    assert whole[4]["record"]["key"] == KEYS[2] and not any(e["refused"] for e in whole)
    # Who held the seal that was spent.
    for event in whole[1:]:
        spent = [e for e in whole if e["sequence"] == event["sequence"] - 1]
        raw = node.getrawtransaction(spent[0]["txid"], True)
        assert event["owner"] in raw["vout"][1]["scriptPubKey"]["addresses"]
    text = tool.run("history", "log").stdout
    blocks = [b for b in text.split("transaction ") if b]
    assert len(blocks) == 5 and "\033" not in text
    assert "in the mempool" in blocks[0] and "name bob → none" in blocks[0]
    assert "height   %d\n" % since in blocks[1] and "name alice → carol" in blocks[1]
    assert blocks[4].startswith(made["txid"]) and "owner    rltc1" in blocks[1]
    lines = tool.run("history", "log", "--oneline").stdout.splitlines()
    assert len(lines) == 5 and " pending NODE_DEL" in lines[0] and "(name alice → carol)" in lines[1]
    assert tool.run("history", "log", "--oneline", "-n", "2").stdout.splitlines() == lines[:2]
    assert tool.run("history", "log", "--oneline", "--since", str(since)).stdout.splitlines() == lines[:2]
    # By any name that the node ever had, or its key.
    for name in ("alice", "carol", KEYS[1][:10]):
        events = tool.ok("history", "log", "--node", name)["events"]
        assert [e["record"]["name"] for e in events] == ["alice", "carol"]
    assert len(tool.ok("history", "log", "--node", "alice", "-n", "1")["events"]) == 1
    tool.fails(NOT_FOUND, "history", "log", "--node", "nobody", words="never had a node")
    for wrong in (("-n", "0"), ("-n", "x"), ("-n", "-1"), ("--since", "-1"), ("--since", "1x"), ("--since", "2147483648")):
        tool.fails(USAGE, "history", "log", *wrong)


def test_history_of_a_transfer_says_from_whom_to_whom(world, tool):
    tool.write_ok("create", "handed")
    mine(world)
    address = world[1].getnewaddress("", "bech32")
    tool.write_ok("transfer", "handed", address)
    change, = [c for c in tool.ok("history", "handed")["events"][-1]["changes"] if c["field"] == "owner"]
    assert change["new"] == address and change["old"] != address


def test_the_tip_is_the_nodes(world, tool):
    _, node, watch = world
    chain = tool.ok("chain")
    assert (chain["chain"], chain["height"], chain["hash"]) == (
        "litecoin-regtest", node.getblockcount(), node.getbestblockhash())
    assert chain["chainwatch"]["state"] == "following"
    tool.options["chainwatch"] = os.path.join(tool.folder, "missing.sock")
    tool.write()
    assert tool.ok("chain")["chainwatch"] is None


def test_what_cannot_be_reached_is_said_with_code_4(world, tool):
    free = "http://127.0.0.1:%d/" % lib.free_port()
    tool.fails(UNREACHABLE, "create", "x", "--rpc-url", free)
    tool.fails(UNREACHABLE, "show", "x", "--chain-db", "/nonexistent/chain.db")
    tool.fails(UNREACHABLE, "status", "--socket", "/nonexistent/dnetd.sock")
    error = tool.fails(UNREACHABLE, "create", "x", "--rpc-password", "wrong")
    assert "wrong" not in error["message"]
    tool.fails(USAGE, "create", "x", "--chain", "bitcoin-regtest", words="another genesis block")
    tool.fails(USAGE, "create", "x", "--chain", "dogecoin", words="no chain is called")


def test_what_was_sent_and_not_seen_in_time_is_code_7(world, tool):
    """The chain.db that is looked at stays as it is."""
    _, node, watch = world
    made = tool.write_ok("create", "late")
    other = os.path.join(tool.folder, "chain.db")
    watch.query("VACUUM INTO ?", other)
    done = tool.run("--json", "--yes", "--chain-db", other, "--wait", "200ms", "create", "later")
    assert done.returncode == TIMEOUT, done.stderr
    result = json.loads(done.stdout)
    assert result["seen"] is False and result["txid"] in node.getrawmempool()
    assert made["txid"] != result["txid"]


def test_bad_words_are_usage_errors(world, tool):
    for command in (("create", "Office"), ("create", "-"), ("create", "a" * 33), ("create",),
                    ("create", "a", "b"), ("create", "a", "--ipv4", "10.77.0.1/24"),
                    ("create", "a", "--ipv4", "10.0.0.0/7"), ("create", "a", "--ipv4", "fd00::/8"),
                    ("create", "a", "--nonsense"), ("ovc", "create", "a"),
                    ("ovc", "create", "a", "--key", KEYS[0][:-1]),
                    ("ovc", "create", "a", "--key", "02" + "ff" * 32),
                    ("ovc",), ("ping", "bob", "-c", "0"), ("crate", "a")):
        tool.fails(USAGE, *command)
    assert "did you mean `dnet create`" in tool.fails(USAGE, "crate", "a")["next"]
    tool.write_ok("create", "a" * 32)
    tool.write_ok("ovc", "create", "x", "--key", KEYS[0])
    for url in ("198.51.100.10:4242", "udp://198.51.100.10", "udp://198.51.100.10:0",
                "udp://198.51.100.10:65536", "sctp://198.51.100.10:1", "udp://:1",
                "udp://[198.51.100.10]:1", "udp://2001:db8::1:1", "udp://UPPER.example:1"):
        tool.fails(USAGE, "ovc", "endpoint", "add", "x", url, words="not an endpoint")
    for options in (("--ipv4", "fd00::1"), ("--ipv6", "2001:db8::1"), ("--name", "No")):
        tool.fails(USAGE, "node", "add", "a" * 32, KEYS[1], *options)
    tool.fails(USAGE, "node", "add", "a" * 32, KEYS[1], KEYS[2], "--name", "both",
               words="for one node")
    tool.fails(USAGE, "link", "a" * 32, "a" * 32, words="not an OVC or OVR")
    tool.fails(USAGE, "link", "a" * 32, "x", "--weight", "256", words="0 to 255")


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(world, tool):
    keystore = os.path.join(tool.folder, "other")
    made = tool.write_ok("create", "order")
    mine(world)
    env = {"DNET_KEYSTORE": keystore}
    done = tool.run("--yes", "--json", "node", "add", made["id"], KEYS[1], env=env)
    assert done.returncode == DENIED and keystore in done.stdout
    done = tool.run("--yes", "--json", "node", "add", made["id"], KEYS[1], "--keystore",
                    tool.options["keystore"], env=env)
    assert done.returncode == OK, done.stdout
    done = tool.run("status", env={"DNET_SOCKET": "/nonexistent/from-environment"})
    assert done.returncode == UNREACHABLE and "from-environment" in done.stderr
    clean = {k: v for k, v in os.environ.items() if not k.startswith("DNET_")}
    done = subprocess.run([lib.program("dnet"), "chain"], capture_output=True, text=True,
                          env={**clean, "DNET_CONF": tool.conf}, timeout=60)
    assert done.returncode == OK, done.stderr


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] +
                         sys.argv[1:]))
