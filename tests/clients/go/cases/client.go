// Package cases holds the cases, written once against the small face that each client package gives its library.
package cases

import (
	"errors"
	"time"

	"flumen.tests/clients/records"
)

// Patience is how long a client waits for the broker before a case fails.
const Patience = 30 * time.Second

// ErrUnsupported is returned for what a library cannot do.
var ErrUnsupported = errors.New("the client cannot do this")

// Refused is a refusal of the broker, by Kafka's name of the error code.
type Refused struct {
	Code    string
	Message string
}

func (r Refused) Error() string { return r.Code + " " + r.Message }

// Client is the library under test. Every error that comes from the broker is a Refused.
type Client interface {
	Name() string
	Codecs() []string
	// MurmurKeys tells whether keys go to the same partitions as with the Java client.
	MurmurKeys() bool

	Cluster() (id string, brokers []int32, err error)
	CreateTopic(topic string, partitions int32, configs map[string]string, replication int16) error
	DeleteTopic(topic string) error
	Topics() (map[string]bool, error)
	PartitionCount(topic string) (int, error)
	CreatePartitions(topic string, total int) error
	TopicConfigs(topic string) (map[string]string, error)
	AlterConfig(topic, operation, name, value string) error
	DeleteRecords(topic string, partition int32, before int64) error

	// Produce sends records and fills in where they are stored.
	Produce(topic string, all []records.Record, options ProduceOptions) error
	// Watermarks returns the first and the next offset.
	Watermarks(topic string, partition int32) (start, end int64, err error)
	// OffsetsForTime returns each partition's first offset at or after the timestamp, or -1.
	OffsetsForTime(topic string, partitions int32, timestamp int64) ([]int64, error)
	// MaxTimestampOffset returns the offset of the largest timestamp, -1 for none, or ErrUnsupported.
	MaxTimestampOffset(topic string, partition int32) (int64, error)
	// Read returns everything from the given offset of each partition to the end, by partition and offset.
	Read(topic string, starts map[int32]int64) ([]records.Record, error)
	// ReadOne returns the record at the offset, with a fetch that the broker may hold back for so long.
	ReadOne(topic string, partition int32, offset int64, hold time.Duration) (records.Record, error)
	Close()
}

// ProduceOptions choose how records are sent; the zero value means: to the partition they name, uncompressed, acks=all,
// idempotent.
type ProduceOptions struct {
	Codec string // "" is "none"
	Acks  string // "0", "1", "all"; "" is "all"
	ByKey bool   // the client chooses partitions by key
}
