"""source = blocks:/FOLDER against the files that a real litecoind wrote, as they are and disturbed."""

import os
import random
import shutil
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402

lib.need_litecoind()

MAGIC = bytes.fromhex("fabfb5da")
SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))


@pytest.fixture(scope="module")
def chain():
    """A stopped node: 3 branches, records on two of them; what a chainwatch over RPC made of it."""
    with lib.Folder() as folder:
        node = lib.Litecoind(os.path.join(folder, "node"))
        watch = lib.Chainwatch(folder, node)
        try:
            node.start()
            node.wallet()
            owner = lib.Owner(node)
            owner.send(lib.dnet_create("office", ("10.9.0.0", 24)))
            node.mine(2)
            owner.send(lib.node_put(1, "alice", "10.9.0.1"))
            node.mine(300)
            for depth in (1, 7):  # branches that lose
                tip = node.getblockhash(node.getblockcount() - depth + 1)
                node.invalidateblock(tip)
                node.mine(depth + 1)
            owner.send(lib.node_put(2, "bob", "10.9.0.2"))
            node.mine(3)
            watch.start()
            watch.wait_tip()
            tip, dump = node.getbestblockhash(), watch.dump()
        finally:
            watch.stop()
            node.stop()
        yield type("Chain", (), {"node": node, "tip": tip, "dump": dump,
                                 "blocks": os.path.join(node.folder, "regtest", "blocks")})


@pytest.fixture
def folder():
    with lib.Folder() as folder:
        yield folder


def records(blocks):
    """What is in the files: the raw blocks, in their order."""
    found = []
    for name in sorted(os.listdir(blocks)):
        if name.startswith("blk"):
            with open(os.path.join(blocks, name), "rb") as f:
                data = f.read()
            at = data.find(MAGIC)
            while at >= 0 and data[at:at + 4] == MAGIC:
                size, = struct.unpack_from("<I", data, at + 4)
                found.append(data[at + 8:at + 8 + size])
                at += 8 + size
    return found


def write(folder, files, key=None):
    """files: raw bytes, or lists of blocks."""
    os.makedirs(folder, exist_ok=True)
    for n, parts in enumerate(files):
        data = b"".join(p if isinstance(p, Raw) else MAGIC + struct.pack("<I", len(p)) + p
                        for p in parts)
        if key:
            data = bytes(b ^ key[i % 8] for i, b in enumerate(data))
        with open(os.path.join(folder, "blk%05d.dat" % n), "wb") as f:
            f.write(data)
    if key:
        with open(os.path.join(folder, "xor.dat"), "wb") as f:
            f.write(key)


class Raw(bytes):
    """What is no record."""


def reader(folder, blocks, **options):
    options.setdefault("source", "blocks:" + blocks)
    return lib.Chainwatch(folder, None, **options)


def same_as_rpc(chain, folder, blocks, **options):
    watch = reader(folder, blocks, **options)
    try:
        watch.start()
        lib.wait_for(lambda: watch.try_status()["hash"] == chain.tip, "the tip of the files")
        lib.wait_for(lambda: watch.status()["state"] == "following", "nothing is left")
        assert watch.dump() == chain.dump
        assert watch.status()["error"] is None and watch.status()["node_height"] is not None
    finally:
        watch.stop()


def test_the_files_of_a_node_are_read_without_it(chain, folder):
    same_as_rpc(chain, folder, chain.blocks)


def test_any_order_in_any_files(chain, folder):
    rng = random.Random(SEED)
    blocks = records(chain.blocks)
    rng.shuffle(blocks)
    print("seed", SEED)
    write(os.path.join(folder, "b"), [blocks[i::7] for i in range(7)])
    same_as_rpc(chain, folder, os.path.join(folder, "b"))


def test_files_under_a_key_with_zeros_behind(chain, folder):
    blocks = records(chain.blocks)
    write(os.path.join(folder, "b"), [blocks[:200], blocks[200:]],
          bytes.fromhex("0123456789abcdef"))
    with open(os.path.join(folder, "b", "blk00001.dat"), "ab") as f:
        f.write(bytes(1 << 20))  # allocated ahead: no key on it
    same_as_rpc(chain, folder, os.path.join(folder, "b"))


