package saramaclient

import (
	"context"
	"io"
	"log"

	"flumen.tests/clients/member"
	"github.com/IBM/sarama"
)

var strategies = map[string]sarama.BalanceStrategy{
	"range":      sarama.NewBalanceStrategyRange(),
	"roundrobin": sarama.NewBalanceStrategyRoundRobin(),
	"sticky":     sarama.NewBalanceStrategySticky(),
}

// Member consumes until it is told to close.
func Member(bootstrap string, options member.Options, closing <-chan struct{}) error {
	sarama.Logger = log.New(io.Discard, "", 0)
	settings := config()
	settings.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategies[options["assignor"]]}
	settings.Consumer.Group.Session.Timeout = options.Session()
	settings.Consumer.Group.Heartbeat.Interval = member.Heartbeat
	settings.Consumer.Group.InstanceId = options["instance"]
	settings.Consumer.Offsets.AutoCommit.Enable = options["commit"] == "auto"
	settings.Consumer.Offsets.AutoCommit.Interval = member.CommitInterval
	settings.Consumer.Offsets.Initial = sarama.OffsetNewest
	if options["reset"] == "earliest" {
		settings.Consumer.Offsets.Initial = sarama.OffsetOldest
	}
	settings.Consumer.MaxWaitTime = member.FetchWait
	settings.Metadata.RefreshFrequency = member.MetadataAge
	group, err := sarama.NewConsumerGroup([]string{bootstrap}, options["group"], settings)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-closing
		cancel()
	}()
	for ctx.Err() == nil {
		// It returns at each rebalance, and with an error while the broker is away.
		if err := group.Consume(ctx, options.Topics(), handler{options["commit"]}); err != nil {
			member.Tell("error", "text", err.Error())
		}
	}
	return group.Close()
}

type handler struct {
	commit string
}

func (handler) Setup(session sarama.ConsumerGroupSession) error {
	member.TellPartitions("assigned", session.Claims())
	return nil
}

func (handler) Cleanup(session sarama.ConsumerGroupSession) error {
	member.TellPartitions("revoked", session.Claims())
	return nil
}

func (h handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	name := member.Name(claim.Topic(), claim.Partition())
	for {
		select {
		case <-session.Context().Done():
			return nil
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			member.Tell("records", "partition", name, "records", []any{member.Record(message.Offset, message.Value)})
			session.MarkMessage(message, "")
			if h.commit != "auto" {
				session.Commit()
				member.Tell("committed", "offsets", map[string]int64{name: message.Offset + 1})
			}
		}
	}
}
