package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/common/v1"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
)

const queue = "replay-go"

var workflows = []any{GoLife, GoChild, GoCancelled, GoFailing}

// live runs so many lives with a worker that keeps runs in its cache, and as many with one that replays at every task.
func live(count int) error {
	logger := sdklog.NewStructuredLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError + 4})))
	c, err := client.Dial(client.Options{HostPort: os.Getenv("EVERSTEP_ADDRESS"), Logger: logger})
	if err != nil {
		return err
	}
	defer c.Close()
	for _, cached := range []int{1000, 0} {
		worker.SetStickyWorkflowCacheSize(cached)
		if err := liveWith(c, count); err != nil {
			return err
		}
	}
	fmt.Printf("%d lives lived in Go\n", 2*count)
	return nil
}

func liveWith(c client.Client, count int) error {
	w := worker.New(c, queue, worker.Options{})
	for _, workflow := range workflows {
		w.RegisterWorkflow(workflow)
	}
	w.RegisterActivity(Shaky)
	w.RegisterActivity(Slow)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	ended := make(chan error)
	for range count {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			ended <- errors.Join(life(ctx, c), others(ctx, c))
		}()
	}
	var all error
	for range count {
		all = errors.Join(all, <-ended)
	}
	return all
}

// life: two runs of one workflow, paused, updated, queried and signalled, and then reset in its middle.
func life(ctx context.Context, c client.Client) error {
	id := "life-go-" + uuid.NewString()[:6]
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: queue}, GoLife, 2)
	if err != nil {
		return err
	}
	first := run.GetRunID()
	if err := pause(ctx, c, id); err != nil {
		return err
	}
	if err := update(ctx, c, id); err != nil {
		return err
	}
	if _, err := c.QueryWorkflow(ctx, id, "", "heard"); err != nil {
		return err
	}
	if err := hearUntilEnd(ctx, c, run); err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	made, err := reset(ctx, c, id, first)
	if err != nil {
		return fmt.Errorf("reset of %s: %w", id, err)
	}
	return hearUntilEnd(ctx, c, c.GetWorkflow(ctx, id, made))
}

func pause(ctx context.Context, c client.Client, id string) error {
	_, err := c.WorkflowService().PauseWorkflowExecution(ctx, &workflowservice.PauseWorkflowExecutionRequest{
		Namespace: "default", WorkflowId: id, Reason: "replay", RequestId: uuid.NewString(),
	})
	if err != nil {
		return err
	}
	time.Sleep(50 * time.Millisecond)
	_, err = c.WorkflowService().UnpauseWorkflowExecution(ctx, &workflowservice.UnpauseWorkflowExecutionRequest{
		Namespace: "default", WorkflowId: id, Reason: "replay", RequestId: uuid.NewString(),
	})
	return err
}

func update(ctx context.Context, c client.Client, id string) error {
	for _, number := range []int{41, -1} {
		options := client.UpdateWorkflowOptions{
			WorkflowID: id, UpdateName: "add", Args: []any{number}, WaitForStage: client.WorkflowUpdateStageCompleted,
		}
		handle, err := c.UpdateWorkflow(ctx, options)
		if err != nil {
			return err
		}
		var sum int
		err = handle.Get(ctx, &sum)
		var refused *temporal.ApplicationError
		if number < 0 && errors.As(err, &refused) || err == nil && sum == number+1 {
			continue
		}
		return fmt.Errorf("an update with %d: %d, %w", number, sum, err)
	}
	return nil
}

// hearUntilEnd signals until the last run has ended.
func hearUntilEnd(ctx context.Context, c client.Client, run client.WorkflowRun) error {
	ended := make(chan error, 1)
	go func() { ended <- run.Get(ctx, nil) }()
	for {
		// It may have ended meanwhile.
		_ = c.SignalWorkflow(ctx, run.GetID(), "", "hear", "a")
		select {
		case err := <-ended:
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// reset of a run in its middle; the id of the run made.
func reset(ctx context.Context, c client.Client, id, run string) (string, error) {
	var points []int64
	events := c.GetWorkflowHistory(ctx, id, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return "", err
		}
		if event.EventType == enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			points = append(points, event.EventId)
		}
	}
	answer, err := c.ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{
		Namespace:                 "default",
		WorkflowExecution:         &common.WorkflowExecution{WorkflowId: id, RunId: run},
		Reason:                    "replay",
		RequestId:                 uuid.NewString(),
		WorkflowTaskFinishEventId: points[len(points)/2],
	})
	return answer.GetRunId(), err
}

// others: a run that is retried, one that is cancelled, one that is terminated, one that times out.
func others(ctx context.Context, c client.Client) error {
	start := func(options client.StartWorkflowOptions, workflow any) (client.WorkflowRun, error) {
		options.ID, options.TaskQueue = "other-go-"+uuid.NewString()[:6], queue
		return c.ExecuteWorkflow(ctx, options, workflow)
	}
	retry := &temporal.RetryPolicy{InitialInterval: 10 * time.Millisecond}
	failing, err := start(client.StartWorkflowOptions{RetryPolicy: retry}, GoFailing)
	if err != nil {
		return err
	}
	late, err := start(client.StartWorkflowOptions{WorkflowRunTimeout: time.Second}, GoCancelled)
	if err != nil {
		return err
	}
	cancelled, err := start(client.StartWorkflowOptions{}, GoCancelled)
	if err != nil {
		return err
	}
	if err := c.CancelWorkflow(ctx, cancelled.GetID(), ""); err != nil {
		return err
	}
	if err := failing.Get(ctx, nil); err != nil {
		return err
	}
	if err := cancelled.Get(ctx, nil); !temporal.IsCanceledError(errors.Unwrap(err)) {
		return fmt.Errorf("a cancelled run: %w", err)
	}
	if err := late.Get(ctx, nil); !temporal.IsTimeoutError(errors.Unwrap(err)) {
		return fmt.Errorf("a run out of time: %w", err)
	}
	terminated, err := start(client.StartWorkflowOptions{}, GoCancelled)
	if err != nil {
		return err
	}
	return c.TerminateWorkflow(ctx, terminated.GetID(), "", "replay")
}
