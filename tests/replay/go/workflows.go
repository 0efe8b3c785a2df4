package main

import (
	"errors"
	"fmt"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

var word = temporal.NewSearchAttributeKeyKeyword("ReplayWord")

// expect fails the run, without a retry, where the server has not done what a step asks for.
func expect(holds bool, what string) error {
	if holds {
		return nil
	}
	return temporal.NewNonRetryableApplicationError("unexpected: "+what, "Unexpected", nil)
}

// GoLife is one run with everything a worker can ask for; it goes on as a new run until lives is 1.
func GoLife(ctx workflow.Context, lives int) (string, error) {
	heard, err := listen(ctx)
	if err != nil {
		return "", err
	}
	steps := []func(workflow.Context) error{activities, localActivities, timers, versions, attributes, children, strangers}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return "", err
		}
	}
	if err := workflow.Await(ctx, func() bool { return len(heard.words) >= 2 && workflow.AllHandlersFinished(ctx) }); err != nil {
		return "", err
	}
	if lives > 1 {
		return "", workflow.NewContinueAsNewError(ctx, GoLife, lives-1)
	}
	return heard.words[0], nil
}

type hearing struct{ words []string }

// listen answers queries and updates, and hears signals.
func listen(ctx workflow.Context) (*hearing, error) {
	heard := &hearing{}
	if err := workflow.SetQueryHandler(ctx, "heard", func() ([]string, error) { return heard.words, nil }); err != nil {
		return nil, err
	}
	add := func(ctx workflow.Context, number int) (int, error) {
		err := workflow.ExecuteActivity(briefly(ctx, 3), Shaky, int32(1)).Get(ctx, nil)
		return number + 1, err
	}
	positive := func(number int) error {
		if number < 0 {
			return errors.New("negative")
		}
		return nil
	}
	err := workflow.SetUpdateHandlerWithOptions(ctx, "add", add, workflow.UpdateHandlerOptions{Validator: positive})
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var word string
			workflow.GetSignalChannel(ctx, "hear").Receive(ctx, &word)
			heard.words = append(heard.words, word)
		}
	})
	return heard, err
}

func briefly(ctx workflow.Context, attempts int32) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 10 * time.Second,
		WaitForCancellation: true,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 20 * time.Millisecond, MaximumAttempts: attempts},
	})
}

// activities: one succeeds, one is retried, one fails for good, one times out, one is cancelled while it runs, one before it starts.
func activities(ctx workflow.Context) error {
	var tries []workflow.Future
	for fails := range int32(4) {
		tries = append(tries, workflow.ExecuteActivity(briefly(ctx, 3), Shaky, fails))
	}
	for fails, try := range tries {
		err := try.Get(ctx, nil)
		if err := expect((err == nil) == (fails < 3), fmt.Sprintf("an activity that fails %d times: %v", fails, err)); err != nil {
			return err
		}
	}
	short := workflow.WithStartToCloseTimeout(briefly(ctx, 1), 100*time.Millisecond)
	err := workflow.ExecuteActivity(short, Slow, time.Second).Get(ctx, nil)
	if err := expect(temporal.IsTimeoutError(err), fmt.Sprint("a slow activity: ", err)); err != nil {
		return err
	}
	running, cancel := workflow.WithCancel(briefly(ctx, 1))
	slow := workflow.ExecuteActivity(workflow.WithHeartbeatTimeout(running, 2*time.Second), Slow, 20*time.Second)
	nobody, forget := workflow.WithCancel(workflow.WithTaskQueue(briefly(ctx, 1), "nobody-polls-this"))
	unstarted := workflow.ExecuteActivity(nobody, Slow, time.Second)
	if err := workflow.Sleep(ctx, 50*time.Millisecond); err != nil {
		return err
	}
	cancel()
	forget()
	first, second := slow.Get(ctx, nil), unstarted.Get(ctx, nil)
	return expect(temporal.IsCanceledError(first) && temporal.IsCanceledError(second), fmt.Sprint("cancelled activities: ", first, second))
}

