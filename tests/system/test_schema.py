"""chain.db as an interface: every query of doc/chain-db.md, literally, on a database that has something for each; the
schema before, brought up to date beside its readers."""

import os
import sqlite3
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402
from clilib import Tool  # noqa: E402

lib.need_litecoind()

TOP = os.environ.get("top_srcdir") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")


class World:
    """The dnet office with members that came and went, the OVC meet that serves it and one more, and something that waits."""

    def __init__(self, folder):
        self.folder = folder
        self.node = lib.Litecoind(os.path.join(folder, "node"))
        self.watch = None

    def start(self):
        node = self.node.start()
        node.wallet(110)
        self.watch = watch = lib.Chainwatch(self.folder, node, poll="20ms")
        watch.start()
        self.office, self.other = lib.Owner(node), lib.Owner(node)
        self.meet, self.thief = lib.Owner(node), lib.Owner(node)
        self.office.send(lib.dnet_create("office", ("10.9.0.0", 24)))
        self.other.send(lib.dnet_create("other"))
        self.meet.send(lib.ovc_create("meet"), lib.endpoint_put("192.0.2.1", 4242))
        # A claim of somebody who owns nothing.
        self.thief.send(lib.node_put(66, "mallory"))
        node.mine()
        watch.wait_tip()
        ids = dict(watch.query("SELECT name, id FROM object"))
        for number in range(3):
            self.office.send(lib.node_put(number, "n%d" % number, "10.9.0.%d" % (number + 1)))
        self.office.send(lib.link(lib.bech32m_data(ids["meet"])))
        self.other.send(lib.link(lib.bech32m_data(ids["meet"])))
        self.meet.send(lib.grant(lib.bech32m_data(ids["office"]), expiry=node.getblockcount() + 500, rate=1000))
        node.mine()
        self.office.send(lib.node_del(0))
        node.mine()
        self.office.send(lib.node_del(1))  # in the mempool
        watch.wait_tip()
        lib.wait_for(lambda: watch.query("SELECT 1 FROM revocation WHERE source = 'mempool'"), "it is seen", 5)
        return self

    def stop(self):
        if self.watch:
            self.watch.stop()
        self.node.stop()


@pytest.fixture(scope="module")
def world():
    with lib.Folder() as folder:
        world = World(folder)
        try:
            yield world.start()
        finally:
            world.stop()


def document():
    with open(os.path.join(TOP, "doc/chain-db.md")) as f:
        return f.read()


def queries():
    """[(the sentence before it, SQL)]"""
    parts = document().split("```")
    return [(parts[i - 1].strip().splitlines()[-1], parts[i][4:].strip())
            for i in range(1, len(parts), 2) if parts[i].startswith("sql\n")]


@pytest.mark.parametrize("number", range(len(queries())))
def test_every_query_of_the_document_answers(world, number):
    sentence, sql = queries()[number]
    if "height 100" in sentence:
        sql = sql.replace("100", str(world.node.getblockcount() - 1))
    rows = world.watch.query(sql)
    assert rows, "no row: %s\n%s" % (sentence, sql)


def test_every_table_and_view_is_described(world):
    text = document()
    for table, in world.watch.query("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
                                    " AND name NOT LIKE 'sqlite_%'"):
        assert "| `%s` |" % table in text, "doc/chain-db.md does not describe %s" % table


def test_who_serves_sees_who_links_back(world):
    assert world.watch.query("SELECT name, linked, members, rate_kbit FROM served_dnet") == [("office", 1, 1, 1000)]
    left, = world.watch.query("SELECT blocks_left FROM served_dnet")[0]
    assert 490 < left <= 500


@pytest.mark.parametrize("view", ("node_in_force", "link_in_force", "endpoint_in_force", "grant_in_force"))
def test_the_removals_of_a_row_are_found_among_many(world, view):
    """By the whole key of the table: 10,000 members that were each removed once are 20 ms, and were 24 s by the object alone."""
    plan = " ".join(row[-1] for row in world.watch.query("EXPLAIN QUERY PLAN SELECT * FROM " + view))
    assert "PRIMARY KEY (object=? AND type=? AND subject=?)" in plan, plan


def old_views():
    """Of schema 1, as they were."""
    with open(os.path.join(TOP, "tests/vectors/chaindb-1.sql")) as f:
        return "".join(line for line in f if line.startswith("CREATE VIEW"))


def test_the_schema_before_is_brought_up_to_date_and_read_meanwhile(world):
    watch, tool = world.watch, Tool(world.folder, world.node, world.watch)
    new = sorted(watch.query("SELECT name, sql FROM sqlite_master"), key=repr)
    before, shown = watch.dump(), tool.ok("show", "office")
    watch.stop()
    db = sqlite3.connect(watch.db)
    for name, in db.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall():
        db.execute("DROP VIEW " + name)
    db.executescript(old_views())
    db.execute("UPDATE meta SET value = '1' WHERE name = 'schema'")
    db.commit()
    db.close()
    assert tool.ok("show", "office") == shown
    assert tool.ok("chain")["schema"] == 1
    assert "older than" in tool.run("chain").stdout
    watch.start()
    watch.wait_tip()
    assert "brought from schema 1 to 2" in watch.process.log()
    assert watch.query("SELECT value FROM meta WHERE name = 'schema'") == [("2",)]
    assert sorted(watch.query("SELECT name, sql FROM sqlite_master"), key=repr) == new
    assert watch.dump() == before
    assert tool.ok("chain")["schema"] == 2
    assert "older than" not in tool.run("chain").stdout


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
