"""The manual pages of the daemons as they are installed: all of --help, and nothing of the markup they are made from."""

import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402

SOURCE = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "../.."))
BUILD = os.environ.get("top_builddir", SOURCE)
DAEMONS = ["chainwatch", "dnet-tinc-hub", "dnetd", "ovcd", "ovrd"]
PAGES = [name + ".8" for name in DAEMONS] + ["dnet.1", "dnet.conf.5"]


def source(page):
    with open(os.path.join(SOURCE, "doc", page + ".md")) as f:
        return f.read()


def rendered(page):
    """The installed page as a reader sees it, without line ends and hyphenation."""
    path = os.path.join(BUILD, "doc", page)
    if not os.path.exists(path):
        pytest.skip("no %s: lowdown was not there" % path)
    try:
        done = subprocess.run(["man", "-l", path], capture_output=True, text=True, timeout=20,
                              env=dict(os.environ, MANWIDTH="1000", MAN_KEEP_FORMATTING="", LC_ALL="C.UTF-8",
                                       MANOPT="--no-hyphenation --no-justification"))
    except FileNotFoundError:
        pytest.skip("no man here")
    assert done.returncode == 0, done.stderr
    return re.sub(r".\x08|\x1b\[[0-9;]*m", "", done.stdout)


def help_of(daemon):
    done = subprocess.run([lib.program("chainwatch/chainwatch" if daemon == "chainwatch" else daemon), "--help"], capture_output=True, text=True, timeout=20,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and not done.stderr
    return done.stdout


@pytest.mark.parametrize("daemon", DAEMONS)
def test_every_option_of_the_help_is_in_the_page(daemon):
    text = rendered(daemon + ".8")
    found = re.findall(r"^ +--([a-z0-9-]+)(?: [A-Z]|\[=y)", help_of(daemon).partition("In the file")[2], re.M)
    assert len(found) >= 10
    for name in found:
        assert re.search(r"^ +%s = " % re.escape(name), text, re.M), name


@pytest.mark.parametrize("daemon", DAEMONS)
def test_every_switch_of_the_help_is_in_the_page(daemon):
    text, usage = rendered(daemon + ".8"), help_of(daemon).split("In the file")[0]
    for name in set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", usage)):
        # The long forms of -c and -n are in the help of the options only.
        assert name in ("--config", "--check") or re.search(re.escape(name) + r"(?![\w-])", text), name


@pytest.mark.parametrize("page", PAGES)
def test_no_markup_is_left(page):
    text = rendered(page)
    for left in ("**", "`", "@OPTIONS@", "\\f", "](", "&lt;", "&gt;"):
        assert left not in text, left
    assert not re.search(r"^ *(#+ |: )", text, re.M)


@pytest.mark.parametrize("page", PAGES)
def test_names_with_underscores_are_whole(page):
    text = rendered(page)
    for name in re.findall(r"[a-z0-9]+(?:_[a-z0-9]+)+", source(page)):
        assert name in text, name


@pytest.mark.parametrize("page", PAGES)
def test_every_page_that_is_referred_to_exists(page):
    for name, section in re.findall(r"\*\*([a-z0-9.]+)\*\*\(([1-8])\)", source(page)):
        assert "%s.%s" % (name, section) in PAGES


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] +
                         sys.argv[1:]))
