// Package franz drives franz-go: kgo for records, kadm for administration.
package franz

import (
	"context"
	"errors"
	"time"

	"flumen.tests/clients/cases"
	"flumen.tests/clients/records"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var compressions = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

var operations = map[string]kadm.IncrementalOp{
	"SET":      kadm.SetConfig,
	"DELETE":   kadm.DeleteConfig,
	"APPEND":   kadm.AppendConfig,
	"SUBTRACT": kadm.SubtractConfig,
}

type client struct {
	bootstrap string
	base      *kgo.Client
	admin     *kadm.Client
}

// New connects.
func New(bootstrap string) (cases.Client, error) {
	base, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.RetryTimeout(cases.Patience), kgo.MetadataMinAge(20*time.Millisecond))
	if err != nil {
		return nil, err
	}
	return &client{bootstrap, base, kadm.NewClient(base)}, nil
}

func (c *client) Name() string     { return "franz" }
func (c *client) Codecs() []string { return []string{"none", "gzip", "snappy", "lz4", "zstd"} }
func (c *client) MurmurKeys() bool { return true }
func (c *client) Close()           { c.base.Close() }

func patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), cases.Patience)
}

// refusal turns an error code of the broker into cases.Refused and leaves other errors as they are.
func refusal(err error) error {
	if code, ok := errors.AsType[*kerr.Error](err); ok {
		return cases.Refused{Code: code.Message, Message: code.Description}
	}
	return err
}

func (c *client) Cluster() (string, []int32, error) {
	ctx, cancel := patience()
	defer cancel()
	metadata, err := c.admin.BrokerMetadata(ctx)
	return metadata.Cluster, metadata.Brokers.NodeIDs(), refusal(err)
}

func (c *client) CreateTopic(topic string, partitions int32, configs map[string]string, replication int16) error {
	ctx, cancel := patience()
	defer cancel()
	values := map[string]*string{}
	for name, value := range configs {
		values[name] = &value
	}
	if _, err := c.admin.CreateTopic(ctx, partitions, replication, values, topic); err != nil {
		return refusal(err)
	}
	return c.awaitLeaders(ctx, topic)
}

// awaitLeaders waits until a new topic's partitions are led, which Apache Kafka may tell a moment after their creation.
func (c *client) awaitLeaders(ctx context.Context, topic string) error {
	for {
		ends, err := c.admin.ListEndOffsets(ctx, topic)
		if err == nil && ends.Error() == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err, ends.Error())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *client) DeleteTopic(topic string) error {
	ctx, cancel := patience()
	defer cancel()
	_, err := c.admin.DeleteTopic(ctx, topic)
	return refusal(err)
}

func (c *client) Topics() (map[string]bool, error) {
	ctx, cancel := patience()
	defer cancel()
	details, err := c.admin.ListTopics(ctx)
	names := map[string]bool{}
	for _, name := range details.Names() {
		names[name] = true
	}
	return names, refusal(err)
}

func (c *client) PartitionCount(topic string) (int, error) {
	ctx, cancel := patience()
	defer cancel()
	details, err := c.admin.ListTopics(ctx, topic)
	if err != nil {
		return 0, refusal(err)
	}
	return len(details[topic].Partitions), refusal(details[topic].Err)
}

func (c *client) CreatePartitions(topic string, total int) error {
	ctx, cancel := patience()
	defer cancel()
	responses, err := c.admin.UpdatePartitions(ctx, total, topic)
	if err != nil {
		return refusal(err)
	}
	return refusal(responses.Error())
}

func (c *client) TopicConfigs(topic string) (map[string]string, error) {
	ctx, cancel := patience()
	defer cancel()
	described, err := c.admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, refusal(err)
	}
	values := map[string]string{}
	for _, config := range described[0].Configs {
		values[config.Key] = config.MaybeValue()
	}
	return values, refusal(described[0].Err)
}

func (c *client) AlterConfig(topic, operation, name, value string) error {
	ctx, cancel := patience()
	defer cancel()
	change := kadm.AlterConfig{Op: operations[operation], Name: name}
	if operation != "DELETE" {
		change.Value = &value
	}
	responses, err := c.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{change}, topic)
	if err != nil {
		return refusal(err)
	}
	return refusal(responses[0].Err)
}

func (c *client) DeleteRecords(topic string, partition int32, before int64) error {
	ctx, cancel := patience()
	defer cancel()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, Partition: partition, At: before})
	responses, err := c.admin.DeleteRecords(ctx, offsets)
	if err != nil {
		return refusal(err)
	}
	return refusal(responses.Error())
}

func acks(level string) []kgo.Opt {
	switch level {
	case "0":
		return []kgo.Opt{kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite()}
	case "1":
		return []kgo.Opt{kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()}
	}
	return []kgo.Opt{kgo.RequiredAcks(kgo.AllISRAcks())}
}

