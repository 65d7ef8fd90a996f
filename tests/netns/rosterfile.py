#!/usr/bin/env python3
"""Writes rosters for tests of members, with what tests/vectors has: a second writer.

rosterfile.py admin                                     prints the admin key that signs them
rosterfile.py FILE DNET SEQUENCE GROUPS RULES           writes one, and prints its root

GROUPS are lines of GROUP KEY...; RULES are lines of GROUP GROUP PROTOCOL PORT, from one to the other.
"""
import os
import sys

sys.dont_write_bytecode = True
here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(here, "../vectors"), here]
import chaindb  # noqa: E402
import make_handshake as curve  # noqa: E402
import make_roster as roster  # noqa: E402


def words(text):
    return [line.split() for line in text.splitlines() if line.strip()]


def body(dnet, sequence, groups, rules):
    names = sorted((roster.text(line[0]), set(line[1:])) for line in groups)
    number = {name[1:].decode(): n for n, (name, _) in enumerate(names)}
    keys = sorted(set().union(*(members for _, members in names)))
    nodes = [roster.node(bytes.fromhex(key), groups=[n for n, (_, members) in enumerate(names) if key in members]) for key in keys]
    made = [roster.rule("r%d" % i, roster.of_group(number[src]), roster.of_group(number[dst]), int(protocol), int(port), int(port))
            for i, (src, dst, protocol, port) in enumerate(rules)]
    return roster.body(roster.header(sequence=sequence, dnet=dnet, expires=0), [name for name, _ in names], nodes, rules=made)


def main():
    if sys.argv[1:] == ["admin"]:
        print(curve.pub(roster.ADMIN)[1:].hex())
        return
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    file, dnet, sequence, groups, rules = sys.argv[1:]
    made = body(chaindb.id_raw(dnet)[1], int(sequence), words(groups), words(rules))
    with open(file + ".new", "wb") as f:
        f.write(roster.plain_file(made))
    os.rename(file + ".new", file)
    print(roster.root_of(made).hex())


if __name__ == "__main__":
    main()
