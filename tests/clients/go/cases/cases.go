package cases

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"flumen.tests/clients/records"
)

const (
	hold      = 10 * time.Second
	farOffset = 1_000_000
)

var run = strings.ToLower(rand.Text()[:6])

func topicName(client Client, ofCase string) string {
	return "go-" + client.Name() + "-" + ofCase + "-" + run
}

// newTopic creates the topic of a case and returns its name.
func newTopic(client Client, ofCase string, partitions int32, configs map[string]string) (string, error) {
	topic := topicName(client, ofCase)
	return topic, client.CreateTopic(topic, partitions, configs, 1)
}

// RunAll runs every case with a client.
func RunAll(report *Report, client Client) {
	for _, codec := range client.Codecs() {
		report.Run(client.Name()+"/round-trip-"+codec, func() error { return roundTrip(client, codec) })
	}
	for _, listed := range []struct {
		name string
		body func(Client) error
	}{
		{"cluster", cluster},
		{"topics", topics},
		{"recreated-topic-is-empty", recreatedTopicIsEmpty},
		{"invalid-topics", invalidTopics},
		{"invalid-counts", invalidCounts},
		{"configs", configs},
		{"acks", acks},
		{"keys", keys},
		{"many-batches", manyBatches},
		{"real-file", realFile},
		{"too-large", tooLarge},
		{"log-append-time", logAppendTime},
		{"unknown-topic", unknownTopic},
		{"offset-out-of-range", offsetOutOfRange},
		{"empty-partition", emptyPartition},
		{"list-offsets", listOffsets},
		{"deleted-records", deletedRecords},
		{"held-fetch", heldFetch},
	} {
		report.Run(client.Name()+"/"+listed.name, func() error { return listed.body(client) })
	}
}

func roundTrip(client Client, codec string) error {
	topic := topicName(client, codec)
	if err := Write(client, topic, 2, codec); err != nil {
		return err
	}
	return Verify(client, topic, 2)
}

func cluster(client Client) error {
	id, brokers, err := client.Cluster()
	return first(err, equal(id == "", false, "the cluster has no id"), equal(len(brokers) > 0, true, "the cluster has brokers"))
}

func hasPartitions(client Client, topic string, expected int) error {
	return eventually(func() error {
		count, err := client.PartitionCount(topic)
		return first(err, equal(count, expected, "partitions of "+topic))
	})
}

func listed(client Client, topic string, expected bool) error {
	return eventually(func() error {
		names, err := client.Topics()
		return first(err, equal(names[topic], expected, "listed "+topic))
	})
}

func topics(client Client) error {
	topic := topicName(client, "topics")
	return steps(
		func() error { return client.CreateTopic(topic, 4, nil, 1) },
		func() error { return hasPartitions(client, topic, 4) },
		func() error { return listed(client, topic, true) },
		func() error { return refused("TOPIC_ALREADY_EXISTS", client.CreateTopic(topic, 4, nil, 1)) },
		func() error { return client.CreatePartitions(topic, 7) },
		func() error { return hasPartitions(client, topic, 7) },
		func() error { return refused("INVALID_PARTITIONS", client.CreatePartitions(topic, 3)) },
		func() error { return client.DeleteTopic(topic) },
		func() error { return listed(client, topic, false) },
		func() error { return refused("UNKNOWN_TOPIC_OR_PARTITION", client.DeleteTopic(topic)) },
		func() error {
			_, err := client.PartitionCount(topic)
			return refused("UNKNOWN_TOPIC_OR_PARTITION", err)
		},
	)
}

func recreatedTopicIsEmpty(client Client) error {
	topic := topicName(client, "recreated")
	for _, value := range []string{"first life", "second life"} {
		err := steps(
			func() error { return client.CreateTopic(topic, 1, nil, 1) },
			func() error { return client.Produce(topic, []records.Record{records.Text(value)}, ProduceOptions{}) },
			func() error { return hasTexts(client, topic, 0, value) },
			func() error { return client.DeleteTopic(topic) },
		)
		if err != nil {
			return fmt.Errorf("%s: %w", value, err)
		}
	}
	return nil
}

// hasTexts reads partition 0 from an offset to the end and compares the values.
func hasTexts(client Client, topic string, offset int64, expected ...string) error {
	stored, err := client.Read(topic, map[int32]int64{0: offset})
	if err != nil {
		return err
	}
	values := make([]string, len(stored))
	for i, record := range stored {
		values[i] = string(record.Value)
	}
	return equal(strings.Join(values, ","), strings.Join(expected, ","), "values")
}