func (c *client) Produce(topic string, all []records.Record, options cases.ProduceOptions) error {
	codec := options.Codec
	if codec == "" {
		codec = "none"
	}
	partitioner := kgo.ManualPartitioner()
	if options.ByKey {
		partitioner = kgo.StickyKeyPartitioner(nil)
	}
	producer, err := kgo.NewClient(append(acks(options.Acks),
		kgo.SeedBrokers(c.bootstrap),
		kgo.ProducerBatchCompression(compressions[codec]),
		kgo.ProducerBatchMaxBytes(batchBytesMax(all)),
		kgo.RecordPartitioner(partitioner),
		kgo.UnknownTopicRetries(1),
		kgo.MetadataMinAge(20*time.Millisecond),
		kgo.MaxBufferedRecords(len(all)+1),
		kgo.ProducerLinger(time.Millisecond),
	)...)
	if err != nil {
		return err
	}
	defer producer.Close()
	ctx, cancel := patience()
	defer cancel()
	sent := make([]*kgo.Record, len(all))
	for i, record := range all {
		sent[i] = toSend(topic, record)
	}
	if err := producer.ProduceSync(ctx, sent...).FirstErr(); err != nil {
		return refusal(err)
	}
	for i, record := range sent {
		all[i].Partition, all[i].Offset = record.Partition, record.Offset
	}
	return nil
}

// batchBytesMax is franz-go's default, unless a record needs more.
func batchBytesMax(all []records.Record) int32 {
	largest := int32(1_000_012)
	for _, record := range all {
		largest = max(largest, int32(len(record.Value))+10_000)
	}
	return largest
}

func toSend(topic string, record records.Record) *kgo.Record {
	sent := &kgo.Record{Topic: topic, Partition: record.Partition, Key: record.Key, Value: record.Value}
	if record.Timestamp != records.Unset {
		sent.Timestamp = time.UnixMilli(record.Timestamp)
	}
	for _, header := range record.Headers {
		sent.Headers = append(sent.Headers, kgo.RecordHeader{Key: header.Name, Value: header.Value})
	}
	return sent
}

func (c *client) Watermarks(topic string, partition int32) (int64, int64, error) {
	ctx, cancel := patience()
	defer cancel()
	starts, err := c.admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return 0, 0, refusal(err)
	}
	ends, err := c.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, 0, refusal(err)
	}
	start, end := starts[topic][partition], ends[topic][partition]
	return start.Offset, end.Offset, refusal(errors.Join(start.Err, end.Err))
}

func (c *client) OffsetsForTime(topic string, partitions int32, timestamp int64) ([]int64, error) {
	ctx, cancel := patience()
	defer cancel()
	listed, err := c.admin.ListOffsetsAfterMilli(ctx, timestamp, topic)
	if err != nil {
		return nil, refusal(err)
	}
	offsets := make([]int64, partitions)
	for partition := range partitions {
		found := listed[topic][partition]
		if found.Err != nil {
			return nil, refusal(found.Err)
		}
		offsets[partition] = found.Offset
		if found.Timestamp < 0 { // kadm answers with the end offset when the broker knows of no such record
			offsets[partition] = -1
		}
	}
	return offsets, nil
}

func (c *client) MaxTimestampOffset(topic string, partition int32) (int64, error) {
	ctx, cancel := patience()
	defer cancel()
	listed, err := c.admin.ListMaxTimestampOffsets(ctx, topic)
	if err != nil {
		return 0, refusal(err)
	}
	return listed[topic][partition].Offset, refusal(listed[topic][partition].Err)
}

func (c *client) consumer(topic string, starts map[int32]int64, hold time.Duration) (*kgo.Client, error) {
	offsets := map[int32]kgo.Offset{}
	for partition, offset := range starts {
		offsets[partition] = kgo.NewOffset().At(offset)
	}
	return kgo.NewClient(
		kgo.SeedBrokers(c.bootstrap),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(hold),
	)
}

func (c *client) Read(topic string, starts map[int32]int64) ([]records.Record, error) {
	left := int64(0)
	for partition, offset := range starts {
		_, end, err := c.Watermarks(topic, partition)
		if err != nil {
			return nil, err
		}
		left += end - offset
	}
	consumer, err := c.consumer(topic, starts, 100*time.Millisecond)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	ctx, cancel := patience()
	defer cancel()
	var read []records.Record
	for int64(len(read)) < left {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, refusal(err)
		}
		fetches.EachRecord(func(record *kgo.Record) { read = append(read, stored(record)) })
	}
	records.Sort(read)
	return read, nil
}

func (c *client) ReadOne(topic string, partition int32, offset int64, hold time.Duration) (records.Record, error) {
	consumer, err := c.consumer(topic, map[int32]int64{partition: offset}, hold)
	if err != nil {
		return records.Record{}, err
	}
	defer consumer.Close()
	ctx, cancel := patience()
	defer cancel()
	fetches := consumer.PollRecords(ctx, 1)
	if err := fetches.Err(); err != nil {
		return records.Record{}, refusal(err)
	}
	return stored(fetches.Records()[0]), nil
}

func stored(record *kgo.Record) records.Record {
	var headers []records.Header
	for _, header := range record.Headers {
		headers = append(headers, records.Header{Name: header.Key, Value: header.Value})
	}
	return records.Record{
		Partition: record.Partition,
		Offset:    record.Offset,
		Timestamp: record.Timestamp.UnixMilli(),
		Key:       record.Key,
		Value:     record.Value,
		Headers:   headers,
	}
}
