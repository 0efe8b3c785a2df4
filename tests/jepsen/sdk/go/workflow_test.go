package main

import (
	"strings"
	"testing"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const begun = `{"events": [
  {"eventId": "1", "eventType": "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED", "workflowExecutionStartedEventAttributes": {
    "workflowType": {"name": "sdk-sum"}, "taskQueue": {"name": "sdk-go"}, "originalExecutionRunId": "r",
    "input": {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "Ng=="}]}}},
  {"eventId": "2", "eventType": "EVENT_TYPE_WORKFLOW_TASK_SCHEDULED", "workflowTaskScheduledEventAttributes": {}},
  {"eventId": "3", "eventType": "EVENT_TYPE_WORKFLOW_TASK_STARTED",
    "workflowTaskStartedEventAttributes": {"scheduledEventId": "2"}},
  {"eventId": "4", "eventType": "EVENT_TYPE_WORKFLOW_TASK_COMPLETED",
    "workflowTaskCompletedEventAttributes": {"scheduledEventId": "2", "startedEventId": "3"}},
  `

const activity5 = `{"eventId": "5", "eventType": "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED", "activityTaskScheduledEventAttributes": {
    "activityId": "5", "activityType": {"name": "double"}, "workflowTaskCompletedEventId": "4"}}]}`

const timer5 = `{"eventId": "5", "eventType": "EVENT_TYPE_TIMER_STARTED", "timerStartedEventAttributes": {
    "timerId": "5", "startToFireTimeout": "1s", "workflowTaskCompletedEventId": "4"}}]}`

func replayed(t *testing.T, events string) error {
	history, err := client.HistoryFromJSON(strings.NewReader(begun+events), client.HistoryJSONOptions{})
	if err != nil {
		t.Fatal(err)
	}
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflowWithOptions(sum, workflow.RegisterOptions{Name: "sdk-sum"})
	return replayer.ReplayWorkflowHistory(nil, history)
}

// What the harness looks for in this program's log (src/workload/sdk.rs) is what the SDK says.
func TestAReplayThatDiffersIsNamed(t *testing.T) {
	if err := replayed(t, activity5); err != nil {
		t.Fatal(err)
	}
	err := replayed(t, timer5)
	if err == nil || !strings.Contains(err.Error(), "TMPRL1100") {
		t.Fatal(err)
	}
}
