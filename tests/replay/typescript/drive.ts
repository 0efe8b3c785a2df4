// Workflows in TypeScript that leave histories for the replayer (tests/replay/README.md): node drive.js COUNT
import { randomUUID } from 'node:crypto';
import { Client, Connection, WithStartWorkflowOperation, WorkflowHandle, WorkflowStartOptions } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import * as activities from './activities';
import { add, hear, heard, tsCancelled, tsFailing, tsLife } from './workflows';

const address = process.env.EVERSTEP_ADDRESS ?? 'localhost:7233';
const taskQueue = 'replay-typescript';
const namespace = 'default';
const pause = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));
const name = (what: string) => `${what}-typescript-${randomUUID().slice(0, 6)}`;

async function fails(promise: Promise<unknown>, kind: string): Promise<void> {
  try {
    await promise;
  } catch (error) {
    const cause = (error as Error).cause as Error | undefined;
    if ([error as Error, cause].some((one) => one?.name === kind)) return;
    throw error;
  }
  throw new Error(`no ${kind}`);
}

/** Two runs of one workflow, paused, updated, queried and signalled, and then reset in its middle. */
async function life(client: Client): Promise<void> {
  const workflowId = name('life');
  const run = await client.workflow.start(tsLife, { workflowId, taskQueue, args: [2] });
  const service = client.connection.workflowService;
  await service.pauseWorkflowExecution({ namespace, workflowId, reason: 'replay', requestId: randomUUID() });
  await pause(50);
  await service.unpauseWorkflowExecution({ namespace, workflowId, reason: 'replay', requestId: randomUUID() });
  if ((await run.executeUpdate(add, { args: [41] })) !== 42) throw new Error('41 + 1');
  await fails(run.executeUpdate(add, { args: [-1] }), 'WorkflowUpdateFailedError');
  await run.query(heard);
  await hearUntilEnd(client, run);
  const made = await reset(client, workflowId, run.firstExecutionRunId);
  await hearUntilEnd(client, client.workflow.getHandle(workflowId, made));
}

/** Signals until the last run has ended. */
async function hearUntilEnd(client: Client, run: WorkflowHandle): Promise<void> {
  let ended = false;
  const result = run.result().finally(() => (ended = true));
  while (!ended) {
    // It may have ended meanwhile.
    await client.workflow.getHandle(run.workflowId).signal(hear, 'a').catch(() => undefined);
    await Promise.race([pause(200), result]);
  }
  await result;
}

async function reset(client: Client, workflowId: string, runId: string): Promise<string> {
  const { events } = await client.workflow.getHandle(workflowId, runId).fetchHistory();
  const points = (events ?? []).filter((event) => event.workflowTaskCompletedEventAttributes);
  const answer = await client.connection.workflowService.resetWorkflowExecution({
    namespace,
    workflowExecution: { workflowId, runId },
    reason: 'replay',
    requestId: randomUUID(),
    workflowTaskFinishEventId: points[Math.floor(points.length / 2)]?.eventId,
  });
  return answer.runId;
}

/** A run that is retried, one that is cancelled, one that is terminated, one out of time, one started with its update. */
async function others(client: Client): Promise<void> {
  const start = (workflow: () => Promise<unknown>, options: Partial<WorkflowStartOptions> = {}) =>
    client.workflow.start(workflow, { workflowId: name('other'), taskQueue, ...options } as WorkflowStartOptions);
  const failing = await start(tsFailing, { retry: { initialInterval: 10 } });
  const late = await start(tsCancelled, { workflowRunTimeout: '1 second' });
  const cancelled = await start(tsCancelled);
  await cancelled.cancel();
  const terminated = await start(tsCancelled);
  await terminated.terminate('replay');
  const workflowId = name('other');
  const startWorkflowOperation = new WithStartWorkflowOperation(tsLife, {
    workflowId,
    taskQueue,
    args: [1],
    workflowIdConflictPolicy: 'FAIL',
  });
  await client.workflow.executeUpdateWithStart(add, { args: [1], startWorkflowOperation });
  await hearUntilEnd(client, client.workflow.getHandle(workflowId));
  await failing.result();
  await fails(cancelled.result(), 'CancelledFailure');
  await fails(late.result(), 'TimeoutFailure');
  await fails(terminated.result(), 'TerminatedFailure');
}

/**
 * Runs so many lives with a worker that keeps runs in its cache, and as many with one whose cache holds two, so that it
 * replays at most tasks. (Without any cache SDK 1.24.0 now and then cancels a local activity that nobody cancelled.)
 */
async function main(count: number): Promise<void> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const connection = await NativeConnection.connect({ address });
  const client = new Client({ connection: await Connection.connect({ address }) });
  for (const maxCachedWorkflows of [1000, 2]) {
    const workflowsPath = require.resolve('./workflows');
    const worker = await Worker.create({ connection, namespace, taskQueue, workflowsPath, activities, maxCachedWorkflows });
    await worker.runUntil(Promise.all(Array.from({ length: count }, () => Promise.all([life(client), others(client)]))));
  }
  await client.connection.close();
  await connection.close();
  console.log(`${2 * count} lives lived in TypeScript`);
}

main(Number(process.argv[2])).catch((error) => {
  console.error(error);
  process.exit(1);
});
