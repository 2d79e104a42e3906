package clients;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;

/** The generated records of README.md: every suite writes and expects exactly these. */
final class Records {
    static final int COUNT = 240;
    static final int PARTITIONS = 3;
    static final int COUNT_PER_PARTITION = COUNT / PARTITIONS;
    static final int MIDDLE_OFFSET = 41;
    static final long FIRST_TIMESTAMP = 1_700_000_000_000L;
    static final int REQUEST_BYTES_MAX = 4_194_304;
    static final Map<String, String> TOPIC_CONFIGS = Map.of("max.message.bytes", "4194304", "retention.ms", "-1");

    static final int FILE_LINES = 50_000;
    static final Map<String, String> FILE_TOPIC_CONFIGS = Map.of("segment.bytes", "1048576", "retention.ms", "-1");

    /** The partition of key "k0", "k1", ... among six, by Kafka's default partitioner (murmur2). */
    static final int KEYED_PARTITIONS = 6;
    static final String KEY_PARTITIONS = "553440142240321051124453005124";

    /** A header; a null value is allowed. */
    record Header(String name, byte[] value) {}

    /** A record where it is stored. */
    record Stored(int partition, long offset, long timestamp, byte[] key, byte[] value, List<Header> headers) {

        boolean same(Stored other) {
            return partition == other.partition && offset == other.offset && timestamp == other.timestamp
                && Arrays.equals(key, other.key) && Arrays.equals(value, other.value) && sameHeaders(other.headers);
        }

        private boolean sameHeaders(List<Header> others) {
            if (headers.size() != others.size()) return false;
            for (int i = 0; i < headers.size(); i++) {
                Header mine = headers.get(i), other = others.get(i);
                if (!mine.name.equals(other.name) || !Arrays.equals(mine.value, other.value)) return false;
            }
            return true;
        }

        @Override
        public String toString() {
            StringBuilder named = new StringBuilder();
            for (Header header : headers) named.append(header.name).append('=').append(brief(header.value)).append(' ');
            return "partition " + partition + " offset " + offset + " timestamp " + timestamp
                + " key " + brief(key) + " value " + brief(value) + " headers [" + named.toString().trim() + "]";
        }

        private static String brief(byte[] data) {
            if (data == null) return "null";
            String text = new String(data, 0, Math.min(data.length, 16), StandardCharsets.ISO_8859_1);
            return "'" + text + "'(" + data.length + " bytes)";
        }
    }

    /** Marsaglia's 32-bit xorshift (13, 17, 5); the state must not be zero. */
    private static final class Xorshift {
        private int state;

        Xorshift(int state) {
            this.state = state;
        }

        int next() {
            state ^= state << 13;
            state ^= state >>> 17;
            state ^= state << 5;
            return state;
        }

        byte[] bytes(int length) {
            byte[] data = new byte[length];
            for (int at = 0; at < length; at += 4) {
                int word = next();
                for (int i = at; i < Math.min(at + 4, length); i++, word >>>= 8) data[i] = (byte) word;
            }
            return data;
        }
    }

    /** The records of a seed, in the order they are to be sent. Odd seeds are tame: no client refuses to send them. */
    static List<Stored> generate(int seed) {
        List<Stored> records = new ArrayList<>(COUNT);
        for (int index = 0; index < COUNT; index++) {
            boolean tame = seed % 2 == 1;
            Xorshift random = new Xorshift((seed * 0x9E3779B1 + index * 0x85EBCA6B) | 1);
            byte[] key = key(index, random);
            byte[] value = value(index, key, random, tame);
            List<Header> headers = headers(index, random, tame);
            records.add(new Stored(index % PARTITIONS, index / PARTITIONS, timestamp(index), key, value, headers));
        }
        return records;
    }

    private static byte[] key(int index, Xorshift random) {
        int number = Integer.remainderUnsigned(random.next(), 50);
        if (index % 7 == 0) return null;
        return index % 7 == 1 ? new byte[0] : bytes("key-" + number);
    }

    private static byte[] value(int index, byte[] key, Xorshift random, boolean tame) {
        int length = Integer.remainderUnsigned(random.next(), 1500) + 1;
        if (100 <= index && index <= 120) length = 1 << (index - 100);
        else if (index % 11 == 0 && (key != null || !tame)) return null;
        else if (index % 11 < 2) return new byte[0];
        if (index % 2 == 0) return random.bytes(length);
        byte[] pattern = random.bytes(64), value = new byte[length];
        for (int i = 0; i < length; i++) value[i] = pattern[i % 64];
        return value;
    }

    private static List<Header> headers(int index, Xorshift random, boolean tame) {
        return switch (index % 5) {
            case 1 -> List.of(new Header("h", bytes("v")));
            case 2 -> List.of(new Header("dup", bytes("a")), new Header("dup", bytes("b")), new Header("dup", bytes("a")));
            case 3 -> List.of(new Header("empty", new byte[0]), new Header("null", tame ? new byte[0] : null));
            case 4 -> List.of(new Header("bytes", random.bytes(16)), new Header("größe", bytes("ß")));
            default -> List.of();
        };
    }

    private static long timestamp(int index) {
        return FIRST_TIMESTAMP + switch (index % 10) {
            case 3 -> 40L * index - 450;
            case 5 -> 40L * (index - 3);
            default -> 40L * index;
        };
    }

    static List<Stored> ofPartition(List<Stored> records, int partition) {
        return records.stream().filter(record -> record.partition == partition).toList();
    }

    /** The first offset of a partition's records whose timestamp is at least the given one. */
    static OptionalLong offsetForTime(List<Stored> partition, long timestamp) {
        return partition.stream().filter(record -> record.timestamp >= timestamp).mapToLong(Stored::offset).findFirst();
    }

    static List<byte[]> fileLines() {
        Xorshift random = new Xorshift(1);
        List<byte[]> lines = new ArrayList<>(FILE_LINES);
        for (int number = 0; number < FILE_LINES; number++) {
            lines.add(bytes("%08d line of a real file %08x %08x %08x %08x".formatted(
                number, random.next(), random.next(), random.next(), random.next())));
        }
        return lines;
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private Records() {}
}