def test_garbage_between_records_is_passed_over(chain, folder):
    rng = random.Random(SEED)
    print("seed", SEED)
    parts = []
    for block in records(chain.blocks):
        junk = [Raw(rng.randbytes(rng.randrange(200))), Raw(MAGIC), Raw(MAGIC + b"\xff\xff\xff\x7f"),
                Raw(MAGIC + struct.pack("<I", 1 << 20)), Raw(bytes(500)), Raw(b"")]
        parts += [rng.choice(junk), block]
    # cut records in the middle of the files: what an unclean stop leaves
    middle = Raw(MAGIC + struct.pack("<I", 20000000) + rng.randbytes(90))
    write(os.path.join(folder, "b"), [parts[:100] + [middle]] + [parts[100:]] + [[Raw(b"")]] * 4)
    same_as_rpc(chain, folder, os.path.join(folder, "b"))


def test_garbage_does_not_become_a_branch(chain, folder):
    """A header that claims work which nobody did, where a record was cut."""
    blocks = records(chain.blocks)
    fake = blocks[100][:72] + struct.pack("<I", 0x1d00ffff) + blocks[100][76:]
    write(os.path.join(folder, "b"), [blocks + [Raw(b"x")] + [fake], [], [], []])
    same_as_rpc(chain, folder, os.path.join(folder, "b"))


def test_growing_files_are_followed_block_by_block(chain, folder):
    blocks = records(chain.blocks)
    where = os.path.join(folder, "b")
    write(where, [blocks[:-40]])
    watch = reader(folder, where)
    try:
        watch.start()
        lib.wait_for(lambda: watch.try_status()["state"] == "following", "the first part is read")
        assert watch.status()["hash"] != chain.tip
        with open(os.path.join(where, "blk00000.dat"), "ab", 0) as f:
            for n, block in enumerate(blocks[-40:]):
                record = MAGIC + struct.pack("<I", len(block)) + block
                cut = len(record) * n // 40
                f.write(record[:cut])  # half a record, then the rest
                f.write(record[cut:])
        lib.wait_for(lambda: watch.status()["hash"] == chain.tip, "the tip")
        assert watch.dump() == chain.dump
    finally:
        watch.stop()


def test_a_new_file_is_found(chain, folder):
    blocks = records(chain.blocks)
    where = os.path.join(folder, "b")
    write(where, [blocks[:200]])
    watch = reader(folder, where)
    try:
        watch.start()
        lib.wait_for(lambda: watch.try_status()["state"] == "following", "the first file is read")
        write(where, [blocks[:200], blocks[200:]])
        lib.wait_for(lambda: watch.status()["hash"] == chain.tip, "the tip")
        assert watch.dump() == chain.dump
    finally:
        watch.stop()


def test_files_of_a_node_that_pruned_begin_where_they_begin(chain, folder):
    blocks = records(chain.blocks)
    where = os.path.join(folder, "b")
    write(where, [[], [], blocks[150:]])
    watch = reader(folder, where, birth_height=400)
    try:
        watch.start()
        lib.wait_for(lambda: watch.try_status()["hash"] == chain.tip, "the tip")
        height, = max(watch.query("SELECT height FROM block"))
        assert (height, chain.tip) == max((h, b) for h, b, _ in chain.dump["block"])
    finally:
        watch.stop()
    os.mkdir(os.path.join(folder, "all"))
    watch = reader(os.path.join(folder, "all"), where, birth_height=1)
    try:
        watch.start()
        watch.wait_state("waiting", "has pruned")
    finally:
        watch.stop()


def test_what_is_no_folder_of_blocks_is_said(chain, folder):
    empty = os.path.join(folder, "empty")
    os.mkdir(empty)
    other = os.path.join(folder, "other")
    write(other, [[Raw(bytes(1000))]])
    for blocks, words in ((os.path.join(folder, "none"), "give the folder `blocks`"),
                          (empty, "no blkNNNNN.dat"), (other, "another network")):
        watch = reader(folder, blocks)
        try:
            watch.start()
            watch.wait_state("waiting", words)
        finally:
            watch.stop()
    with open(os.path.join(other, "xor.dat"), "wb") as f:
        f.write(b"short")
    watch = reader(folder, other)
    try:
        watch.start()
        watch.wait_state("waiting", "xor.dat does not have 8 bytes")
    finally:
        watch.stop()


def test_a_folder_that_may_not_be_read_is_said(chain, folder):
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    where = os.path.join(folder, "b")
    shutil.copytree(chain.blocks, where)
    os.chmod(where, 0o700)
    os.chmod(folder, 0o755)
    watch = reader(folder, where, user="nobody")
    try:
        watch.start()
        watch.wait_state("waiting", "needs leave to read the block files")
    finally:
        watch.stop()
