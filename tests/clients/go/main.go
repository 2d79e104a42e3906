// The suite of the Go clients:
//
//	--bootstrap HOST:PORT [--client franz|sarama] [--only TEXT]          all cases, or those whose name contains the text
//	--bootstrap HOST:PORT --client NAME write TOPIC:SEED:CODEC...        sends generated records to new topics
//	--bootstrap HOST:PORT --client NAME verify TOPIC:SEED...             reads them back, whoever wrote them
//	--bootstrap HOST:PORT --client NAME member NAME=VALUE...             becomes a member of a group
//	--bootstrap HOST:PORT transactor ID TIMEOUT_MS                       a transactional producer that does what it is told
//	--bootstrap HOST:PORT copier INPUT OUTPUT GROUP ID                   copies records in transactions
package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"flumen.tests/clients/cases"
	"flumen.tests/clients/franz"
	"flumen.tests/clients/member"
	"flumen.tests/clients/saramaclient"
)

func main() {
	bootstrap := flag.String("bootstrap", "", "HOST:PORT of the broker")
	chosen := flag.String("client", "", "franz or sarama; both without it")
	only := flag.String("only", "", "run the cases whose name contains this")
	flag.Parse()
	if *bootstrap == "" {
		flag.Usage()
		os.Exit(2)
	}
	switch flag.Arg(0) {
	case "member":
		os.Exit(runMember(*bootstrap, *chosen))
	case "transactor":
		exit(franz.Transactor(*bootstrap, flag.Arg(1), flag.Arg(2)))
	case "copier":
		exit(franz.Copier(*bootstrap, flag.Arg(1), flag.Arg(2), flag.Arg(3), flag.Arg(4)))
	}
	report := &cases.Report{Suite: "go", Only: *only}
	opened := 0
	for _, open := range []func(string) (cases.Client, error){franz.New, saramaclient.New} {
		client, err := open(*bootstrap)
		if err != nil {
			fmt.Fprintln(os.Stderr, "go: cannot connect:", err)
			os.Exit(1)
		}
		if *chosen == "" || *chosen == client.Name() {
			opened++
			runClient(report, client, flag.Args())
		}
		client.Close()
	}
	if opened == 0 {
		fmt.Fprintln(os.Stderr, "go: no client is named", *chosen)
		os.Exit(2)
	}
	os.Exit(report.Finish())
}

// exit ends the process of something that was to be done.
func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "go:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runMember(bootstrap, client string) int {
	run := franz.Member
	if client == "sarama" {
		run = saramaclient.Member
	}
	if err := run(bootstrap, member.Parse(flag.Args()[1:]), member.Closing()); err != nil {
		fmt.Fprintln(os.Stderr, "go: the member failed:", err)
		return 1
	}
	member.Tell("closed")
	return 0
}

func runClient(report *cases.Report, client cases.Client, arguments []string) {
	if len(arguments) == 0 {
		cases.RunAll(report, client)
		return
	}
	for _, place := range arguments[1:] {
		report.Run(client.Name()+"/"+arguments[0]+" "+place, func() error { return exchange(client, arguments[0], place) })
	}
}

// exchange writes or verifies TOPIC:SEED[:CODEC].
func exchange(client cases.Client, verb, place string) error {
	parts := append(strings.Split(place, ":"), "none")
	seed, err := strconv.ParseUint(parts[1], 10, 32)
	switch {
	case err != nil:
		return err
	case verb == "write":
		return cases.Write(client, parts[0], uint32(seed), parts[2])
	case verb == "verify":
		return cases.Verify(client, parts[0], uint32(seed))
	}
	return fmt.Errorf("unknown verb %s", verb)
}