func localActivities(ctx workflow.Context) error {
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 10 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 10 * time.Millisecond, MaximumAttempts: 3},
	})
	for fails := range int32(4) {
		err := workflow.ExecuteLocalActivity(local, Shaky, fails).Get(ctx, nil)
		if err := expect((err == nil) == (fails < 3), fmt.Sprintf("a local activity that fails %d times: %v", fails, err)); err != nil {
			return err
		}
	}
	return nil
}

// timers: one fires, one is cancelled, one is cancelled in the task that starts it, one wakes an Await.
func timers(ctx workflow.Context) error {
	long, cancel := workflow.WithCancel(ctx)
	nap := workflow.NewTimerWithOptions(long, time.Hour, workflow.TimerOptions{Summary: "never fires"})
	if err := workflow.Sleep(ctx, 20*time.Millisecond); err != nil {
		return err
	}
	cancel()
	if err := expect(temporal.IsCanceledError(nap.Get(ctx, nil)), "a cancelled timer"); err != nil {
		return err
	}
	never, cancel := workflow.WithCancel(ctx)
	workflow.NewTimer(never, time.Hour)
	cancel()
	woken, err := workflow.AwaitWithTimeout(ctx, 20*time.Millisecond, func() bool { return false })
	return errors.Join(err, expect(!woken, "a condition that never holds"))
}

// versions: what a worker writes into the history for its own replay.
func versions(ctx workflow.Context) error {
	var random int64
	now := func(workflow.Context) any { return time.Now().UnixNano() }
	if err := workflow.SideEffect(ctx, now).Get(&random); err != nil {
		return err
	}
	same := func(a, b any) bool { return a == b }
	for range 3 {
		err := workflow.MutableSideEffect(ctx, "parity", func(workflow.Context) any { return random % 2 }, same).Get(&random)
		if err != nil {
			return err
		}
	}
	if workflow.GetVersion(ctx, "a-change", workflow.DefaultVersion, 2) == 2 {
		return workflow.Sleep(ctx, 10*time.Millisecond)
	}
	return nil
}

func attributes(ctx workflow.Context) error {
	if err := workflow.UpsertTypedSearchAttributes(ctx, word.ValueSet("going")); err != nil {
		return err
	}
	if err := workflow.UpsertMemo(ctx, map[string]any{"stage": 2}); err != nil {
		return err
	}
	if err := workflow.Sleep(ctx, 10*time.Millisecond); err != nil {
		return err
	}
	return workflow.UpsertTypedSearchAttributes(ctx, word.ValueUnset())
}

// GoChild naps and returns how often, or fails if it is to nap less than no time. A nap ends early when it is woken; many
// are one long one.
func GoChild(ctx workflow.Context, naps int) (int, error) {
	if naps < 0 {
		return 0, temporal.NewApplicationError("no naps", "Naps")
	}
	times, length := naps, 10*time.Millisecond
	if naps > 100 {
		times, length = 2, time.Duration(naps)*length
	}
	for range times {
		timer := workflow.NewTimer(ctx, length)
		selector := workflow.NewSelector(ctx).AddFuture(timer, func(workflow.Future) {})
		selector.AddReceive(workflow.GetSignalChannel(ctx, "wake"), func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) })
		selector.Select(ctx)
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
	return naps, nil
}

// unique is no part of the run's id: a reset's run goes on with the children it finds in its history.
func unique(ctx workflow.Context) (name string, err error) {
	now := func(workflow.Context) any { return fmt.Sprintf("child-go-%d", time.Now().UnixNano()) }
	err = workflow.SideEffect(ctx, now).Get(&name)
	return name, err
}

func isTaken(err error) bool {
	var taken *temporal.ChildWorkflowExecutionAlreadyStartedError
	return errors.As(err, &taken)
}

// begun waits for a child's start. In a run that a reset made, the child of the run before may still be there.
func begun(ctx workflow.Context, child workflow.ChildWorkflowFuture) (bool, error) {
	err := child.GetChildWorkflowExecution().Get(ctx, nil)
	if isTaken(err) {
		return false, nil
	}
	return err == nil, err
}

