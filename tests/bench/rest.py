#!/usr/bin/env python3
"""What catching up costs chainwatch and the chain node, by JSON-RPC alone and with REST.

Usage: rest.py [BYTES...]: sizes of blocks; 0 is an empty one. For each, on one litecoind that was started without -rest and
then with it: wall time, CPU time of chainwatch and of litecoind for all blocks."""

import os
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))
import testlib as lib  # noqa: E402

ANYBODY = b"\x51"
OUTPUT = struct.pack("<QB", 0, 22) + b"\0\x14"  # P2WPKH, of another key each
TOTAL = 32 << 20  # bytes of all blocks of a size
COUNT_MAX = 1000


def big(coin, size):
    """Spends a coinbase that anybody may spend into as many outputs as fill the block."""
    count = max(1, size // 31)
    outs = b"".join(OUTPUT + struct.pack(">20x")[:16] + struct.pack(">I", n) for n in range(count))
    many = struct.pack("<BH", 0xfd, count) if count >= 0xfd else bytes([count])
    return (struct.pack("<I", 2) + b"\1" + bytes.fromhex(coin)[::-1] + struct.pack("<IBI", 0, 0, 0xffffffff) + many + outs +
            bytes(4)).hex()


def fill(node, size):
    """Blocks of this size; returns how many."""
    count = min(COUNT_MAX, TOTAL // size if size else COUNT_MAX)
    descriptor = node.getdescriptorinfo("raw(%s)" % ANYBODY.hex())["descriptor"]
    if not size:
        node.generatetodescriptor(count, descriptor)
        return count
    coins = [node.getblock(h)["tx"][0] for h in node.generatetodescriptor(count, descriptor)]
    node.generatetodescriptor(100, descriptor)
    for coin in coins:
        node.generateblock(descriptor, [big(coin, size)])
    return count


def cpu(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def catch_up(folder, node, first):
    """Reads all blocks from first on; seconds, CPU seconds of chainwatch and of the node."""
    os.makedirs(folder)
    tip = node.getbestblockhash()
    watch = lib.Chainwatch(folder, node, birth_height=first, log_level="info")
    before, begun = cpu(node.process.pid), time.monotonic()
    watch.start()
    try:
        lib.wait_for(lambda: (watch.try_status() or {}).get("hash") == tip, "the tip", 60, 0.05)
        return (time.monotonic() - begun, cpu(watch.process.pid), cpu(node.process.pid) - before,
                watch.status()["sources"][0].get("fetch"))
    finally:
        watch.stop()


def measure(folder, size, rest):
    node = lib.Litecoind(os.path.join(folder, "node"))
    try:
        node.start()
        count = fill(node, size)
        first = node.getblockcount() - count + 1
        for option in rest:
            node.stop()
            node.extra = [option]
            node.start()
            wall, ours, theirs, how = catch_up(os.path.join(folder, "db" + option), node, first)
            print("%8d B x %d, %-7s: %.2f s, %.0f blocks/s, CPU %.2f s, the node %.2f s (%s)"
                  % (size, count, option, wall, count / wall, ours, theirs, how), flush=True)
    finally:
        node.stop()


def main():
    lib.need_litecoind()
    for size in [int(a) for a in sys.argv[1:]] or [0, 20000, 900000]:
        with lib.Folder() as folder:
            measure(folder, size, ("-rest=0", "-rest=1"))


if __name__ == "__main__":
    main()
