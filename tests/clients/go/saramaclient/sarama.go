// Package saramaclient drives sarama: its producers, partition consumers and cluster administration.
package saramaclient

import (
	"errors"
	"io"
	"log"
	"time"

	"flumen.tests/clients/cases"
	"flumen.tests/clients/records"
	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
)

var compressions = map[string]sarama.CompressionCodec{
	"":       sarama.CompressionNone,
	"none":   sarama.CompressionNone,
	"gzip":   sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy,
	"lz4":    sarama.CompressionLZ4,
	"zstd":   sarama.CompressionZSTD,
}

var operations = map[string]sarama.IncrementalAlterConfigsOperation{
	"SET":      sarama.IncrementalAlterConfigsOperationSet,
	"DELETE":   sarama.IncrementalAlterConfigsOperationDelete,
	"APPEND":   sarama.IncrementalAlterConfigsOperationAppend,
	"SUBTRACT": sarama.IncrementalAlterConfigsOperationSubtract,
}

type client struct {
	bootstrap string
	base      sarama.Client
	admin     sarama.ClusterAdmin
}

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Metadata.AllowAutoTopicCreation = false
	config.Metadata.Retry.Max = 5
	config.Metadata.Retry.Backoff = 50 * time.Millisecond
	config.Admin.Timeout = cases.Patience
	return config
}

// New connects.
func New(bootstrap string) (cases.Client, error) {
	sarama.Logger = log.New(io.Discard, "", 0)
	base, err := sarama.NewClient([]string{bootstrap}, config())
	if err != nil {
		return nil, err
	}
	admin, err := sarama.NewClusterAdminFromClient(base)
	return &client{bootstrap, base, admin}, err
}

func (c *client) Name() string     { return "sarama" }
func (c *client) Codecs() []string { return []string{"none", "gzip", "snappy", "lz4", "zstd"} }

// MurmurKeys: sarama hashes keys with FNV-1a.
func (c *client) MurmurKeys() bool { return false }
func (c *client) Close()           { _ = c.admin.Close() }

// refusal turns an error code of the broker into cases.Refused and leaves other errors as they are.
func refusal(err error) error {
	code, ok := errors.AsType[sarama.KError](err)
	if !ok {
		if topic, isTopic := errors.AsType[*sarama.TopicError](err); isTopic {
			code, ok = topic.Err, true
		}
	}
	if partition, isPartition := errors.AsType[*sarama.TopicPartitionError](err); isPartition {
		code, ok = partition.Err, true
	}
	if !ok || code == sarama.ErrNoError {
		return err
	}
	return cases.Refused{Code: kerr.TypedErrorForCode(int16(code)).Message, Message: err.Error()}
}

func (c *client) Cluster() (string, []int32, error) {
	brokers, _, err := c.admin.DescribeCluster()
	ids := []int32{}
	for _, broker := range brokers {
		ids = append(ids, broker.ID())
	}
	return "not told by sarama", ids, refusal(err)
}

func (c *client) CreateTopic(topic string, partitions int32, configs map[string]string, replication int16) error {
	values := map[string]*string{}
	for name, value := range configs {
		values[name] = &value
	}
	detail := &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: replication, ConfigEntries: values}
	if err := c.admin.CreateTopic(topic, detail, false); err != nil {
		return refusal(err)
	}
	return c.awaitLeaders(topic, partitions)
}

// awaitLeaders waits until a new topic's partitions are led, which Apache Kafka may tell a moment after their creation.
func (c *client) awaitLeaders(topic string, partitions int32) error {
	deadline := time.Now().Add(cases.Patience)
	for partition := int32(0); partition < partitions; {
		_, err := c.base.GetOffset(topic, partition, sarama.OffsetNewest)
		switch {
		case err == nil:
			partition++
		case time.Now().After(deadline):
			return refusal(err)
		default:
			time.Sleep(20 * time.Millisecond)
			_ = c.base.RefreshMetadata(topic) // fails while the topic is unknown; GetOffset tells in the next round
		}
	}
	return nil
}

func (c *client) DeleteTopic(topic string) error { return refusal(c.admin.DeleteTopic(topic)) }

func (c *client) Topics() (map[string]bool, error) {
	details, err := c.admin.ListTopics()
	names := map[string]bool{}
	for name := range details {
		names[name] = true
	}
	return names, refusal(err)
}

func (c *client) PartitionCount(topic string) (int, error) {
	described, err := c.admin.DescribeTopics([]string{topic})
	if err != nil {
		return 0, refusal(err)
	}
	if described[0].Err != sarama.ErrNoError {
		return 0, refusal(described[0].Err)
	}
	return len(described[0].Partitions), nil
}

func (c *client) CreatePartitions(topic string, total int) error {
	return refusal(c.admin.CreatePartitions(topic, int32(total), nil, false))
}

func (c *client) TopicConfigs(topic string) (map[string]string, error) {
	entries, err := c.admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
	values := map[string]string{}
	for _, entry := range entries {
		values[entry.Name] = entry.Value
	}
	return values, refusal(err)
}

func (c *client) AlterConfig(topic, operation, name, value string) error {
	entry := sarama.IncrementalAlterConfigsEntry{Operation: operations[operation]}
	if operation != "DELETE" {
		entry.Value = &value
	}
	changes := map[string]sarama.IncrementalAlterConfigsEntry{name: entry}
	return refusal(c.admin.IncrementalAlterConfig(sarama.TopicResource, topic, changes, false))
}

func (c *client) DeleteRecords(topic string, partition int32, before int64) error {
	return refusal(c.admin.DeleteRecords(topic, map[int32]int64{partition: before}))
}

