package cases

import (
	"fmt"
	"maps"
	"slices"

	"flumen.tests/clients/records"
)

// Write creates the topic and sends it the generated records of the seed.
func Write(client Client, topic string, seed uint32, codec string) error {
	if err := client.CreateTopic(topic, records.Partitions, records.TopicConfigs, 1); err != nil {
		return err
	}
	sent := records.Generate(seed)
	if err := client.Produce(topic, sent, ProduceOptions{Codec: codec}); err != nil {
		return err
	}
	for i, wanted := range records.Generate(seed) {
		if !sent[i].Same(wanted) {
			return fmt.Errorf("acknowledged as %v, sent as %v", sent[i], wanted)
		}
	}
	return nil
}

// Verify reads a topic that holds the generated records of the seed, in every way.
func Verify(client Client, topic string, seed uint32) error {
	expected := records.Generate(seed)
	for partition := range int32(records.Partitions) {
		start, end, err := client.Watermarks(topic, partition)
		if err := first(err, equal(start, 0, "start offset"), equal(end, records.CountPerPartition, "end offset")); err != nil {
			return err
		}
	}
	for _, start := range []int64{0, records.MiddleOffset, records.CountPerPartition - 1} {
		if err := compareFrom(client, topic, start, expected); err != nil {
			return fmt.Errorf("from offset %d: %w", start, err)
		}
	}
	return compareTimes(client, topic, expected)
}

func compareFrom(client Client, topic string, start int64, expected []records.Record) error {
	starts := map[int32]int64{}
	var wanted []records.Record
	for partition := range int32(records.Partitions) {
		starts[partition] = start
		wanted = append(wanted, records.OfPartition(expected, partition)[start:]...)
	}
	actual, err := client.Read(topic, starts)
	if err != nil {
		return err
	}
	for i := range min(len(wanted), len(actual)) {
		if !actual[i].Same(wanted[i]) {
			return fmt.Errorf("expected %v; got %v", wanted[i], actual[i])
		}
	}
	return equal(len(actual), len(wanted), "number of records")
}

// compareTimes asks for every timestamp there is, and for one millisecond before and after it.
func compareTimes(client Client, topic string, expected []records.Record) error {
	times := map[int64]bool{}
	for _, record := range expected {
		for near := int64(-1); near <= 1; near++ {
			times[record.Timestamp+near] = true
		}
	}
	for _, timestamp := range slices.Sorted(maps.Keys(times)) {
		found, err := client.OffsetsForTime(topic, records.Partitions, timestamp)
		if err != nil {
			return err
		}
		for partition := range int32(records.Partitions) {
			wanted := records.OffsetForTime(records.OfPartition(expected, partition), timestamp)
			what := fmt.Sprintf("first offset of partition %d at or after %d", partition, timestamp)
			if err := equal(found[partition], wanted, what); err != nil {
				return err
			}
		}
	}
	return nil
}