func invalidTopics(client Client) error {
	for _, name := range []string{"a b", "a/b", "..", strings.Repeat("x", 250), "ü"} {
		if err := refused("INVALID_TOPIC_EXCEPTION", client.CreateTopic(name, 1, nil, 1)); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	longest := (topicName(client, "longest") + strings.Repeat("x", 249))[:249]
	return steps(
		func() error { return client.CreateTopic(longest, 1, nil, 1) },
		func() error { return listed(client, longest, true) },
		func() error { return client.DeleteTopic(longest) },
	)
}

func invalidCounts(client Client) error {
	topic := topicName(client, "invalid-counts")
	unknown, bad := map[string]string{"no.such.config": "1"}, map[string]string{"retention.ms": "soon"}
	return first(
		refused("INVALID_REPLICATION_FACTOR", client.CreateTopic(topic, 1, nil, 100)),
		refused("INVALID_PARTITIONS", client.CreateTopic(topic, 0, nil, 1)),
		refused("INVALID_CONFIG", client.CreateTopic(topic, 1, unknown, 1)),
		refused("INVALID_CONFIG", client.CreateTopic(topic, 1, bad, 1)),
		listed(client, topic, false),
	)
}

func hasConfig(client Client, topic, name, expected string) error {
	return eventually(func() error {
		described, err := client.TopicConfigs(topic)
		return first(err, equal(described[name], expected, name))
	})
}

func configs(client Client) error {
	topic, err := newTopic(client, "configs", 1, map[string]string{"retention.ms": "123456789"})
	if err != nil {
		return err
	}
	missing := topicName(client, "missing")
	return steps(
		func() error { return hasConfig(client, topic, "retention.ms", "123456789") },
		func() error { return hasConfig(client, topic, "cleanup.policy", "delete") },
		func() error { return client.AlterConfig(topic, "SET", "max.message.bytes", "54321") },
		func() error { return hasConfig(client, topic, "max.message.bytes", "54321") },
		func() error { return hasConfig(client, topic, "retention.ms", "123456789") },
		func() error { return client.AlterConfig(topic, "DELETE", "max.message.bytes", "") },
		func() error { return hasConfig(client, topic, "max.message.bytes", "1048588") },
		func() error { return client.AlterConfig(topic, "APPEND", "cleanup.policy", "compact") },
		func() error { return hasConfig(client, topic, "cleanup.policy", "delete,compact") },
		func() error { return client.AlterConfig(topic, "SUBTRACT", "cleanup.policy", "delete") },
		func() error { return hasConfig(client, topic, "cleanup.policy", "compact") },
		func() error {
			return refused("INVALID_CONFIG", client.AlterConfig(topic, "SET", "cleanup.policy", "shred"))
		},
		func() error {
			return refused("UNKNOWN_TOPIC_OR_PARTITION", client.AlterConfig(missing, "SET", "retention.ms", "1"))
		},
		func() error {
			_, err := client.TopicConfigs(missing)
			return refused("UNKNOWN_TOPIC_OR_PARTITION", err)
		},
	)
}

func acks(client Client) error {
	topic, err := newTopic(client, "acks", 1, nil)
	if err != nil {
		return err
	}
	for i, level := range []string{"0", "1", "all"} {
		sent := []records.Record{records.Text("acks " + level)}
		if err := client.Produce(topic, sent, ProduceOptions{Acks: level}); err != nil {
			return fmt.Errorf("acks=%s: %w", level, err)
		}
		if err := awaitEnd(client, topic, int64(i+1)); err != nil {
			return err
		}
	}
	return hasTexts(client, topic, 0, "acks 0", "acks 1", "acks all")
}

// awaitEnd waits for an end offset: records sent with acks=0 arrive when they arrive.
func awaitEnd(client Client, topic string, end int64) error {
	for deadline := time.Now().Add(Patience); ; time.Sleep(10 * time.Millisecond) {
		_, reached, err := client.Watermarks(topic, 0)
		if err != nil || reached >= end {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the end offset stays %d, not %d", reached, end)
		}
	}
}

func keys(client Client) error {
	topic, err := newTopic(client, "keys", records.KeyedPartitions, nil)
	if err != nil {
		return err
	}
	count := len(records.KeyPartitions)
	sent := make([]records.Record, 3*count)
	for i := range sent {
		sent[i] = records.Record{Timestamp: records.Unset, Key: []byte("k" + strconv.Itoa(i%count)), Value: []byte(strconv.Itoa(i))}
	}
	if err := client.Produce(topic, sent, ProduceOptions{ByKey: true}); err != nil {
		return err
	}
	starts := map[int32]int64{}
	for partition := range int32(records.KeyedPartitions) {
		starts[partition] = 0
	}
	stored, err := client.Read(topic, starts)
	if err := first(err, equal(len(stored), len(sent), "records")); err != nil {
		return err
	}
	places := map[string]int32{}
	for _, record := range stored {
		key := string(record.Key)
		number, _ := strconv.Atoi(key[1:])
		expected := int32(records.KeyPartitions[number] - '0')
		if known, seen := places[key]; !client.MurmurKeys() {
			expected = record.Partition
			if seen {
				expected = known
			}
		}
		places[key] = record.Partition
		if err := equal(record.Partition, expected, "partition of "+key); err != nil {
			return err
		}
	}
	return nil
}

// manyBatches: many small batches in flight keep their order.
func manyBatches(client Client) error {
	topic, err := newTopic(client, "many", 4, nil)
	if err != nil {
		return err
	}
	sent := make([]records.Record, 8000)
	for i := range sent {
		sent[i] = records.Record{Partition: int32(i % 4), Timestamp: records.Unset, Value: []byte(strconv.Itoa(i))}
	}
	if err := client.Produce(topic, sent, ProduceOptions{}); err != nil {
		return err
	}
	stored, err := client.Read(topic, map[int32]int64{0: 0, 1: 0, 2: 0, 3: 0})
	if err := first(err, equal(len(stored), len(sent), "records")); err != nil {
		return err
	}
	for _, record := range stored {
		expected := strconv.Itoa(int(4*record.Offset) + int(record.Partition))
		if err := equal(string(record.Value), expected, "value"); err != nil {
			return err
		}
	}
	return nil
}

func realFile(client Client) error {
	topic, err := newTopic(client, "file", 1, records.FileTopicConfigs)
	if err != nil {
		return err
	}
	lines := records.File()
	sent := make([]records.Record, len(lines))
	for i, line := range lines {
		sent[i] = records.Record{Timestamp: records.Unset, Value: line}
	}
	if err := client.Produce(topic, sent, ProduceOptions{}); err != nil {
		return err
	}
	stored, err := client.Read(topic, map[int32]int64{0: 0})
	if err != nil {
		return err
	}
	received := make([][]byte, len(stored))
	for i, record := range stored {
		received[i] = record.Value
		if err := equal(record.Offset, int64(i), "offset"); err != nil {
			return err
		}
	}
	return equal(digest(received), digest(lines), "sha256 of the file")
}

func digest(lines [][]byte) string {
	hash := sha256.New()
	for _, line := range lines {
		hash.Write(line)
		hash.Write([]byte{'\n'})
	}
	return hex.EncodeToString(hash.Sum(nil))
}

func tooLarge(client Client) error {
	topic, err := newTopic(client, "too-large", 1, map[string]string{"max.message.bytes": "20000"})
	if err != nil {
		return err
	}
	large, fitting := records.Text(strings.Repeat("x", 30_000)), records.Text(strings.Repeat("x", 19_000))
	return steps(
		func() error {
			return refused("MESSAGE_TOO_LARGE", client.Produce(topic, []records.Record{large}, ProduceOptions{}))
		},
		func() error { return client.Produce(topic, []records.Record{fitting}, ProduceOptions{}) },
		func() error { return hasTexts(client, topic, 0, string(fitting.Value)) },
	)
}

func logAppendTime(client Client) error {
	topic, err := newTopic(client, "append-time", 1, map[string]string{"message.timestamp.type": "LogAppendTime"})
	if err != nil {
		return err
	}
	before := time.Now().UnixMilli() - 1000
	sent := records.Text("now")
	sent.Timestamp = records.FirstTimestamp
	for _, codec := range []string{"none", "zstd"} {
		if err := client.Produce(topic, []records.Record{sent, sent}, ProduceOptions{Codec: codec}); err != nil {
			return err
		}
	}
	stored, err := client.Read(topic, map[int32]int64{0: 0})
	if err := first(err, equal(len(stored), 4, "records")); err != nil {
		return err
	}
	for _, record := range stored {
		if record.Timestamp < before {
			return fmt.Errorf("the broker's clock was not used: %v", record)
		}
	}
	return nil
}

func unknownTopic(client Client) error {
	topic := topicName(client, "never-made")
	err := client.Produce(topic, []records.Record{records.Text("lost")}, ProduceOptions{})
	return first(refused("UNKNOWN_TOPIC_OR_PARTITION", err), listed(client, topic, false))
}

func offsetOutOfRange(client Client) error {
	topic, err := newTopic(client, "range", 1, nil)
	if err != nil {
		return err
	}
	if err := client.Produce(topic, []records.Record{records.Text("only")}, ProduceOptions{}); err != nil {
		return err
	}
	_, far := client.ReadOne(topic, 0, farOffset, time.Second)
	record, err := client.ReadOne(topic, 0, 0, time.Second)
	return first(refused("OFFSET_OUT_OF_RANGE", far), err, equal(string(record.Value), "only", "value"))
}

func emptyPartition(client Client) error {
	topic, err := newTopic(client, "empty", 2, nil)
	if err != nil {
		return err
	}
	start, end, err := client.Watermarks(topic, 1)
	if err := first(err, equal(start, 0, "start offset"), equal(end, 0, "end offset")); err != nil {
		return err
	}
	stored, err := client.Read(topic, map[int32]int64{0: 0, 1: 0})
	if err := first(err, equal(len(stored), 0, "records")); err != nil {
		return err
	}
	found, err := client.OffsetsForTime(topic, 2, 5)
	return first(err, equal(fmt.Sprint(found), "[-1 -1]", "offsets for a time"), maxTimestampIs(client, topic, -1))
}

// maxTimestampIs compares the offset of the largest timestamp, if the client can ask for it.
func maxTimestampIs(client Client, topic string, expected int64) error {
	found, err := client.MaxTimestampOffset(topic, 0)
	if errors.Is(err, ErrUnsupported) {
		return nil
	}
	return first(err, equal(found, expected, "offset of the largest timestamp"))
}

func listOffsets(client Client) error {
	topic, err := newTopic(client, "list-offsets", 1, map[string]string{"retention.ms": "-1"})
	if err != nil {
		return err
	}
	for _, after := range []int64{50, 90, 70, 90, 10} {
		record := records.Text("t")
		record.Timestamp = records.FirstTimestamp + after
		if err := client.Produce(topic, []records.Record{record}, ProduceOptions{}); err != nil {
			return err
		}
	}
	return maxTimestampIs(client, topic, 1)
}

func deletedRecords(client Client) error {
	topic, err := newTopic(client, "deleted-records", 1, nil)
	if err != nil {
		return err
	}
	sent := make([]records.Record, 10)
	for i := range sent {
		sent[i] = records.Text(strconv.Itoa(i))
	}
	if err := client.Produce(topic, sent, ProduceOptions{}); err != nil {
		return err
	}
	if err := client.DeleteRecords(topic, 0, 4); err != nil {
		return err
	}
	start, end, err := client.Watermarks(topic, 0)
	_, below := client.ReadOne(topic, 0, 3, time.Second)
	return first(err,
		equal(start, 4, "start offset"),
		equal(end, 10, "end offset"),
		hasTexts(client, topic, 4, "4", "5", "6", "7", "8", "9"),
		refused("OFFSET_OUT_OF_RANGE", below),
		refused("OFFSET_OUT_OF_RANGE", client.DeleteRecords(topic, 0, 11)),
	)
}

// heldFetch: a fetch at the end of the log is answered by the next append, long before its own time is up.
func heldFetch(client Client) error {
	topic, err := newTopic(client, "held", 1, nil)
	if err != nil {
		return err
	}
	if err := client.Produce(topic, []records.Record{records.Text("warm")}, ProduceOptions{}); err != nil {
		return err
	}
	sent := make(chan error, 1)
	time.AfterFunc(time.Second, func() {
		sent <- client.Produce(topic, []records.Record{records.Text("awaited")}, ProduceOptions{})
	})
	start := time.Now()
	record, err := client.ReadOne(topic, 0, 1, hold)
	waited := time.Since(start)
	if err := first(err, <-sent, equal(string(record.Value), "awaited", "value")); err != nil {
		return err
	}
	if waited > hold/2 {
		return fmt.Errorf("the fetch was held for %v", waited)
	}
	return nil
}
