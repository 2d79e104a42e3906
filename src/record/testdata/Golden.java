import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;
import org.apache.kafka.common.utils.BufferSupplier;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;

public class Golden {
    static final Path OUT = Path.of("out");
    static byte[] b(String s) { return s == null ? null : s.getBytes(StandardCharsets.UTF_8); }
    static ByteBuffer bb(byte[] x) { return x == null ? null : ByteBuffer.wrap(x); }
    static void write(String name, ByteBuffer buffer) throws Exception {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        Files.write(OUT.resolve(name + ".batch"), bytes);
        System.out.println(name + " " + bytes.length);
    }
    // the five records of every codec's vector
    static void records(MemoryRecordsBuilder w) {
        long t = 1_700_000_000_000L;
        w.append(t, bb(b("key-0")), bb(b("value-0")), new Header[0]);
        w.append(t + 5, (ByteBuffer) null, bb(b("value without key")), new Header[] { new RecordHeader("trace", b("abc")), new RecordHeader("empty", new byte[0]), new RecordHeader("null", (byte[]) null) });
        w.append(t - 300, bb(b("tombstone")), null, new Header[0]);
        w.append(t + 70_000, (ByteBuffer) null, null, new Header[] { new RecordHeader("", b("key is empty")), new RecordHeader("\u00fcml\u00e4ut", b("\u20ac")) });
        byte[] large = new byte[3000];
        for (int i = 0; i < large.length; i++) large[i] = (byte) (i % 251);
        w.append(t + 9, bb(new byte[0]), bb(large), new Header[0]);
    }
    static MemoryRecordsBuilder builder(Compression c, TimestampType tt, long base, long lat, long pid, short epoch, int seq, boolean tx, boolean control, int le, long horizon) {
        return new MemoryRecordsBuilder(new org.apache.kafka.common.utils.ByteBufferOutputStream(1024), RecordBatch.MAGIC_VALUE_V2, c, tt, base, lat, pid, epoch, seq, tx, control, le, Integer.MAX_VALUE, horizon);
    }
    public static void main(String[] a) throws Exception {
        Files.createDirectories(OUT);
        Map<String, Compression> codecs = new LinkedHashMap<>();
        codecs.put("none", Compression.NONE);
        codecs.put("gzip", Compression.gzip().build());
        codecs.put("snappy", Compression.snappy().build());
        codecs.put("lz4", Compression.lz4().build());
        codecs.put("zstd", Compression.zstd().build());
        for (Map.Entry<String, Compression> e : codecs.entrySet()) {
            MemoryRecordsBuilder w = builder(e.getValue(), TimestampType.CREATE_TIME, 0, -1, -1, (short) -1, -1, false, false, -1, -1);
            records(w);
            write(e.getKey(), w.build().buffer());
        }
        // two xerial blocks and two lz4 blocks: 100 records of 1 KiB
        for (String name : List.of("snappy", "lz4", "zstd", "gzip")) {
            MemoryRecordsBuilder w = builder(codecs.get(name), TimestampType.CREATE_TIME, 0, -1, -1, (short) -1, -1, false, false, -1, -1);
            byte[] v = new byte[1024];
            for (int r = 0; r < 100; r++) { Arrays.fill(v, (byte) r); w.append(1_700_000_000_000L + r, null, bb(v), new Header[0]); }
            write(name + "-100-records", w.build().buffer());
        }
        MemoryRecordsBuilder w = builder(Compression.NONE, TimestampType.CREATE_TIME, 1234567890123L, -1, 4711, (short) 3, 2147483640, true, false, 17, -1);
        records(w);
        write("transactional", w.build().buffer());
        w = builder(Compression.NONE, TimestampType.LOG_APPEND_TIME, 7, 1_700_000_111_111L, -1, (short) -1, -1, false, false, 2, -1);
        records(w);
        write("append-time", w.build().buffer());
        // what the broker makes of none.batch and zstd.batch in a topic with LogAppendTime: offset, epoch, time, CRC
        for (String name : List.of("none", "zstd")) {
            ByteBuffer copy = ByteBuffer.wrap(Files.readAllBytes(OUT.resolve(name + ".batch")));
            MutableRecordBatch batch = MemoryRecords.readableRecords(copy).batches().iterator().next();
            batch.setLastOffset(1000 + 4);
            batch.setPartitionLeaderEpoch(9);
            batch.setMaxTimestamp(TimestampType.LOG_APPEND_TIME, 1_700_000_222_222L);
            write(name + "-stamped-append-time", copy.duplicate().rewind());
        }
        // a header with unused attribute bits and a wrong max timestamp, then corrected by the broker
        {
            ByteBuffer copy = ByteBuffer.wrap(Files.readAllBytes(OUT.resolve("none.batch")));
            copy.putShort(21, (short) 0x7f80);
            copy.putLong(35, -1L);
            java.util.zip.CRC32C crc = new java.util.zip.CRC32C(); crc.update(copy.array(), 21, copy.limit() - 21); copy.putInt(17, (int) crc.getValue());
            write("none-without-max-timestamp", copy.duplicate().rewind());
            MutableRecordBatch batch = MemoryRecords.readableRecords(copy).batches().iterator().next();
            batch.setLastOffset(1000 + 4);
            batch.setPartitionLeaderEpoch(9);
            batch.setMaxTimestamp(TimestampType.CREATE_TIME, 1_700_000_070_000L);
            write("none-without-max-timestamp-stamped", copy.duplicate().rewind());
        }
        write("commit", MemoryRecords.withEndTransactionMarker(55, 1_700_000_000_123L, 6, 4711, (short) 3, new EndTransactionMarker(ControlRecordType.COMMIT, 12)).buffer());
        write("abort", MemoryRecords.withEndTransactionMarker(56, 1_700_000_000_124L, 6, 4711, (short) 3, new EndTransactionMarker(ControlRecordType.ABORT, 13)).buffer());
        // what compaction leaves: records 1 and 3 of transactional.batch dropped, with a delete horizon; and all of them dropped
        for (boolean all : new boolean[] { false, true }) {
            MemoryRecords source = MemoryRecords.readableRecords(ByteBuffer.wrap(Files.readAllBytes(OUT.resolve("transactional.batch"))));
            ByteBuffer target = ByteBuffer.allocate(8192);
            MemoryRecords.RecordFilter filter = new MemoryRecords.RecordFilter(1_700_000_500_000L, 86_400_000L) {
                protected BatchRetentionResult checkBatchRetention(RecordBatch batch) { return new BatchRetentionResult(BatchRetention.RETAIN_EMPTY, false); }
                protected boolean shouldRetainRecord(RecordBatch batch, org.apache.kafka.common.record.internal.Record record) { return !all && record.key() != null && record.offset() % 2 == batch.baseOffset() % 2 && record.keySize() > 0; }
            };
            source.filterTo(filter, target, BufferSupplier.NO_CACHING);
            target.flip();
            write(all ? "transactional-emptied" : "transactional-compacted", target);
        }
    }
}
