package main

import (
	"fmt"
	"log/slog"

	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
)

// replay runs the workflow's code against histories that were exported as JSON.
func replay(files []string) error {
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflow(Greeting)
	logger := sdklog.NewStructuredLogger(slog.Default())
	for _, file := range files {
		if err := replayer.ReplayWorkflowHistoryFromJSONFile(logger, file); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	fmt.Printf("Go: %d histories replayed\n", len(files))
	return nil
}
