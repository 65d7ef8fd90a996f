"""What is shipped for setting up: example configurations, and systemd units as far as they go without systemd."""

import ctypes
import grp
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402

SOURCE = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "../.."))
EXAMPLES = os.path.join(SOURCE, "contrib/examples")
UNITS = os.path.join(SOURCE, "contrib/systemd")
DAEMONS = ["chainwatch", "dnetd", "ovcd", "ovrd"]


def daemon(name):
    return lib.program("chainwatch/chainwatch" if name == "chainwatch" else name)


def unit(name):
    with open(os.path.join(UNITS, name + ".service.in")) as f:
        return f.read()


def values(text, key):
    return [v for line in re.findall(r"^%s=(.*)$" % key, text, re.M) for v in line.split()]


def run(*argv, **options):
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL, **options)


@pytest.mark.parametrize("uncommented", [False, True])
@pytest.mark.parametrize("name", DAEMONS)
def test_an_example_is_a_good_configuration(name, uncommented):
    with open(os.path.join(EXAMPLES, name + ".conf")) as f:
        text = f.read()
    if uncommented:  # what it shows as possible is, too; a password goes without the cookie, source without rpc-url
        text = re.sub(r"^# ([a-z-]+ = )", r"\1", text, flags=re.M)
        text = re.sub(r"^rpc-(cookie|url).*\n", "", text, flags=re.M)
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
        f.write(text)
        f.flush()
        done = run(daemon(name), "-n", "-c", f.name)
    assert done.returncode == 0, done.stderr
    assert "is good" in done.stdout + done.stderr


def test_the_example_of_dnet_is_read():
    with tempfile.TemporaryDirectory(prefix="dnet-test-") as folder:
        env = {"PATH": os.environ["PATH"], "HOME": folder}
        bad = os.path.join(folder, "bad.conf")
        with open(os.path.join(EXAMPLES, "dnet.conf")) as f, open(bad, "w") as to:
            to.write(f.read() + "rpc-urll = x\n")
        done = run(lib.program("dnet"), "-c", os.path.join(EXAMPLES, "dnet.conf"), "--chain-db",
                   os.path.join(folder, "none"), "show", "office", env=env)
        assert "/none" in done.stderr, done.stderr
        done = run(lib.program("dnet"), "-c", bad, "show", "office", env=env)
        assert done.returncode == 2 and "rpc-urll" in done.stderr, done.stderr


@pytest.mark.parametrize("name", DAEMONS)
def test_a_unit_names_options_that_there_are(name):
    command = values(unit(name), "ExecStart")
    assert command[0] == "@sbindir@/" + name
    options = run(daemon(name), "--help").stdout
    for word in command[1:]:
        if word.startswith("--"):
            assert re.search(r"^ +%s " % word, options, re.M), word


@pytest.mark.parametrize("name", DAEMONS)
def test_systemd_understands_a_unit(name):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    with tempfile.TemporaryDirectory(prefix="dnet-test-") as folder:
        path = os.path.join(folder, name + ".service")
        with open(path, "w") as f:
            f.write(re.sub(r"@sbindir@/\w+", "/bin/true", unit(name)))
        done = run("systemd-analyze", "verify", "--man=no", path)
    assert done.returncode == 0 and name + ".service" not in done.stderr, done.stderr


def system_calls(words):
    """Of a SystemCallFilter, its groups taken apart."""
    groups, group = {}, None
    for line in run("systemd-analyze", "syscall-filter").stdout.splitlines():
        line = re.sub(r"\x1b\[[0-9;]*m", "", line)
        if line.startswith("@"):
            group = groups.setdefault(line.strip(), [])
        elif group is not None and line.startswith(" ") and not line.strip().startswith("#"):
            group.append(line.strip())

    def members(word):
        return {word} if not word.startswith("@") else set().union(*map(members, groups[word]))

    allowed = members("@default")
    for word in words:
        assert not word.startswith("~"), "a list that takes away is not understood here"
        allowed |= members(word)
    return allowed


def filtered(allowed):
    """Loads the filter into this process as systemd would: what is not in it kills."""
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(0x80000000))
    for name in allowed:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number != -1:
            seccomp.seccomp_rule_add(context, 0x7fff0000, number, 0)
    return lambda: seccomp.seccomp_load(context)


@pytest.mark.parametrize("name", [n for n in DAEMONS if "SystemCallFilter" in unit(n)])
def test_a_daemon_starts_under_the_system_calls_of_its_unit(name):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    load = filtered(system_calls(values(unit(name), "SystemCallFilter")))
    with tempfile.TemporaryDirectory(prefix="dnet-test-") as folder:
        control = os.path.join(folder, "control")
        argv = [daemon(name), "-c", "/dev/null", "--state", os.path.join(folder, "state"),
                "--control", control, "--control-group", grp.getgrgid(os.getgid()).gr_name]
        if name == "chainwatch":
            argv += ["--db", os.path.join(folder, "db/chain.db"), "--chain", "litecoin-regtest",
                     "--rpc-url", "http://127.0.0.1:1/"]
        else:
            ident = re.search(r"^id = (.*)$", open(os.path.join(EXAMPLES, name + ".conf")).read(),
                              re.M).group(1)
            argv += ["--id", ident, "--chain-db", os.path.join(folder, "none"), "--chainwatch", "",
                     "--port", str(lib.free_port())]
        process = lib.Process(argv, os.path.join(folder, "log"), load)
        try:
            lib.wait_for(lambda: os.path.exists(control) or not process.alive(), "it starts")
            lib.wait_for(lambda: "following" in process.log() or "serving" in process.log() or
                         not process.alive(), "it serves")
            assert process.alive(), (process.child.returncode, process.log())
            assert process.stop() == 0, process.log()
        finally:
            process.stop(9)


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
