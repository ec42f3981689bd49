#!/usr/bin/env python3
"""python3 board.py /dsm/board ME PLAYERS NAME

The same as board.c: libscifs by ctypes. With numpy the samples are an array in the shared memory itself; without it, a
memoryview does. The library is looked for by its name, or is where LIBSCIFS says."""
import ctypes
import errno
import os
import sys
from ctypes import c_char_p, c_int, c_int64, c_size_t, c_uint32, c_uint64, c_void_p

try:
    import numpy
except ImportError:
    numpy = None

READ, WRITE, FOREVER = 0, 1, -1
PROT_READ_WRITE, SAMPLES = 3, 1024


class Entry(ctypes.Structure):
    _fields_ = [("next", c_uint64), ("text", ctypes.c_char * 56)]


class Board(ctypes.Structure):
    _fields_ = [("here", c_uint64), ("first", c_uint64), ("free", c_uint64), ("samples", ctypes.c_double * SAMPLES)]


def library():
    scifs = ctypes.CDLL(os.environ.get("LIBSCIFS", "libscifs.so"), use_errno=True)
    scifs.scifs_strerror.restype, scifs.scifs_strerror.argtypes = c_char_p, [c_int]

    def checked(result, function, _arguments):
        if result is None or result == -1:
            number = ctypes.get_errno()
            raise OSError(number, f"{function.__name__}: {scifs.scifs_strerror(number).decode()}")
        return result

    for name, result, arguments in [
        ("scifs_map", c_void_p, [c_char_p, c_int]),
        ("scifs_unmap", c_int, [c_void_p]),
        ("scifs_lock", c_int, [c_void_p, c_size_t, c_int]),
        ("scifs_unlock", c_int, [c_void_p, c_size_t, c_int]),
        ("scifs_wait", c_int, [c_void_p, c_uint64, c_size_t, c_int64]),
        ("scifs_notify", c_int, [c_void_p, c_uint32]),
        ("scifs_node_id", c_int, []),
        ("scifs_node_count", c_int, []),
    ]:
        function = getattr(scifs, name)
        function.restype, function.argtypes, function.errcheck = result, arguments, checked
    return scifs


def samples_of(board):
    """An array that lies in the shared memory: no copy."""
    return numpy.frombuffer(board.samples, dtype="f8") if numpy else memoryview(board.samples).cast("B").cast("d")


def put(scifs, address, board, name):
    """Under the lock: what it reads was written by others, on other nodes."""
    scifs.scifs_lock(address, 24, WRITE)
    at = board.free or address + ctypes.sizeof(Board)
    board.free = at + ctypes.sizeof(Entry)
    entry = Entry.from_address(at)
    entry.next = board.first
    entry.text = name.encode()
    board.first = at
    board.here += 1
    scifs.scifs_unlock(address, 24, WRITE)
    scifs.scifs_notify(address, 0xFFFFFFFF)


def wait_for(scifs, address, board, players):
    while (here := board.here) < players:
        try:
            scifs.scifs_wait(address, here, 8, FOREVER)
        except OSError as error:
            # Somebody has come in the meantime, or a signal.
            if error.errno not in (errno.EAGAIN, errno.EINTR):
                raise


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    path, me, players, name = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    scifs = library()
    address = scifs.scifs_map(path.encode(), PROT_READ_WRITE)
    board = Board.from_address(address)
    samples = samples_of(board)
    for at in range(me * SAMPLES // players, (me + 1) * SAMPLES // players):
        samples[at] = at
    put(scifs, address, board, name)
    wait_for(scifs, address, board, players)
    entries, at = 0, board.first
    while at:
        entries, at = entries + 1, Entry.from_address(at).next
    newest = Entry.from_address(board.first).text.decode()
    print(f"{name:<12} on node {scifs.scifs_node_id()} of {scifs.scifs_node_count()}: {entries} entries, the newest at "
          f"{board.first:#x} by {newest}; the samples add up to {sum(samples):.0f}")
    del samples
    scifs.scifs_unmap(address)


main()
