#!/usr/bin/env python3
"""python3 ring.py /dsm/ring ME PLAYERS NOTES NAME

The same as ring.c, with nothing but Python's standard library: maps a SciFS file at its own address and follows the
pointers that the other languages have stored there."""
import ctypes
import os
import sys
import time

PROT_READ_WRITE, MAP_SHARED, MAP_FIXED_NOREPLACE = 3, 1, 0x100000


class Note(ctypes.Structure):
    _fields_ = [("next", ctypes.c_uint64), ("number", ctypes.c_uint64),
                ("who", ctypes.c_char * 16), ("text", ctypes.c_char * 64)]


class Ring(ctypes.Structure):
    _fields_ = [("turn", ctypes.c_uint64), ("count", ctypes.c_uint64), ("first", ctypes.c_uint64),
                ("last", ctypes.c_uint64), ("free", ctypes.c_uint64)]


def map_file(path):
    """The whole file, where the cluster wants it."""
    address = int(os.getxattr(path, "user.scifs.address").decode().strip("\0\n "), 0)
    mmap = ctypes.CDLL(None, use_errno=True).mmap
    mmap.restype = ctypes.c_void_p
    mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    with open(path, "r+b", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        at = mmap(address, size, PROT_READ_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, file.fileno(), 0)
    if at != address:
        sys.exit(f"mmap of {path} at {address:#x}: {os.strerror(ctypes.get_errno())}")
    return Ring.from_address(address), address


def append(ring, base, name):
    """Walks the list by its pointers, links a note behind the last one, and says so."""
    seen, at = 0, ring.first
    while at:
        seen, at = seen + 1, Note.from_address(at).next
    at = ring.free or base + ctypes.sizeof(Ring)
    note = Note.from_address(at)
    note.next = 0
    note.number = ring.count + 1
    note.who = name.encode()
    note.text = f"{name} has walked past {seen} notes".encode()
    line = f"{name:<12} note {note.number:2} at {at:#x}"
    if ring.last:
        last = Note.from_address(ring.last)
        last.next = at
        line += f", linked from {ring.last:#x} by {last.who.decode()}"
    else:
        ring.first = at
    print(line, flush=True)
    ring.last = at
    ring.free = at + ctypes.sizeof(Note)
    ring.count += 1


def main():
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    path, me, players, notes, name = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
    ring, base = map_file(path)
    while True:
        while ring.turn != me:
            time.sleep(0.0002)
        done = ring.count >= notes
        if not done:
            append(ring, base, name)
        ring.turn = (me + 1) % players
        if done:
            return


main()
