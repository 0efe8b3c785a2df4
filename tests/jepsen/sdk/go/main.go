// A real SDK worker with a client of its own, through one node, while the harness breaks the cluster: what worker.py is,
// with the SDK for Go.
//
// Starts workflows of its own, one after the other on each of a few lanes, and waits for their results. The worker caches
// nothing, so that every workflow task replays the history, and a replay that differs fails the workflow. Writes one JSON
// line for each workflow, with what it should have answered and what it did, to a file. Ends when its standard input does.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"sync"

	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
)

const (
	lanes = 3
	// One for all workers in this language: a workflow moves between them.
	queue = "sdk-go"
)

type options struct{ address, namespace, name, out string }

func parse() options {
	var o options
	flag.StringVar(&o.address, "address", "", "of a node")
	flag.StringVar(&o.namespace, "namespace", "", "of the workflows")
	flag.StringVar(&o.name, "name", "", "begins the ids of this worker's workflows")
	flag.StringVar(&o.out, "out", "", "the file of JSON lines")
	flag.Parse()
	return o
}

func run(o options) error {
	out, err := os.Create(o.out)
	if err != nil {
		return err
	}
	defer out.Close()
	logger := sdklog.NewStructuredLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	c, err := client.Dial(client.Options{HostPort: o.address, Namespace: o.namespace, Logger: logger})
	if err != nil {
		return err
	}
	defer c.Close()
	worker.SetStickyWorkflowCacheSize(0)
	w := worker.New(c, queue, worker.Options{
		WorkflowPanicPolicy: worker.FailWorkflow,
		OnFatalError:        func(err error) { log.Fatal(err) },
	})
	register(w)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()

	stop := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // Its end is all it says.
		close(stop)
	}()
	lines := lines{out: out}
	var working sync.WaitGroup
	for number := range lanes {
		working.Go(func() { lane(c, fmt.Sprintf("%s-%d", o.name, number), stop, &lines) })
	}
	working.Wait()
	return lines.failed
}

func main() {
	if err := run(parse()); err != nil {
		log.Fatal(err)
	}
}
