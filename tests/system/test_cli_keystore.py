"""The owner's keys on paper and back, on an empty machine; without a key; another passphrase."""

import json
import os
import stat
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402
from clilib import (ABORTED, DENIED, FAILED, KEYS, NOT_FOUND, OK, USAGE, Tool,  # noqa: E402
                    clean_environment, mine, tool, world)  # noqa: E402,F401

lib.need_litecoind()


def empty_machine(world, tool, **options):
    folder, node, watch = world
    return Tool(folder, node, watch, name=os.path.basename(tool.folder) + "-empty", **options)


def give(tool, text, *argv):
    """Runs it with text on standard input."""
    return subprocess.run([lib.program("dnet"), "-c", tool.conf, "--json", *argv], input=text,
                          capture_output=True, text=True, timeout=60, env=clean_environment())


def test_24_words_bring_all_keys_back_on_an_empty_machine(world, tool):
    made = [tool.write_ok("create", "paper")["id"],
            tool.write_ok("ovc", "create", "meet", "--key", KEYS[0])["id"]]
    tool.write_ok("create", "gone")
    tool.write_ok("close", "gone")
    made.append(tool.write_ok("create", "last")["id"])
    mine(world)
    words = tool.ok("--yes", "keystore", "backup")["words"]
    assert len(words.split()) == 24
    other = empty_machine(world, tool)
    done = give(other, words.upper() + "\n", "keystore", "restore", "--from", "-")
    assert done.returncode == OK, done.stdout
    assert json.loads(done.stdout) == {"keystore": other.options["keystore"], "keys": 3, "found": 3,
                                       "scanned": True}
    assert {k["id"] for k in other.ok("keystore", "show")["keys"]} == set(made)
    # it writes with them, by the labels too; the next key is a new one
    other.write_ok("node", "add", "paper", KEYS[1])
    fresh = other.write_ok("create", "later")["id"]
    shown = {k["id"]: k for k in other.ok("keystore", "show")["keys"]}
    assert len({k["key"] for k in shown.values()}) == 4 and shown[fresh]["in_words"] is True
    assert other.ok("--yes", "keystore", "backup")["words"] == words


def test_hex_brings_everything_back_without_a_chain(world, tool):
    made = tool.write_ok("create", "digits")["id"]
    address = tool.ok("receive", "dnet1" + made[5:])  # the same key again
    path = os.path.join(tool.folder, "copy")
    tool.ok("keystore", "backup", "--hex", "--out", path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    other = empty_machine(world, tool)
    other.options["chain-db"] = os.path.join(other.folder, "missing.db")
    other.write()
    back = other.ok("keystore", "restore", "--from", path)
    assert (back["keys"], back["scanned"]) == (1, False)
    shown, = other.ok("keystore", "show")["keys"]
    assert (shown["id"], shown["label"], shown["address"]) == (made, "digits", address["address"])
    error = tool.fails(USAGE, "keystore", "backup", "--out", path, words="is there already")
    assert error["next"]


def test_nothing_is_shown_without_asking(world, tool):
    tool.write_ok("create", "silent")
    done = tool.run("keystore", "backup")
    assert done.returncode == ABORTED and done.stdout == "" and "nothing was shown" in done.stderr
    words = tool.ok("--yes", "keystore", "backup")["words"]
    assert words not in json.dumps(tool.ok("keystore", "show")) + json.dumps(
        tool.ok("keystore", "lock-state"))


def test_wrong_words_change_nothing(world, tool):
    tool.write_ok("create", "strict")
    words = tool.ok("--yes", "keystore", "backup")["words"].split()
    other = empty_machine(world, tool)
    swapped = [words[1], words[0]] + words[2:]
    for text, says in ((" ".join(words[:23]), "23 words"), (" ".join(words[:12]), ""),
                       (" ".join(words[:5] + ["bitcoinz"] + words[6:]), "word 6"),
                       (" ".join(swapped), ""), ("00" * 40, "not what"), ("", "words")):
        if text == " ".join(words):
            continue
        done = give(other, text, "keystore", "restore", "--from", "-")
        error = json.loads(done.stdout)["error"]
        assert (error["code"], says in error["message"]) == (USAGE, True), error
    assert not os.path.exists(other.options["keystore"])
    # another keystore's words are not mixed into this one
    other.write_ok("create", "strange")
    done = give(other, " ".join(words), "keystore", "restore", "--from", "-")
    assert json.loads(done.stdout)["error"]["code"] == FAILED


def test_another_passphrase(world, tool):
    tool.write_ok("create", "changed")
    new = os.path.join(tool.folder, "new")
    with open(new, "w") as f:
        f.write("battery staple\n")
    assert tool.ok("keystore", "passwd", "--new-keyfile", new)["changed"] is True
    tool.fails(DENIED, "keystore", "show", words="wrong passphrase")
    tool.options["keyfile"] = new
    tool.write()
    assert len(tool.ok("keystore", "show")["keys"]) == 1
    tool.write_ok("node", "add", "changed", KEYS[1])


def test_lock_state_needs_no_passphrase(world, tool):
    assert tool.ok("keystore", "lock-state")["exists"] is False
    tool.fails(NOT_FOUND, "keystore", "backup", words="there is no keystore")
    tool.write_ok("create", "locked")
    tool.options["keyfile"] = os.path.join(tool.folder, "missing")
    tool.write()
    state = tool.ok("keystore", "lock-state")
    assert (state["exists"], state["version"], state["argon2id_kib"], state["used_by"]) == (
        True, 2, 65536, 0)


def test_a_machine_without_keys_watches(world, tool):
    made = tool.write_ok("create", "seen")["id"]
    mine(world)
    other = empty_machine(world, tool)
    other.ok("keystore", "watch", made)
    shown, = other.ok("keystore", "show")["keys"]
    assert (shown["id"], shown["label"], shown["watch_only"]) == (made, "seen", True)
    assert [o["id"] for o in other.ok("list", "--own")["objects"]] == [made]
    other.fails(DENIED, "node", "add", "seen", KEYS[1], words="no key")


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] +
                         sys.argv[1:]))
