// The smallest complete program: one workflow, one activity, a worker and a client in one process.
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const taskQueue = "greeting-go"

// Greet is the activity.
func Greet(_ context.Context, name string) (string, error) {
	return fmt.Sprintf("Hello, %s!", name), nil
}

// Greeting is the workflow.
func Greeting(ctx workflow.Context, name string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Second})
	var result string
	err := workflow.ExecuteActivity(ctx, Greet, name).Get(ctx, &result)
	return result, err
}

func run() error {
	address := os.Getenv("EVERSTEP_ADDRESS")
	if address == "" {
		address = "localhost:7233"
	}
	logger := sdklog.NewStructuredLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	c, err := client.Dial(client.Options{HostPort: address, Logger: logger})
	if err != nil {
		return err
	}
	defer c.Close()

	w := worker.New(c, taskQueue, worker.Options{})
	w.RegisterWorkflow(Greeting)
	w.RegisterActivity(Greet)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()

	options := client.StartWorkflowOptions{ID: "greeting-go-" + uuid.NewString()[:6], TaskQueue: taskQueue}
	execution, err := c.ExecuteWorkflow(context.Background(), options, Greeting, "Go")
	if err != nil {
		return err
	}
	var result string
	if err := execution.Get(context.Background(), &result); err != nil {
		return err
	}
	fmt.Println(result)
	return nil
}

func main() {
	do := run
	if len(os.Args) > 2 && os.Args[1] == "replay" {
		do = func() error { return replay(os.Args[2:]) }
	}
	if err := do(); err != nil {
		log.Fatal(err)
	}
}
