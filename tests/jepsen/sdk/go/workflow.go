package main

import (
	"context"
	"math/rand/v2"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const steps = 6

func register(w worker.Worker) {
	w.RegisterWorkflowWithOptions(sum, workflow.RegisterOptions{Name: "sdk-sum"})
	w.RegisterActivityWithOptions(double, activity.RegisterOptions{Name: "double"})
}

func double(_ context.Context, number int) (int, error) { return 2 * number, nil }

// sum doubles numbers in activities, with pauses that chance decides on, and goes on in the middle when it is told to.
func sum(ctx workflow.Context, steps int) (int, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond, BackoffCoefficient: 1},
	})
	total := 0
	for step := range steps {
		var doubled int
		if err := workflow.ExecuteActivity(ctx, "double", step).Get(ctx, &doubled); err != nil {
			return 0, err
		}
		total += doubled
		var pause bool
		toss := func(workflow.Context) any { return rand.IntN(2) == 0 }
		if err := workflow.SideEffect(ctx, toss).Get(&pause); err != nil {
			return 0, err
		}
		if pause {
			if err := workflow.Sleep(ctx, time.Duration(step)*20*time.Millisecond); err != nil {
				return 0, err
			}
		}
		if step == steps/2 {
			workflow.GetSignalChannel(ctx, "go-on").Receive(ctx, nil)
		}
	}
	return total, nil
}

// expected is what sum has to answer.
func expected(steps int) int {
	total := 0
	for step := range steps {
		total += 2 * step
	}
	return total
}
