"""A disk that fails at single calls below one folder (tests/fixture/faults.c), for real programs."""

import contextlib
import mmap
import os
import struct

import testlib as lib

KILL, TEAR = -1, -2
WRITES, READS = 1, 2
HEAD, FOLDER, ENTRY, ENTRIES = struct.Struct("<6q"), 208, 128, 16384
LIBRARY = "tests/fixture/faults.so"


def need_library():
    if not os.access(lib.program(LIBRARY), os.R_OK):
        print("SKIP: %s is not built: make check builds it" % LIBRARY)
        raise SystemExit(77)


class Faults:
    """One plan, for every process that is started with front."""

    def __init__(self, path, folder):
        self.path, self.folder = path, folder
        with open(path, "wb") as f:
            f.truncate(HEAD.size + FOLDER + ENTRIES * ENTRY)
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 0)
        # ASan, where it is built in, wants to be the first library.
        self.env = {"LD_PRELOAD": lib.program(LIBRARY), "FAULTS": path,
                    "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
        self.front = ["env"] + ["%s=%s" % item for item in self.env.items()]
        self.off()

    def plan(self, action, first, last, kinds, folder):
        self.map[HEAD.size:HEAD.size + FOLDER] = folder.encode().ljust(FOLDER, b"\0")
        self.map[:HEAD.size] = HEAD.pack(kinds, action, first, last, 0, 0)

    def off(self):
        self.plan(0, 0, 0, 0, "")

    @contextlib.contextmanager
    def at(self, action, first=1, last=None, kinds=WRITES):
        """These calls fail with an errno, or end the process; last: first."""
        self.plan(action, first, first if last is None else last, kinds, self.folder)
        try:
            yield self
        finally:
            self.map[HEAD.size:HEAD.size + FOLDER] = bytes(FOLDER)

    def logged(self, kinds=WRITES):
        return self.at(0, 0, 0, kinds)

    @property
    def count(self):
        return HEAD.unpack(self.map[:HEAD.size])[4]

    @property
    def hits(self):
        return HEAD.unpack(self.map[:HEAD.size])[5]

    def entries(self):
        """Of each call so far: its words, as "write NAME LENGTH"."""
        assert self.count <= ENTRIES
        begin = HEAD.size + FOLDER
        return [self.map[begin + n * ENTRY:begin + (n + 1) * ENTRY].split(b"\0", 1)[0].decode().split()
                for n in range(self.count)]


def check_replaced(entries):
    """Every file that was renamed into its place had been written, then synced; then its folder is. How many there are."""
    renames = [n for n, words in enumerate(entries) if words[0] == "rename"]
    for n in renames:
        temporary, name = entries[n][1:]
        assert temporary.startswith(name), entries[n]
        written = max(i for i in range(n) if entries[i][:2] == ["write", temporary])
        assert ["sync", temporary] in entries[written:n], entries
        folder = os.path.dirname(name) or "."
        assert entries[n + 1:n + 3] == [["open", folder], ["sync", folder]], entries[n:]
    return len(renames)