// children: with results and failures, cancelled, of an id that is taken, and left to each close policy.
func children(ctx workflow.Context) error {
	name, err := unique(ctx)
	if err != nil {
		return err
	}
	start := func(ctx workflow.Context, id string, policy enums.ParentClosePolicy, naps int) workflow.ChildWorkflowFuture {
		options := workflow.ChildWorkflowOptions{WorkflowID: name + id, ParentClosePolicy: policy, WaitForCancellation: true}
		return workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), GoChild, naps)
	}
	const end = enums.PARENT_CLOSE_POLICY_TERMINATE
	for naps := -1; naps < 3; naps++ {
		err := start(ctx, fmt.Sprint("-", naps), end, naps).Get(ctx, nil)
		if err := expect((err != nil) == (naps < 0), fmt.Sprintf("a child of %d naps: %v", naps, err)); err != nil {
			return err
		}
	}
	cancelled, cancel := workflow.WithCancel(ctx)
	child := start(cancelled, "-cancelled", end, 1000)
	if err := child.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		return err
	}
	again := start(ctx, "-cancelled", end, 1).Get(ctx, nil)
	if err := expect(isTaken(again), fmt.Sprint("a taken id: ", again)); err != nil {
		return err
	}
	if err := child.SignalChildWorkflow(ctx, "wake", nil).Get(ctx, nil); err != nil {
		return err
	}
	cancel()
	if err := expect(temporal.IsCanceledError(child.Get(ctx, nil)), "a cancelled child"); err != nil {
		return err
	}
	policies := []enums.ParentClosePolicy{end, enums.PARENT_CLOSE_POLICY_REQUEST_CANCEL, enums.PARENT_CLOSE_POLICY_ABANDON}
	for _, policy := range policies {
		if _, err := begun(ctx, start(ctx, "-"+policy.String(), policy, 300)); err != nil {
			return err
		}
	}
	return nil
}

// strangers: signals and cancel requests by id, to workflows that are there and not there.
func strangers(ctx workflow.Context) error {
	id, err := unique(ctx)
	if err != nil {
		return err
	}
	options := workflow.ChildWorkflowOptions{WorkflowID: id, ParentClosePolicy: enums.PARENT_CLOSE_POLICY_ABANDON}
	child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), GoChild, 1000)
	if fresh, err := begun(ctx, child); err != nil || !fresh {
		return err
	}
	if err := workflow.SignalExternalWorkflow(ctx, id, "", "wake", nil).Get(ctx, nil); err != nil {
		return err
	}
	if err := workflow.RequestCancelExternalWorkflow(ctx, id, "").Get(ctx, nil); err != nil {
		return err
	}
	signal := workflow.SignalExternalWorkflow(ctx, id+"-nobody", "", "wake", nil).Get(ctx, nil)
	cancel := workflow.RequestCancelExternalWorkflow(ctx, id+"-nobody", "").Get(ctx, nil)
	return expect(signal != nil && cancel != nil, "messages to nobody")
}

// GoCancelled waits until it is cancelled, and cleans up.
func GoCancelled(ctx workflow.Context) error {
	err := workflow.Sleep(ctx, time.Hour)
	if temporal.IsCanceledError(err) {
		after, _ := workflow.NewDisconnectedContext(ctx)
		if err := workflow.ExecuteActivity(briefly(after, 3), Shaky, int32(1)).Get(after, nil); err != nil {
			return err
		}
	}
	return err
}

// GoFailing fails until its third attempt.
func GoFailing(ctx workflow.Context) (int32, error) {
	attempt := workflow.GetInfo(ctx).Attempt
	if err := workflow.Sleep(ctx, 10*time.Millisecond); err != nil {
		return 0, err
	}
	if attempt < 3 {
		return 0, temporal.NewApplicationError("not yet", "NotYet")
	}
	return attempt, nil
}