// messageBytesMax is sarama's default, unless a record needs more.
func messageBytesMax(all []records.Record) int {
	largest := 1_000_000
	for _, record := range all {
		largest = max(largest, len(record.Value)+10_000)
	}
	return largest
}

func producerConfig(all []records.Record, options cases.ProduceOptions) *sarama.Config {
	config := config()
	config.Producer.Compression = compressions[options.Codec]
	config.Producer.MaxMessageBytes = messageBytesMax(all)
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	if options.ByKey {
		config.Producer.Partitioner = sarama.NewHashPartitioner
	}
	switch options.Acks {
	case "0":
		config.Producer.RequiredAcks = sarama.NoResponse
	case "1":
		config.Producer.RequiredAcks = sarama.WaitForLocal
	default:
		config.Producer.RequiredAcks = sarama.WaitForAll
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1 // sarama demands it of an idempotent producer
	}
	return config
}

func (c *client) Produce(topic string, all []records.Record, options cases.ProduceOptions) error {
	producer, err := sarama.NewSyncProducer([]string{c.bootstrap}, producerConfig(all, options))
	if err != nil {
		return err
	}
	defer producer.Close()
	sent := make([]*sarama.ProducerMessage, len(all))
	for i, record := range all {
		sent[i] = toSend(topic, record)
	}
	if err := producer.SendMessages(sent); err != nil {
		if failures, ok := errors.AsType[sarama.ProducerErrors](err); ok {
			err = failures[0].Err
		}
		return refusal(err)
	}
	for i, message := range sent {
		all[i].Partition, all[i].Offset = message.Partition, message.Offset
	}
	return nil
}

// encoded keeps null and empty apart: sarama takes a nil Encoder as null.
func encoded(data []byte) sarama.Encoder {
	if data == nil {
		return nil
	}
	return sarama.ByteEncoder(data)
}

func toSend(topic string, record records.Record) *sarama.ProducerMessage {
	message := &sarama.ProducerMessage{
		Topic:     topic,
		Partition: record.Partition,
		Key:       encoded(record.Key),
		Value:     encoded(record.Value),
	}
	if record.Timestamp != records.Unset {
		message.Timestamp = time.UnixMilli(record.Timestamp)
	}
	for _, header := range record.Headers {
		message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header.Name), Value: header.Value})
	}
	return message
}

func (c *client) Watermarks(topic string, partition int32) (int64, int64, error) {
	start, err := c.base.GetOffset(topic, partition, sarama.OffsetOldest)
	if err != nil {
		return 0, 0, refusal(err)
	}
	end, err := c.base.GetOffset(topic, partition, sarama.OffsetNewest)
	return start, end, refusal(err)
}

func (c *client) OffsetsForTime(topic string, partitions int32, timestamp int64) ([]int64, error) {
	offsets := make([]int64, partitions)
	for partition := range partitions {
		offset, err := c.base.GetOffset(topic, partition, timestamp)
		if err != nil {
			return nil, refusal(err)
		}
		offsets[partition] = offset
	}
	return offsets, nil
}

// MaxTimestampOffset: sarama asks with a version of ListOffsets that does not know it.
func (c *client) MaxTimestampOffset(string, int32) (int64, error) { return 0, cases.ErrUnsupported }

func (c *client) consumer(hold time.Duration) (sarama.Consumer, error) {
	config := config()
	config.Consumer.MaxWaitTime = hold
	config.Consumer.Return.Errors = true
	return sarama.NewConsumer([]string{c.bootstrap}, config)
}

func (c *client) Read(topic string, starts map[int32]int64) ([]records.Record, error) {
	consumer, err := c.consumer(100 * time.Millisecond)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	var read []records.Record
	for partition, offset := range starts {
		_, end, err := c.Watermarks(topic, partition)
		if err != nil {
			return nil, err
		}
		part, err := readPartition(consumer, topic, partition, offset, end-offset)
		if err != nil {
			return nil, err
		}
		read = append(read, part...)
	}
	records.Sort(read)
	return read, nil
}

func (c *client) ReadOne(topic string, partition int32, offset int64, hold time.Duration) (records.Record, error) {
	consumer, err := c.consumer(hold)
	if err != nil {
		return records.Record{}, err
	}
	defer consumer.Close()
	read, err := readPartition(consumer, topic, partition, offset, 1)
	if err != nil {
		return records.Record{}, err
	}
	return read[0], nil
}

// readPartition reads `count` records from an offset.
func readPartition(consumer sarama.Consumer, topic string, partition int32, offset, count int64) ([]records.Record, error) {
	if count == 0 {
		return nil, nil
	}
	reading, err := consumer.ConsumePartition(topic, partition, offset)
	if err != nil {
		return nil, refusal(err)
	}
	defer reading.AsyncClose()
	var read []records.Record
	for patience := time.After(cases.Patience); int64(len(read)) < count; {
		select {
		case message := <-reading.Messages():
			read = append(read, stored(message))
		case err := <-reading.Errors():
			return nil, refusal(err.Err)
		case <-patience:
			return nil, errors.New("not all records were read in time")
		}
	}
	return read, nil
}

func stored(message *sarama.ConsumerMessage) records.Record {
	var headers []records.Header
	for _, header := range message.Headers {
		headers = append(headers, records.Header{Name: string(header.Key), Value: header.Value})
	}
	return records.Record{
		Partition: message.Partition,
		Offset:    message.Offset,
		Timestamp: message.Timestamp.UnixMilli(),
		Key:       message.Key,
		Value:     message.Value,
		Headers:   headers,
	}
}
