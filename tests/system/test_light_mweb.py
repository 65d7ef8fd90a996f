"""A light chainwatch on a chain with MWEB active, as Litecoin is."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402
from lightlib import Dnet, Light, folder, make_node  # noqa: E402,F401

lib.need_litecoind()


def test_blocks_with_mweb_are_read(folder):
    """A node of Litecoin as it is: blocks whose last transaction moves coins into and out of the MWEB."""
    node = make_node(os.path.join(folder, "node"), mweb=True)
    watch = Light(folder, node, [node], filter_peers=1)
    try:
        node.wallet(431)
        inside = node.getnewaddress("", "mweb")
        node.sendtoaddress(inside, 5)
        owner = Dnet(node, folder)
        for n in range(1, 9):
            node.sendtoaddress(node.getnewaddress("", "mweb"), 0.5)
            node.sendtoaddress(node.getnewaddress(), 0.25)
            owner.put(n, "n%d" % n)
        watch.follow = [owner.follow]
        watch.start()
        watch.wait_tip()
        watch.wait_names(*("n%d" % n for n in range(1, 9)))
        assert watch.light()["bans"] == []
    finally:
        watch.stop()
        node.stop()


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"]))
