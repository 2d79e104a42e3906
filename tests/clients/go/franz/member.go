package franz

import (
	"context"
	"time"

	"flumen.tests/clients/member"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var balancers = map[string]kgo.GroupBalancer{
	"range":              kgo.RangeBalancer(),
	"roundrobin":         kgo.RoundRobinBalancer(),
	"sticky":             kgo.StickyBalancer(),
	"cooperative-sticky": kgo.CooperativeStickyBalancer(),
	"uniform":            kgo.StickyBalancer(),
}

// Member consumes until it is told to close.
func Member(bootstrap string, options member.Options, closing <-chan struct{}) error {
	reset := kgo.NewOffset().AtStart()
	if options["reset"] == "latest" {
		reset = kgo.NewOffset().AtEnd()
	}
	tell := func(event string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			member.TellPartitions(event, partitions)
		}
	}
	settings := []kgo.Opt{
		kgo.SeedBrokers(bootstrap),
		kgo.ConsumerGroup(options["group"]),
		kgo.ConsumeTopics(options.Topics()...),
		kgo.Balancers(balancers[options["assignor"]]),
		kgo.ConsumeResetOffset(reset),
		kgo.SessionTimeout(options.Session()),
		kgo.HeartbeatInterval(member.Heartbeat),
		kgo.MetadataMinAge(member.MetadataAge / 10),
		kgo.MetadataMaxAge(member.MetadataAge),
		kgo.FetchMaxWait(member.FetchWait),
		kgo.AutoCommitInterval(member.CommitInterval),
		kgo.AutoCommitCallback(committed),
		kgo.OnPartitionsAssigned(tell("assigned")),
		kgo.OnPartitionsRevoked(tell("revoked")),
		kgo.OnPartitionsLost(tell("lost")),
	}
	if options["protocol"] == "consumer" {
		settings = append(settings, kgo.ServerSideBalancer())
	}
	if options["instance"] != "" {
		settings = append(settings, kgo.InstanceID(options["instance"]))
	}
	if options["commit"] != "auto" {
		settings = append(settings, kgo.DisableAutoCommit())
	}
	client, err := kgo.NewClient(settings...)
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		select {
		case <-closing:
			return nil
		default:
			poll(client, options["commit"])
		}
	}
}

func poll(client *kgo.Client, commit string) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	fetches := client.PollFetches(ctx)
	fetches.EachPartition(func(partition kgo.FetchTopicPartition) {
		all := []any{}
		for _, record := range partition.Records {
			all = append(all, member.Record(record.Offset, record.Value))
		}
		if len(all) > 0 {
			member.Tell("records", "partition", member.Name(partition.Topic, partition.Partition), "records", all)
		}
	})
	// What a commit failed for is committed again: the client does not do that by itself.
	offsets := client.UncommittedOffsets()
	switch {
	case len(offsets) == 0:
	case commit == "sync":
		client.CommitOffsetsSync(context.Background(), offsets, committed)
	case commit == "async":
		client.CommitOffsets(context.Background(), offsets, committed)
	}
}

func committed(_ *kgo.Client, request *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
	if err != nil {
		return
	}
	offsets := map[string]int64{}
	for at, topic := range request.Topics {
		for of, partition := range topic.Partitions {
			if response.Topics[at].Partitions[of].ErrorCode == 0 {
				offsets[member.Name(topic.Topic, partition.Partition)] = partition.Offset
			}
		}
	}
	member.Tell("committed", "offsets", offsets)
}
