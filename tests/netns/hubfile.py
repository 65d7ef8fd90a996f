#!/usr/bin/env python3
"""hubfile.py SERVICE-KEY-FILE OVC-ID DNET-ID PORT: a line for ovcd's hub-statement, signed by the vectors' own code."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../vectors"))
import make_statements  # noqa: E402

CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def object_id(text):
    """Of bech32m; the checksum is not looked at."""
    bits = "".join(f"{CHARSET.index(c):05b}" for c in text.rpartition("1")[2][:-6])
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits) - len(bits) % 8, 8))


def main():
    path, ovc, dnet, port = sys.argv[1:]
    with open(path, encoding="ascii") as f:
        secret = bytes.fromhex(f.read().strip())
    statement = make_statements.statement(secret, 3, 2, object_id(ovc), 1700000000, b"key of a hub")
    print(dnet, port, statement.hex())


main()
