"""Further orders: the file's memory is shared with the node instead of being mapped through the mount."""

import ctypes
import socket

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mprotect.argtypes = libc.madvise.argtypes = libc.msync.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

SYS_USERFAULTFD = 323
ATTACH = 0x8070F501
HELLO, SEGMENT, MAP = 1, 2, 3
MAP_FIXED_NOREPLACE = 0x100000
MREMAP_MAYMOVE, MREMAP_FIXED = 1, 2
DONTNEED = 4
conversation = None


def checked(result):
    if result in (-1, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "a call failed")
    return result


class Memory:
    """Bytes at an address, as a mapping shows them."""

    def __init__(self, address, pages):
        self.address, self.pages = address, pages

    def __getitem__(self, part):
        return ctypes.string_at(self.address + part.start, part.stop - part.start)

    def __setitem__(self, part, data):
        if len(data) == 8:
            # One store.
            ctypes.c_uint64.from_address(self.address + part.start).value = int.from_bytes(data, "little")
        else:
            ctypes.memmove(self.address + part.start, data, len(data))


def answered(form):
    answer, files, _, _ = socket.recv_fds(conversation, 128, 1)
    values = struct.unpack(form, answer)
    if values[0]:
        raise OSError(values[0], "refused")
    return values[1], files


def converse(name):
    """Begins the conversation with the daemon; gives its flags."""
    global conversation
    conversation = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    conversation.connect(b"\0" + name)
    faults = checked(libc.syscall(SYS_USERFAULTFD, os.O_CLOEXEC | os.O_NONBLOCK))
    socket.send_fds(conversation, [struct.pack("=II", HELLO, 1)], [faults])
    os.close(faults)
    return answered("=iI")[0]


def attach(name):
    data = bytearray(112)
    fcntl.ioctl(files[name], ATTACH, data, True)
    _, flags, inode, address, size = struct.unpack_from("=IIQQQ", data)
    return flags, inode, address, size, bytes(data[32:48]), bytes(data[48:]).rstrip(b"\0")


def share(name, pages, first=0, at=None):
    """Maps a file's memory at the file's address, or elsewhere."""
    flags, inode, address, _, ticket, server = attach(name)
    if not flags & 1:
        raise OSError(13, "not writable")
    if conversation is None:
        converse(server)
    conversation.send(struct.pack("=II16s", SEGMENT, 0, ticket))
    _, received = answered("=iI")
    offset, length = int(first) * PAGE, int(pages) * PAGE
    place = int(at, 0) if at else address + offset
    place = checked(libc.mmap(place, length, 3, mmap.MAP_SHARED | MAP_FIXED_NOREPLACE, received[0], offset))
    os.close(received[0])
    conversation.send(struct.pack("=IIQQQQ", MAP, 0, inode, place, length, offset))
    answered("=iI")
    maps[name] = Memory(place, int(pages))
    return hex(place)


def shrink(name):
    """Tries to cut the memory itself off."""
    ticket = attach(name)[4]
    conversation.send(struct.pack("=II16s", SEGMENT, 0, ticket))
    os.ftruncate(answered("=iI")[1][0], 0)


def part(name, first, pages):
    return maps[name].address + int(first) * PAGE, int(pages) * PAGE


def unmap(name, first, pages):
    checked(libc.munmap(*part(name, first, pages)))


def move(name, first, pages, to):
    """Under a new name."""
    old, length = part(name, first, pages)
    place = checked(libc.mremap(old, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, 0x500000000000))
    maps[to] = Memory(place, int(pages))


def enlarge(name, pages):
    """In place."""
    old, length = part(name, 0, maps[name].pages)
    checked(libc.mremap(old, length, int(pages) * PAGE, 0, None))


def protect(name, first, pages, how):
    checked(libc.mprotect(*part(name, first, pages), {"none": 0, "read": 1, "write": 3}[how]))


def forget_mapped(name, first, pages):
    checked(libc.madvise(*part(name, first, pages), DONTNEED))


def sync_mapped(name):
    checked(libc.msync(*part(name, 0, maps[name].pages), 4))


def read_into(name, page):
    """read(2) into shared memory; gives its bytes."""
    place, _ = part(name, page, 1)
    with open("/dev/zero", "rb", buffering=0) as zeros:
        buffer = (ctypes.c_char * 8).from_address(place)
        return zeros.readinto(buffer)


def child(order, *arguments):
    """Has a child do something; gives its answer."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = ORDERS[order](*arguments)
        except OSError as error:
            answer = "errno %d" % error.errno
        os.write(writes, str(0 if answer is None else answer).encode())
        os._exit(0)
    os.close(writes)
    answer = b"".join(iter(lambda: os.read(reads, 4096), b""))
    os.close(reads)
    _, status = os.waitpid(pid, 0)
    return "died %d" % os.WTERMSIG(status) if os.WIFSIGNALED(status) else answer.decode()


def touch_scattered(name, first, step, count):
    """Stores into every so many pages."""
    memory = maps[name]
    for number in range(int(count)):
        ctypes.c_uint64.from_address(memory.address + (int(first) + number * int(step)) * PAGE).value = number + 1
    return number + 1


def sum_scattered(name, first, step, count):
    address = maps[name].address
    pages = (int(first) + number * int(step) for number in range(int(count)))
    return sum(ctypes.c_uint64.from_address(address + page * PAGE).value for page in pages)


def mappings():
    with open("/proc/self/maps") as maps_file:
        return len(maps_file.readlines())


def raw(kind, *words):
    """A packet of words, as they are; gives the answer's bytes."""
    conversation.send(struct.pack("=II%dQ" % len(words), int(kind), 0, *(int(word, 0) for word in words)))
    answer = conversation.recv(128)
    return answer.hex() if answer else "closed"


ORDERS.update({
    "share": share, "unmap": unmap, "move": move, "enlarge": enlarge, "protect": protect, "dontneed": forget_mapped,
    "msync": sync_mapped, "read_into": read_into, "child": child, "touch": touch_scattered, "sum": sum_scattered,
    "mappings": mappings, "raw": raw, "shrink": shrink, "attach": lambda name: attach(name)[0],
})
