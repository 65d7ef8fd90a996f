"""The manual of dnet has every command and option that its help has; and the help is well formed."""

import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402

SOURCE = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "../.."))


def dnet(*argv):
    env = {k: v for k, v in os.environ.items() if not k.startswith("DNET_")}
    return subprocess.run([lib.program("dnet"), *argv], capture_output=True, text=True, env=env,
                          stdin=subprocess.DEVNULL, timeout=20)


def page(name):
    with open(os.path.join(SOURCE, "doc", name)) as f:
        return f.read()


def commands():
    """The words of each command in the help."""
    text = dnet("--help").stdout.split("\nOptions of every command")[0]
    found = re.findall(r"^  ((?:[a-z-]+ )*[a-z-]+)(?= )", text, re.M)
    assert len(found) > 20, text
    return found


def options(text):
    return set(re.findall(r"^ +(?:-.,)? +--([a-z0-9-]+)", text, re.M))


def test_every_command_is_in_the_manual():
    manual = page("dnet.1.md")
    for command in commands():
        assert "**%s**" % command in manual, "dnet(1) has no **%s**" % command


def test_every_option_is_in_the_manual():
    manual = page("dnet.1.md")
    texts = [dnet("--help").stdout] + [dnet(*c.split(), "--help").stdout for c in commands()]
    found = set().union(*map(options, texts))
    assert {"json", "dry-run", "until-direct", "socket", "fee-rate"} <= found
    for option in found:
        assert "**--%s**" % option in manual, "dnet(1) has no **--%s**" % option


def test_every_setting_is_in_the_manual_of_the_file():
    listed = dnet("--print-man").stdout
    settings = options(dnet("--help").stdout.split("Options that dnet.conf(5) has too")[1])
    assert len(settings) > 10
    for name in settings:
        assert ("dnetd" if name == "socket" else name) in listed
    assert "@OPTIONS@" in page("dnet.conf.5.md")


def test_every_command_has_help_that_names_it():
    for command in commands():
        done = dnet(*command.split(), "--help")
        assert done.returncode == 0 and done.stderr == ""
        assert done.stdout.startswith("Usage: dnet " + command)
        assert "  " not in done.stdout.splitlines()[0]
    for group in {c.split()[0] for c in commands() if " " in c}:
        done = dnet(group, "--help")
        assert done.returncode == 0 and "  %s " % group in done.stdout


def test_without_a_command_it_is_a_usage_error():
    done = dnet()
    assert done.returncode == 2 and "Usage: dnet" in done.stdout


def test_an_unknown_command_suggests_the_nearest():
    for typed, meant in (("stats", "status"), ("peer", "peers"), ("node ad", "node add"),
                         ("ovc endpoint ad", "ovc endpoint add"), ("lnk", "link")):
        done = dnet(*typed.split())
        assert done.returncode == 2
        assert "did you mean `dnet %s`" % meant in done.stderr, done.stderr
    assert "did you mean" not in dnet("xyzzyplugh").stderr


def test_nothing_is_coloured_when_it_is_not_a_terminal():
    assert "\033" not in dnet("--help").stdout + dnet("nonsense").stderr


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] +
                         sys.argv[1:]))
