#!/usr/bin/env python3
"""Writes statements.txt from doc/protocol.md section 9, without any code of lib: a second signer.

Run it in this folder after a change of the format: python3 make_statements.py
"""
import struct

import make_handshake as curve

# The order of the group (SEC 2, 2.4.1).
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def tagged(tag, data):
    return curve.sha256(curve.sha256(tag) * 2 + data)


def number(data):
    return int.from_bytes(data, "big")


def sign(secret, message, aux=bytes(32)):
    """BIP340, default signing."""
    point = curve.multiply(secret, curve.G)
    d = number(secret) if point[1] % 2 == 0 else N - number(secret)
    x = point[0].to_bytes(32, "big")
    t = (d ^ number(tagged(b"BIP0340/aux", aux))).to_bytes(32, "big")
    k = number(tagged(b"BIP0340/nonce", t + x + message)) % N
    r = curve.multiply(k.to_bytes(32, "big"), curve.G)
    k = k if r[1] % 2 == 0 else N - k
    rx = r[0].to_bytes(32, "big")
    e = number(tagged(b"BIP0340/challenge", rx + x + message)) % N
    return rx + ((k + e * d) % N).to_bytes(32, "big")


def verify(xonly, message, signature):
    """BIP340, verification."""
    r, s = number(signature[:32]), number(signature[32:])
    try:
        point = curve.decompress(b"\x02" + xonly)
    except AssertionError:
        return False
    if r >= curve.P or s >= N or number(xonly) >= curve.P:
        return False
    e = number(tagged(b"BIP0340/challenge", signature[:32] + xonly + message)) % N
    r_point = curve.add(
        curve.multiply(s.to_bytes(32, "big"), curve.G), curve.multiply((N - e).to_bytes(32, "big"), point)
    )
    return r_point is not None and r_point[1] % 2 == 0 and r_point[0] == r


def unsigned(backend, kind, object_id, signer, date, key, version=1):
    return bytes([version, backend, kind]) + object_id + signer + struct.pack("<QH", date, len(key)) + key


def digest(body):
    return tagged(b"dnet/statement/1", body)


def statement(secret, *fields, **others):
    body = unsigned(fields[0], fields[1], fields[2], curve.pub(secret), *fields[3:], **others)
    return body + sign(secret, digest(body))


DNET, OVC = bytes(range(20)), bytes(range(100, 120))
ALICE, HELPER = bytes([1] * 32), bytes([2] * 31 + [7])
WG = bytes(range(32))


def main():
    out = ["# Made by make_statements.py from doc/protocol.md section 9. A statement, then what it is: good (with",
           "# the digest that is signed), unsigned (only the signature is wrong), or malformed.", ""]

    def good(data):
        body = data[:-64]
        assert verify(body[24:56], digest(body), data[-64:])
        out.append(f"statement {data.hex()}")
        out.append(f"good backend={body[1]} kind={body[2]} object={body[3:23].hex()} signer={body[23:56].hex()} "
                   f"date={number(body[56:64][::-1])} key={body[66:].hex()} digest={digest(body).hex()}")

    def bad(what, data):
        out.append(f"statement {data.hex()}")
        out.append(what)

    wireguard = statement(ALICE, 2, 1, DNET, 1700000000, WG)
    good(wireguard)
    good(statement(HELPER, 3, 2, OVC, 1700000001, bytes([48, 130]) + bytes(270)))
    good(statement(ALICE, 3, 1, DNET, 0, b"k"))
    good(statement(ALICE, 4, 1, DNET, 2**64 - 1, b"e" * 800))
    good(statement(HELPER, 255, 1, DNET, 2**32, b"from a newer version"))
    for at in (2, 3, 30, 56, 70, len(wireguard) - 1):
        if at in (2,):
            changed = wireguard[:at] + b"\x02" + wireguard[at + 1:]
        else:
            changed = wireguard[:at] + bytes([wireguard[at] ^ 1]) + wireguard[at + 1:]
        bad("unsigned", changed)
    body = unsigned(2, 1, DNET, curve.pub(ALICE), 1, WG)
    bad("unsigned", body + sign(HELPER, digest(body)))
    bad("unsigned", body + sign(ALICE, tagged(b"dnet/statement", body)))
    bad("unsigned", body + sign(ALICE, curve.sha256(body)))
    bad("malformed", statement(ALICE, 2, 1, DNET, 1, WG, version=2))
    bad("malformed", statement(ALICE, 0, 1, DNET, 1, WG))
    bad("malformed", statement(ALICE, 1, 1, DNET, 1, WG))
    bad("malformed", statement(ALICE, 2, 0, DNET, 1, WG))
    bad("malformed", statement(ALICE, 2, 3, DNET, 1, WG))
    bad("malformed", statement(ALICE, 2, 1, DNET, 1, WG[:31]))
    bad("malformed", statement(ALICE, 2, 1, DNET, 1, WG + b"x"))
    bad("malformed", statement(ALICE, 3, 1, DNET, 1, b""))
    bad("malformed", statement(ALICE, 3, 1, DNET, 1, bytes(801)))
    bad("malformed", wireguard[:23] + b"\x04" + wireguard[24:])
    bad("malformed", wireguard[:-1])
    bad("malformed", wireguard + b"\0")
    with open("statements.txt", "w", encoding="ascii") as f:
        f.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
