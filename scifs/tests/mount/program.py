"""A program on one node: reads orders from its input, a line each, and answers each with "ok VALUE" or "errno NUMBER".

Files are known by a name that `open` gives them. A signal that nobody survives shows in the exit status.
"""

import fcntl
import hashlib
import mmap
import os
import signal
import struct
import sys

PAGE = 4096
FLOCK = "hhqqi4x"
KINDS = {"read": fcntl.F_RDLCK, "write": fcntl.F_WRLCK, "none": fcntl.F_UNLCK}
# Of OFD locks: F_OFD_GETLK and the two that follow it.
COMMANDS = {
    "posix": {"get": fcntl.F_GETLK, "try": fcntl.F_SETLK, "wait": fcntl.F_SETLKW},
    "ofd": {"get": 36, "try": 37, "wait": 38},
}
FLOCKS = {"shared": fcntl.LOCK_SH, "exclusive": fcntl.LOCK_EX, "none": fcntl.LOCK_UN}

files = {}
maps = {}


def interrupted(_number, _frame):
    raise InterruptedError(4, "interrupted")


def pattern(page, seed):
    return hashlib.sha256(b"%d %d" % (page, seed)).digest() * (PAGE // 32)


def open_file(name, path, how):
    flags = {"rw": os.O_RDWR | os.O_CREAT, "r": os.O_RDONLY, "w": os.O_WRONLY}[how]
    files[name] = os.open(path, flags, 0o644)


def close_file(name):
    os.close(files.pop(name))


def map_file(name, pages):
    writable = fcntl.fcntl(files[name], fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
    maps[name] = mmap.mmap(files[name], int(pages) * PAGE, mmap.MAP_SHARED,
                           mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0))


def load(name, page):
    return int.from_bytes(maps[name][int(page) * PAGE:int(page) * PAGE + 8], "little")


def store(name, page, value):
    maps[name][int(page) * PAGE:int(page) * PAGE + 8] = int(value).to_bytes(8, "little")


def pread(name, page):
    return int.from_bytes(os.pread(files[name], 8, int(page) * PAGE), "little")


def pwrite(name, page, value):
    return os.pwrite(files[name], int(value).to_bytes(8, "little"), int(page) * PAGE)


def fill(name, first, pages, seed):
    """Writes pages until one can't be; gives their number."""
    for page in range(int(first), int(first) + int(pages)):
        try:
            written = os.pwrite(files[name], pattern(page, int(seed)), page * PAGE)
        except OSError as error:
            return "%d errno %d" % (page - int(first), error.errno)
        if written < PAGE:
            return "%d short" % (page - int(first))
    return pages


def store_all(name, first, pages, seed):
    """Stores into one page after the other; may die of it."""
    for page in range(int(first), int(first) + int(pages)):
        maps[name][page * PAGE:(page + 1) * PAGE] = pattern(page, int(seed))
    return pages


def check(name, first, pages, seed):
    """Counts the pages that are as `fill` has written them."""
    right = 0
    for page in range(int(first), int(first) + int(pages)):
        right += os.pread(files[name], PAGE, page * PAGE) == pattern(page, int(seed))
    return right


def spoil(name, at, pages):
    """One write of many bytes that aren't zero; gives how many were taken."""
    return os.pwrite(files[name], b"\xff" * int(pages) * PAGE, int(at))


def zeros(name, at, length):
    """Counts bytes that are zero."""
    return os.pread(files[name], int(length), int(at)).count(0)


def check_stores(name, first, pages, seed):
    """Counts the leading pages that are as they were stored."""
    for page in range(int(first), int(first) + int(pages)):
        if os.pread(files[name], PAGE, page * PAGE) != pattern(page, int(seed)):
            return page - int(first)
    return pages


def lock(name, space, how, kind, start, length):
    """Gives the type, start and length of the lock in the way for `get`."""
    wanted = struct.pack(FLOCK, KINDS[kind], os.SEEK_SET, int(start), int(length), 0)
    kind, _, start, length, _ = struct.unpack(FLOCK, fcntl.fcntl(files[name], COMMANDS[space][how], wanted))
    found = {number: name for name, number in KINDS.items()}[kind]
    return "%s %d %d" % (found, start, length) if how == "get" else 0


def flock(name, kind, how):
    fcntl.flock(files[name], FLOCKS[kind] | (fcntl.LOCK_NB if how == "try" else 0))


INFO = "<4I7Q"
IOCTL = {"info": 0x8048F502, "wait": 0x4020F503, "notify": 0x4010F504, "barrier": 0x4050F505, "prefetch": 0x4018F506}


def ioctl(name, number, data):
    """Gives the result and what came back."""
    data = bytearray(data)
    return fcntl.ioctl(files[name], number, data, True), data


def info(name):
    _, data = ioctl(name, IOCTL["info"], bytes(72))
    names = ["version", "node", "nodes", "attached", "faults", "remote", "received", "sent", "revoked", "used", "budget"]
    return " ".join("%s=%d" % pair for pair in zip(names, struct.unpack(INFO, data)))


def prefetch(name, first, pages, mode):
    hint = struct.pack("<QQII", int(first) * PAGE, int(pages) * PAGE, {"read": 0, "write": 1}.get(mode, 9), 0)
    return ioctl(name, IOCTL["prefetch"], hint)[0]


def wait(name, offset, expected, milliseconds=None, width=8):
    timeout = (1 << 64) - 1 if milliseconds is None else int(milliseconds) * 1_000_000
    data = struct.pack("<QQIIQ", int(offset), int(expected), int(width), 0, timeout)
    return ioctl(name, IOCTL["wait"], data)[0]


def notify(name, offset, count):
    return ioctl(name, IOCTL["notify"], struct.pack("<QII", int(offset), int(count), 0))[0]


def barrier(name, barrier, parties, milliseconds=None):
    timeout = (1 << 64) - 1 if milliseconds is None else int(milliseconds) * 1_000_000
    return ioctl(name, IOCTL["barrier"], struct.pack("<64sIIQ", barrier.encode(), int(parties), 0, timeout))[0]


def wait_while(name, offset, good):
    """Gives the word as soon as it is good."""
    while True:
        value = int.from_bytes(os.pread(files[name], 8, int(offset)), "little")
        if good(value):
            return value
        try:
            wait(name, offset, value)
        except BlockingIOError:
            pass


def ring(name, offset, me, programs, rounds):
    """Counts a word up whenever it is this program's turn, and has the others look."""
    programs, offset = int(programs), int(offset)
    for _ in range(int(rounds)):
        value = wait_while(name, offset, lambda value: value % programs == int(me))
        os.pwrite(files[name], (value + 1).to_bytes(8, "little"), offset)
        notify(name, offset, 1 << 30)


def phases(name, point, me, parties, rounds):
    """Writes down each phase and meets the others after it; gives how often it was told to be the one."""
    ones, parties = 0, int(parties)
    for phase in range(1, int(rounds) + 1):
        os.pwrite(files[name], phase.to_bytes(8, "little"), int(me) * PAGE)
        ones += barrier(name, point, parties)
        for other in range(parties):
            seen = pread(name, other)
            if seen not in (phase, phase + 1):
                return "party %s is in phase %d, party %d in %d" % (me, phase, other, seen)
    return ones


def unknown(name, number):
    return ioctl(name, int(number, 0), bytes(16))[0]


def alarm(milliseconds):
    signal.setitimer(signal.ITIMER_REAL, int(milliseconds) / 1000)


ORDERS = {
    "open": open_file, "close": close_file, "map": map_file, "load": load, "store": store, "pread": pread, "pwrite": pwrite,
    "fill": fill, "store_all": store_all, "check": check, "check_stores": check_stores, "lock": lock, "flock": flock,
    "wait": wait, "notify": notify, "barrier": barrier, "ring": ring, "phases": phases, "spoil": spoil, "zeros": zeros,
    "info": info, "prefetch": prefetch, "unknown": unknown, "alarm": alarm, "size": lambda name: os.fstat(files[name]).st_size,
    "stat": lambda path: os.stat(path).st_size, "cut": lambda name, size: os.ftruncate(files[name], int(size)),
    "unlink": os.unlink, "list": lambda path: len(os.listdir(path)), "pid": os.getpid,
    "free": lambda path: os.statvfs(path).f_bavail * os.statvfs(path).f_frsize // PAGE,
}



def serve():
    signal.signal(signal.SIGALRM, interrupted)
    signal.signal(signal.SIGINT, interrupted)
    for line in sys.stdin:
        order, *arguments = line.split()
        try:
            answer = ORDERS[order](*arguments)
            print("ok", 0 if answer is None else answer, flush=True)
        except OSError as error:
            print("errno", error.errno, flush=True)
