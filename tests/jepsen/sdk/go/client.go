package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

const (
	retry = 100 * time.Millisecond
	// From the end of the load to the last result.
	finish = time.Minute
)

// told is a line of the file; worker.py writes the same.
type told struct {
	ID          string   `json:"id"`
	Expected    int      `json:"expected"`
	Result      *int     `json:"result,omitempty"`
	Error       string   `json:"error,omitempty"`
	FailedCalls []string `json:"failed_calls"`
	SlowestCall float64  `json:"slowest_call"`
	Seconds     float64  `json:"seconds"`
}

type lines struct {
	sync.Mutex
	out    *os.File
	failed error
}

func (l *lines) write(line told) {
	l.Lock()
	defer l.Unlock()
	l.failed = errors.Join(l.failed, json.NewEncoder(l.out).Encode(line))
}

func lane(c client.Client, name string, stop <-chan struct{}, lines *lines) {
	for number := 1; ; number++ {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan told, 1)
		go func() { ended <- one(ctx, c, fmt.Sprintf("%s-%d", name, number)) }()
		select {
		case line := <-ended:
			lines.write(line)
			cancel()
			continue
		case <-stop:
		}
		late := time.AfterFunc(finish, cancel)
		lines.write(<-ended)
		late.Stop()
		cancel()
		return
	}
}

// one workflow from its start to its result, or until the context ends.
func one(ctx context.Context, c client.Client, id string) told {
	began := time.Now()
	line := told{ID: id, Expected: expected(steps), FailedCalls: []string{}}
	err := line.answered(ctx, c)
	line.Seconds = time.Since(began).Seconds()
	switch {
	case err == nil:
	case ctx.Err() != nil:
		line.Error = fmt.Sprintf("no result %v after the end of the load: %v", finish, err)
	default:
		line.Error = err.Error()
	}
	return line
}

func (t *told) answered(ctx context.Context, c client.Client) error {
	began := time.Now()
	err := t.untilAnswered(ctx, func() error {
		// An id that was taken by an earlier try of ours is no error to this SDK: nobody else uses it.
		_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: t.ID, TaskQueue: queue}, "sdk-sum", steps)
		return err
	})
	if err != nil {
		return err
	}
	started := time.Now()
	tries := 0
	err = t.untilAnswered(ctx, func() error {
		tries++
		err := c.SignalWorkflow(ctx, t.ID, "", "go-on", nil)
		var gone *serviceerror.NotFound
		if tries > 1 && errors.As(err, &gone) {
			return nil // An earlier try arrived, and the workflow ended with it.
		}
		return err
	})
	if err != nil {
		return err
	}
	t.SlowestCall = max(started.Sub(began), time.Since(started)).Seconds()
	var result int
	if err := t.untilAnswered(ctx, func() error { return c.GetWorkflow(ctx, t.ID, "").Get(ctx, &result) }); err != nil {
		return err
	}
	t.Result = &result
	return nil
}

// untilAnswered repeats what the SDK gave up repeating, as an application would, and counts that. The end of the workflow
// and that of the context are answers.
func (t *told) untilAnswered(ctx context.Context, call func() error) error {
	for {
		err := call()
		var failed *temporal.WorkflowExecutionError
		if err == nil || ctx.Err() != nil || errors.As(err, &failed) {
			return err
		}
		t.FailedCalls = append(t.FailedCalls, err.Error())
		time.Sleep(retry)
	}
}
