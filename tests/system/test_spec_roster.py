"""doc/roster.md stands alone: a reader written from it (spec_roster) agrees with the vectors."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import spec_roster as spec  # noqa: E402

SOURCE = os.environ.get("top_srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))


def vectors():
    with open(os.path.join(SOURCE, "tests/vectors/roster.txt"), encoding="ascii") as f:
        return [line.split() for line in f if not line.startswith("#")]


def test_bodies_are_read_as_the_vectors_say():
    seen = {"good": 0, "malformed": 0}
    lines = iter(vectors())
    for words in lines:
        if words[0] != "body":
            continue
        body, says = bytes.fromhex(words[1]), next(lines)
        seen[says[0]] += 1
        if says[0] == "good":
            spec.parse(body)
            assert says[1] == "root=" + spec.root(body).hex()
        else:
            with pytest.raises(spec.Malformed):
                spec.parse(body)
    assert seen["good"] >= 3 and seen["malformed"] >= 30


def test_files_are_opened_as_the_vectors_say():
    lines, known, count = iter(vectors()), {}, 0
    for words in lines:
        if words[0] in ("dnet", "admin", "secrets"):
            known[words[0]] = [bytes.fromhex(w) for w in words[1:]]
        if words[0] != "file":
            continue
        file = bytes.fromhex(words[1])
        # as the first node, and as the third one, which encrypted files are not for
        for secret, verdict in zip((known["secrets"][0], known["secrets"][2]), next(lines)):
            try:
                roster, _ = spec.read(file, known["dnet"][0], known["admin"][0], secret)
                assert verdict == "good"
                assert [n["name"] for n in roster["nodes"]].count("alice") == 1
                assert {r["name"] for r in roster["rules"]} == {"web", "ping", "lan"}
            except spec.Refused as e:
                assert str(e) == verdict
            count += 1
    assert count >= 14
