#!/usr/bin/env python3
"""Keeps a dnetd busy until it is killed: joins and leaves a dnet, puts it down and up, changes the other one's nodes.

load.py CONTROL CHAIN_DB DNET OTHER BEFORE: BEFORE is left, up or down. Ends with dnetd and prints the states in which
OTHER may be then: what was answered last, and what was asked for and not answered."""
import json
import os
import socket
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import chaindb  # noqa: E402

AFTER = {"join": "up", "down": "down", "up": "up", "leave": "left"}
NEXT = {"left": ["join"], "up": ["down", "leave"], "down": ["up", "leave"]}


def main():
    control, path, dnet, other, state = sys.argv[1:]
    chain = chaindb.Chain(path)
    asked, count = None, 0
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(control)
            lines = s.makefile()
            while True:
                count += 1
                method = NEXT[state][count % len(NEXT[state])]
                asked = AFTER[method]
                s.sendall(json.dumps({"jsonrpc": "2.0", "id": count, "method": method,
                                      "params": {"id": other}}).encode() + b"\n")
                answer = json.loads(lines.readline() or "null")
                if answer is None:
                    break
                if "error" in answer:
                    sys.exit("%s: %s" % (method, answer["error"]))
                state, asked = asked, None
                key = "02%064x" % (4096 + count % 50)
                chain.db.execute("BEGIN IMMEDIATE")
                if count % 3:
                    chaindb.cmd_node(chain, dnet, key, "n%d" % count)
                else:
                    chaindb.cmd_del(chain, dnet, key)
                chain.db.execute("COMMIT")
    except OSError:
        pass
    print(*sorted({state, asked or state}))


if __name__ == "__main__":
    main()
