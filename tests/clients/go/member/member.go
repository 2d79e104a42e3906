// Package member holds what the group members of every Go library share. A member is a process of its own, driven by the
// suite `groups`, whose README tells options and events.
package member

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Intervals that let a member notice changes soon.
const (
	CommitInterval = 200 * time.Millisecond
	MetadataAge    = time.Second
	Heartbeat      = 300 * time.Millisecond
	FetchWait      = 100 * time.Millisecond
)

// Options are what the member is to do.
type Options map[string]string

// Parse reads NAME=VALUE arguments.
func Parse(arguments []string) Options {
	options := Options{}
	for _, argument := range arguments {
		name, value, _ := strings.Cut(argument, "=")
		options[name] = value
	}
	return options
}

// Topics to subscribe to.
func (o Options) Topics() []string { return strings.Split(o["topics"], ",") }

// Session is the session timeout.
func (o Options) Session() time.Duration {
	milliseconds, _ := strconv.Atoi(o["session"])
	return time.Duration(milliseconds) * time.Millisecond
}

// Closing returns a channel that closes when the member is told to close, or when its standard input ends.
func Closing() <-chan struct{} {
	closing := make(chan struct{})
	go func() {
		defer close(closing)
		for lines := bufio.NewScanner(os.Stdin); lines.Scan() && lines.Text() != "close"; {
		}
	}()
	return closing
}

var output sync.Mutex

// Tell prints an event: pairs of a name and a value.
func Tell(event string, details ...any) {
	all := map[string]any{"event": event}
	for at := 0; at+1 < len(details); at += 2 {
		all[details[at].(string)] = details[at+1]
	}
	line, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(line))
}

// Name names a partition.
func Name(topic string, partition int32) string { return fmt.Sprintf("%s-%d", topic, partition) }

// TellPartitions prints an event about partitions.
func TellPartitions(event string, partitions map[string][]int32) {
	names := []string{}
	for topic, all := range partitions {
		for _, partition := range all {
			names = append(names, Name(topic, partition))
		}
	}
	Tell(event, "partitions", names)
}

// Record is how a record is told.
func Record(offset int64, value []byte) []any { return []any{offset, string(value)} }
