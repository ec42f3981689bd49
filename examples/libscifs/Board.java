// java --enable-native-access=ALL-UNNAMED Board.java /dsm/board ME PLAYERS NAME       (a JDK of version 22 or later)
//
// The same as board.c: libscifs by Java's foreign functions. The board is one segment of native memory at the address that all others use, so
// pointers are what they are in C. The library is looked for by its name, or is where LIBSCIFS says.
import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;

public class Board {
    static final int SAMPLES = 1024, HERE = 0, FIRST = 8, FREE = 16, SAMPLE = 24, BOARD_BYTES = SAMPLE + SAMPLES * 8;
    static final int NEXT = 0, TEXT = 8, TEXT_BYTES = 56, ENTRY_BYTES = TEXT + TEXT_BYTES;
    static final int WRITE = 1, PROT_READ_WRITE = 3, EINTR = 4, EAGAIN = 11;
    static final long FOREVER = -1;

    static final Linker LINKER = Linker.nativeLinker();
    static final Linker.Option ERRNO = Linker.Option.captureCallState("errno");
    static final VarHandle LONG = JAVA_LONG.varHandle();
    static final MemorySegment STATE = Arena.global().allocate(Linker.Option.captureStateLayout());
    static final SymbolLookup SCIFS = SymbolLookup.libraryLookup(
            System.getenv().getOrDefault("LIBSCIFS", "libscifs.so"), Arena.global());

    final MemorySegment memory;

    Board(String path) throws Throwable {
        var map = function("scifs_map", FunctionDescriptor.of(ADDRESS, ADDRESS, JAVA_INT));
        var at = (MemorySegment) map.invoke(STATE, Arena.global().allocateFrom(path), PROT_READ_WRITE);
        if (at.address() == 0) throw failure("scifs_map");
        var size = function("scifs_size", FunctionDescriptor.of(JAVA_LONG, ADDRESS));
        memory = at.reinterpret((long) size.invoke(STATE, at));
    }

    static MethodHandle function(String name, FunctionDescriptor type) {
        return LINKER.downcallHandle(SCIFS.find(name).orElseThrow(), type, ERRNO);
    }

    static int errno() {
        return STATE.get(JAVA_INT, 0);
    }

    static Exception failure(String doing) throws Throwable {
        var strerror = function("scifs_strerror", FunctionDescriptor.of(ADDRESS, JAVA_INT));
        var text = (MemorySegment) strerror.invoke(Arena.global().allocate(Linker.Option.captureStateLayout()), errno());
        return new Exception(doing + ": " + text.reinterpret(Long.MAX_VALUE).getString(0));
    }

    static int call(String name, FunctionDescriptor type, Object... arguments) throws Throwable {
        var all = new Object[arguments.length + 1];
        all[0] = STATE;
        System.arraycopy(arguments, 0, all, 1, arguments.length);
        return (int) function(name, type).invokeWithArguments(all);
    }

    static int checked(String name, FunctionDescriptor type, Object... arguments) throws Throwable {
        int result = call(name, type, arguments);
        if (result < 0) throw failure(name);
        return result;
    }

    long get(long at) {
        return (long) LONG.getVolatile(memory, at);
    }

    void set(long at, long value) {
        LONG.setVolatile(memory, at, value);
    }

    long offset(long pointer) {
        return pointer - memory.address();
    }

    /** Under the lock: what it reads was written by others, on other nodes. */
    void put(String name) throws Throwable {
        var lock = FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT);
        checked("scifs_lock", lock, memory, (long) SAMPLE, WRITE);
        long entry = get(FREE) != 0 ? get(FREE) : memory.address() + BOARD_BYTES;
        set(FREE, entry + ENTRY_BYTES);
        set(offset(entry) + NEXT, get(FIRST));
        memory.setString(offset(entry) + TEXT, name.substring(0, Math.min(name.length(), TEXT_BYTES / 3)));
        set(FIRST, entry);
        set(HERE, get(HERE) + 1);
        checked("scifs_unlock", lock, memory, (long) SAMPLE, WRITE);
        checked("scifs_notify", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT), memory, -1);
    }

    void waitFor(long players) throws Throwable {
        var wait = FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_LONG, JAVA_LONG);
        for (long here; (here = get(HERE)) < players; ) {
            // Not when somebody has come in the meantime; a signal is no reason to stop, either.
            if (call("scifs_wait", wait, memory, here, 8L, FOREVER) < 0 && errno() != EAGAIN && errno() != EINTR) throw failure("scifs_wait");
        }
    }

    public static void main(String[] arguments) throws Throwable {
        var board = new Board(arguments[0]);
        int me = Integer.parseInt(arguments[1]), players = Integer.parseInt(arguments[2]);
        var samples = board.memory.asSlice(SAMPLE, SAMPLES * 8L);
        for (int at = me * SAMPLES / players; at < (me + 1) * SAMPLES / players; at++) samples.setAtIndex(JAVA_DOUBLE, at, at);
        board.put(arguments[3]);
        board.waitFor(players);
        long entries = 0;
        for (long at = board.get(FIRST); at != 0; at = board.get(board.offset(at) + NEXT)) entries++;
        double sum = 0;
        for (int at = 0; at < SAMPLES; at++) sum += samples.getAtIndex(JAVA_DOUBLE, at);
        var number = FunctionDescriptor.of(JAVA_INT);
        System.out.printf("%-12s on node %d of %d: %d entries, the newest at %#x by %s; the samples add up to %.0f%n", arguments[3],
                checked("scifs_node_id", number), checked("scifs_node_count", number), entries, board.get(FIRST),
                board.memory.getString(board.offset(board.get(FIRST)) + TEXT), sum);
    }
}
