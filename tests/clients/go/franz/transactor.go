package franz

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	copierSession      = 10 * time.Second
	copiesATransaction = 50
)

// Transactor does what each line of its standard input says, and answers with a line.
func Transactor(bootstrap, transactionalID, timeoutMs string) error {
	timeout, err := strconv.Atoi(timeoutMs)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap),
		kgo.TransactionalID(transactionalID),
		kgo.TransactionTimeout(time.Duration(timeout)*time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch err := transact(client, strings.Fields(lines.Text())); {
		case err == nil:
			fmt.Println("ok")
		case errors.Is(err, kerr.ProducerFenced), errors.Is(err, kerr.InvalidProducerEpoch):
			fmt.Println("fenced")
		default:
			fmt.Println("error", err)
		}
	}
	return nil
}

func transact(client *kgo.Client, words []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch words[0] {
	case "init":
		_, _, err := client.ProducerID(ctx)
		return err
	case "begin":
		return client.BeginTransaction()
	case "send":
		partition, err := strconv.ParseInt(words[2], 10, 32)
		if err != nil {
			return err
		}
		record := &kgo.Record{Topic: words[1], Partition: int32(partition), Value: []byte(words[3])}
		return client.ProduceSync(ctx, record).FirstErr()
	case "flush":
		return client.Flush(ctx)
	case "offsets":
		return sendOffsets(ctx, client, words[1], words[2], words[3], words[4])
	case "commit":
		return client.EndTransaction(ctx, kgo.TryCommit)
	case "abort":
		return client.EndTransaction(ctx, kgo.TryAbort)
	}
	return fmt.Errorf("unknown command %s", words[0])
}

// sendOffsets asks by hand, since a group member alone has an API for it.
func sendOffsets(ctx context.Context, client *kgo.Client, group, topic, partition, offset string) error {
	number, err := strconv.ParseInt(partition, 10, 32)
	if err != nil {
		return err
	}
	at, err := strconv.ParseInt(offset, 10, 64)
	if err != nil {
		return err
	}
	id, epoch, err := client.ProducerID(ctx)
	if err != nil {
		return err
	}
	transactionalID, _ := client.OptValue(kgo.TransactionalID).(string)
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = transactionalID, id, epoch, group
	added, err := add.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(added.ErrorCode); err != nil {
		return err
	}
	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.TransactionalID, commit.ProducerID, commit.ProducerEpoch, commit.Group = transactionalID, id, epoch, group
	commit.Generation = -1
	told := kmsg.NewTxnOffsetCommitRequestTopic()
	told.Topic = topic
	place := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	place.Partition, place.Offset = int32(number), at
	told.Partitions = append(told.Partitions, place)
	commit.Topics = append(commit.Topics, told)
	committed, err := commit.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(committed.Topics[0].Partitions[0].ErrorCode)
}

// Copier copies records to the same partition of another topic, with their offsets in the same transactions, until it is killed.
func Copier(bootstrap, source, target, group, instance string) error {
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(bootstrap),
		kgo.TransactionalID(instance),
		kgo.TransactionTimeout(copierSession),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ConsumerGroup(group),
		kgo.InstanceID(instance),
		kgo.SessionTimeout(copierSession),
		kgo.HeartbeatInterval(300*time.Millisecond),
		kgo.ConsumeTopics(source),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RequireStableFetchOffsets(),
		kgo.MetadataMinAge(100*time.Millisecond),
	)
	if err != nil {
		return err
	}
	defer session.Close()
	for {
		fetches := session.PollRecords(context.Background(), copiesATransaction)
		if fetches.NumRecords() == 0 {
			continue
		}
		if err := session.Begin(); err != nil {
			return err
		}
		failed := kgo.AbortingFirstErrPromise(session.Client())
		fetches.EachRecord(func(record *kgo.Record) {
			copied := &kgo.Record{Topic: target, Partition: record.Partition, Value: record.Value}
			session.Produce(context.Background(), copied, failed.Promise())
		})
		if _, err := session.End(context.Background(), failed.Err() == nil); err != nil {
			return err
		}
	}
}
