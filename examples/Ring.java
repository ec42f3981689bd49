// java Ring.java /dsm/ring ME PLAYERS NOTES NAME       (a JDK of version 17 or later)
//
// The same as ring.c with nothing but the standard library. Java can't say where a file is mapped, so a pointer becomes an
// offset by subtracting the address that the cluster gave the file.
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.UserDefinedFileAttributeView;

public class Ring {
    static final int TURN = 0, COUNT = 8, FIRST = 16, LAST = 24, FREE = 32, RING_BYTES = 40;
    static final int NEXT = 0, NUMBER = 8, WHO = 16, WHO_BYTES = 16, TEXT = 32, TEXT_BYTES = 64, NOTE_BYTES = 96;
    static final VarHandle WORDS = MethodHandles.byteBufferViewVarHandle(long[].class, ByteOrder.nativeOrder());

    final ByteBuffer memory;
    final long base;

    Ring(Path path) throws Exception {
        var view = Files.getFileAttributeView(path, UserDefinedFileAttributeView.class);
        var text = ByteBuffer.allocate(64);
        view.read("scifs.address", text);
        base = Long.decode(new String(text.array(), 0, text.position(), StandardCharsets.US_ASCII).trim());
        try (var file = FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            memory = file.map(FileChannel.MapMode.READ_WRITE, 0, file.size()).order(ByteOrder.nativeOrder());
        }
    }

    long get(int at) {
        return (long) WORDS.getVolatile(memory, at);
    }

    void set(int at, long value) {
        WORDS.setVolatile(memory, at, value);
    }

    /** Where in the mapping a pointer of the others points. */
    int offset(long pointer) {
        return Math.toIntExact(pointer - base);
    }

    void put(int at, int bytes, String text) {
        var padded = new byte[bytes];
        var content = text.getBytes(StandardCharsets.UTF_8);
        System.arraycopy(content, 0, padded, 0, Math.min(content.length, bytes - 1));
        memory.put(at, padded);
    }

    String text(int at, int bytes) {
        var content = new byte[bytes];
        memory.get(at, content);
        return new String(content, StandardCharsets.UTF_8).trim();
    }

    void append(String name) {
        long seen = 0;
        for (long at = get(FIRST); at != 0; at = get(offset(at) + NEXT)) seen++;
        long pointer = get(FREE) != 0 ? get(FREE) : base + RING_BYTES;
        int note = offset(pointer);
        set(note + NEXT, 0);
        set(note + NUMBER, get(COUNT) + 1);
        put(note + WHO, WHO_BYTES, name);
        put(note + TEXT, TEXT_BYTES, name + " has walked past " + seen + " notes");
        var line = String.format("%-12s note %2d at %#x", name, get(note + NUMBER), pointer);
        long last = get(LAST);
        if (last != 0) {
            set(offset(last) + NEXT, pointer);
            line += String.format(", linked from %#x by %s", last, text(offset(last) + WHO, WHO_BYTES));
        } else {
            set(FIRST, pointer);
        }
        System.out.println(line);
        set(LAST, pointer);
        set(FREE, pointer + NOTE_BYTES);
        set(COUNT, get(COUNT) + 1);
    }

    public static void main(String[] arguments) throws Exception {
        var ring = new Ring(Path.of(arguments[0]));
        long me = Long.parseLong(arguments[1]), players = Long.parseLong(arguments[2]);
        long notes = Long.parseLong(arguments[3]);
        while (true) {
            while (ring.get(TURN) != me) Thread.sleep(0, 200_000);
            boolean done = ring.get(COUNT) >= notes;
            if (!done) ring.append(arguments[4]);
            ring.set(TURN, (me + 1) % players);
            if (done) return;
        }
    }
}
