// Package records makes the generated records of README.md: every suite writes and expects exactly these.
package records

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

const (
	Count             = 240
	Partitions        = 3
	CountPerPartition = Count / Partitions
	MiddleOffset      = 41
	FirstTimestamp    = 1_700_000_000_000
	RequestBytesMax   = 4_194_304

	FileLines = 50_000

	// KeyPartitions names the partition of key "k0", "k1", ... among six, by Kafka's default partitioner (murmur2).
	KeyedPartitions = 6
	KeyPartitions   = "553440142240321051124453005124"
)

var (
	TopicConfigs     = map[string]string{"max.message.bytes": "4194304", "retention.ms": "-1"}
	FileTopicConfigs = map[string]string{"segment.bytes": "1048576", "retention.ms": "-1"}
)

// Unset, as a partition or timestamp, leaves the choice to the client.
const Unset = -1

// Header is a record header; a nil value is null.
type Header struct {
	Name  string
	Value []byte
}

// Record is a record; nil keys and values are null, which differs from empty. Timestamp is in milliseconds.
type Record struct {
	Partition int32
	Offset    int64
	Timestamp int64
	Key       []byte
	Value     []byte
	Headers   []Header
}

// Text is a record to partition 0 with the current time.
func Text(value string) Record {
	return Record{Timestamp: Unset, Value: []byte(value)}
}

func sameBytes(a, b []byte) bool {
	return (a == nil) == (b == nil) && bytes.Equal(a, b)
}

// Same tells whether both records are equal in everything.
func (r Record) Same(other Record) bool {
	if r.Partition != other.Partition || r.Offset != other.Offset || r.Timestamp != other.Timestamp ||
		!sameBytes(r.Key, other.Key) || !sameBytes(r.Value, other.Value) || len(r.Headers) != len(other.Headers) {
		return false
	}
	for i, header := range r.Headers {
		if header.Name != other.Headers[i].Name || !sameBytes(header.Value, other.Headers[i].Value) {
			return false
		}
	}
	return true
}

func brief(data []byte) string {
	if data == nil {
		return "null"
	}
	return fmt.Sprintf("%q(%d bytes)", data[:min(len(data), 16)], len(data))
}

func (r Record) String() string {
	headers := make([]string, len(r.Headers))
	for i, header := range r.Headers {
		headers[i] = header.Name + "=" + brief(header.Value)
	}
	return fmt.Sprintf("partition %d offset %d timestamp %d key %s value %s headers [%s]",
		r.Partition, r.Offset, r.Timestamp, brief(r.Key), brief(r.Value), strings.Join(headers, " "))
}

// xorshift is Marsaglia's 32-bit generator (13, 17, 5); its state must not be zero.
type xorshift uint32

func (x *xorshift) next() uint32 {
	*x ^= *x << 13
	*x ^= *x >> 17
	*x ^= *x << 5
	return uint32(*x)
}

func (x *xorshift) bytes(length int) []byte {
	data := make([]byte, 0, length+3)
	for len(data) < length {
		data = binary.LittleEndian.AppendUint32(data, x.next())
	}
	return data[:length]
}

// Generate returns the records of a seed, in the order they are to be sent. Odd seeds are tame: no client refuses them.
func Generate(seed uint32) []Record {
	generated := make([]Record, Count)
	for i := range generated {
		index, tame := uint32(i), seed%2 == 1
		random := xorshift((seed*0x9E3779B1 + index*0x85EBCA6B) | 1)
		key := generateKey(index, &random)
		value := generateValue(index, key, &random, tame)
		generated[i] = Record{
			Partition: int32(index % Partitions),
			Offset:    int64(index / Partitions),
			Timestamp: timestamp(int64(index)),
			Key:       key,
			Value:     value,
			Headers:   generateHeaders(index, &random, tame),
		}
	}
	return generated
}

func generateKey(index uint32, random *xorshift) []byte {
	number := random.next() % 50
	switch index % 7 {
	case 0:
		return nil
	case 1:
		return []byte{}
	}
	return []byte("key-" + strconv.Itoa(int(number)))
}

func generateValue(index uint32, key []byte, random *xorshift, tame bool) []byte {
	length := int(random.next()%1500) + 1
	switch {
	case 100 <= index && index <= 120:
		length = 1 << (index - 100)
	case index%11 == 0 && (key != nil || !tame):
		return nil
	case index%11 < 2:
		return []byte{}
	}
	if index%2 == 0 {
		return random.bytes(length)
	}
	pattern := random.bytes(64)
	return bytes.Repeat(pattern, length/64+1)[:length]
}

func generateHeaders(index uint32, random *xorshift, tame bool) []Header {
	switch index % 5 {
	case 1:
		return []Header{{"h", []byte("v")}}
	case 2:
		return []Header{{"dup", []byte("a")}, {"dup", []byte("b")}, {"dup", []byte("a")}}
	case 3:
		null := Header{Name: "null"}
		if tame {
			null.Value = []byte{}
		}
		return []Header{{"empty", []byte{}}, null}
	case 4:
		return []Header{{"bytes", random.bytes(16)}, {"größe", []byte("ß")}}
	}
	return nil
}

func timestamp(index int64) int64 {
	switch index % 10 {
	case 3:
		return FirstTimestamp + 40*index - 450
	case 5:
		return FirstTimestamp + 40*(index-3)
	}
	return FirstTimestamp + 40*index
}

// OfPartition returns the records of one partition.
func OfPartition(all []Record, partition int32) []Record {
	var chosen []Record
	for _, record := range all {
		if record.Partition == partition {
			chosen = append(chosen, record)
		}
	}
	return chosen
}

// OffsetForTime is the first offset of a partition's records whose timestamp is at least the given one, or -1.
func OffsetForTime(partition []Record, timestamp int64) int64 {
	for _, record := range partition {
		if record.Timestamp >= timestamp {
			return record.Offset
		}
	}
	return -1
}

// Sort orders records by partition and offset.
func Sort(all []Record) {
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i], all[j]
		return a.Partition < b.Partition || a.Partition == b.Partition && a.Offset < b.Offset
	})
}

// File returns the lines of the generated file.
func File() [][]byte {
	random := xorshift(1)
	lines := make([][]byte, FileLines)
	for i := range lines {
		lines[i] = fmt.Appendf(nil, "%08d line of a real file %08x %08x %08x %08x",
			i, random.next(), random.next(), random.next(), random.next())
	}
	return lines
}
