// Workflows in Go that leave histories for the replayer (tests/replay/README.md).
//
//	life COUNT          runs so many, cached and not, on the server at $EVERSTEP_ADDRESS
//	life replay FILE…   replays histories that export.py wrote
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strconv"
	"time"

	"go.temporal.io/sdk/activity"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
)

// Shaky fails so many times.
func Shaky(ctx context.Context, fails int32) (int32, error) {
	attempt := activity.GetInfo(ctx).Attempt
	if attempt <= fails {
		return 0, temporal.NewApplicationError("not yet", "NotYet")
	}
	return attempt, nil
}

// Slow lasts so long, or until it is cancelled.
func Slow(ctx context.Context, duration time.Duration) error {
	end := time.After(duration)
	for {
		select {
		case <-end:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
			activity.RecordHeartbeat(ctx, "still there")
		}
	}
}

func replay(files []string) error {
	replayer := worker.NewWorkflowReplayer()
	for _, workflow := range workflows {
		replayer.RegisterWorkflow(workflow)
	}
	logger := sdklog.NewStructuredLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	for _, file := range files {
		if err := replayer.ReplayWorkflowHistoryFromJSONFile(logger, file); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	fmt.Printf("Go: %d histories replayed\n", len(files))
	return nil
}

func main() {
	var err error
	if len(os.Args) > 2 && os.Args[1] == "replay" {
		err = replay(os.Args[2:])
	} else if len(os.Args) == 2 {
		var count int
		if count, err = strconv.Atoi(os.Args[1]); err == nil {
			err = live(count)
		}
	} else {
		err = fmt.Errorf("usage: life COUNT | life replay FILE…")
	}
	if err != nil {
		log.Fatal(err)
	}
}
