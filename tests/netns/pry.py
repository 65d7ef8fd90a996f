#!/usr/bin/env python3
"""pry.py PID: as user nobody, tries to read that process's memory and to trace it. Prints what worked; status 0: nothing did."""
import ctypes
import os
import signal
import sys

PR_SET_DUMPABLE, PTRACE_ATTACH = 4, 16
FILES = ("mem", "maps", "environ", "auxv", "fd")
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def opens(pid, name):
    path = "/proc/%d/%s" % (pid, name)
    try:
        if name == "fd":
            os.listdir(path)
        else:
            os.close(os.open(path, os.O_RDONLY))
    except PermissionError:
        return False
    return True


def pry(pid):
    found = [name for name in FILES if opens(pid, name)]
    if libc.ptrace(PTRACE_ATTACH, pid, None, None) == 0:
        found.append("ptrace")
    return found


def own_child():
    """What works with a process that does not protect itself: otherwise this shows nothing."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        return pry(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
if "mem" not in own_child():
    sys.exit("cannot pry even into an open process")
result = pry(int(sys.argv[1]))
print(" ".join(result))
sys.exit(bool(result))
