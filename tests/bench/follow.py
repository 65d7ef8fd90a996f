#!/usr/bin/env python3
"""chainwatch follows blocks with records through RPC, while they are mined and then from scratch.

Prints time, rate and resident memory at the begin and the end of each."""

import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))
import testlib as lib  # noqa: E402

WARM = 200  # blocks before memory is measured first


def mine_with_records(node, owner, address, blocks):
    """One block, one record; names and addresses go round, so that rows are replaced too. The coin
    is the change of the transaction before: nothing is asked of the wallet but signatures."""
    coin = owner.coin()
    coin = (coin["txid"], coin["vout"], coin["sat"])
    script = owner.script()
    for n in range(blocks):
        data = lib.payload(lib.node_put(n % 50, "n%d" % (n % 50), "10.9.%d.%d" % (n % 4,
                                                                                 1 + n % 200)))
        raw = lib.raw_tx([owner.seal, coin[:2]], [(0, lib.op_return(data)), (lib.SEAL, script),
                                                  (coin[2] - 20000, script)])
        txid = node.sendrawtransaction(node.signrawtransactionwithwallet(raw)["hex"])
        owner.seal, coin = (txid, 1), (txid, 2, coin[2] - 20000)
        node.generatetoaddress(1, address)


def main():
    blocks = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    lib.need_litecoind()
    with lib.Folder() as folder:
        node = lib.Litecoind(os.path.join(folder, "node"))
        watch = fresh = None
        try:
            node.start()
            node.wallet(110)
            # coins of the miner stay out of the wallet, which would grow slow
            address = node.deriveaddresses(node.getdescriptorinfo(
                "wpkh(0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798)")
                ["descriptor"])[0]
            owner = lib.Owner(node)
            owner.send(lib.dnet_create("bench"))
            node.generatetoaddress(1, address)
            watch = lib.Chainwatch(os.path.join(folder), node, log_level="info")
            watch.start()
            mine_with_records(node, owner, address, WARM)
            watch.wait_tip(60)
            before = watch.process.rss_kib()
            start = time.monotonic()
            mine_with_records(node, owner, address, (blocks - WARM) // 2)
            half = watch.process.rss_kib()
            mine_with_records(node, owner, address, blocks - WARM - (blocks - WARM) // 2)
            watch.wait_tip(60)
            print("followed %d blocks with a record each while they were mined (%.0f s): "
                  "RSS %d KiB after %d, %d KiB half way, %d KiB at the end"
                  % (blocks, time.monotonic() - start, before, WARM, half,
                     watch.process.rss_kib()))
            os.mkdir(os.path.join(folder, "fresh"))
            fresh = lib.Chainwatch(os.path.join(folder, "fresh"), node, log_level="info")
            start = time.monotonic()
            fresh.start()
            fresh.wait_tip(120)
            took = time.monotonic() - start
            print("read all %d anew in %.1f s: %.0f blocks/s, RSS %d KiB"
                  % (node.getblockcount(), took, node.getblockcount() / took,
                     fresh.process.rss_kib()))
            assert fresh.dump()["node"] == watch.dump()["node"]
        finally:
            for part in (watch, fresh, node):
                if part:
                    part.stop()


if __name__ == "__main__":
    main()
