import * as wf from '@temporalio/workflow';
import { defineSearchAttributeKey, SearchAttributeType, WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type * as activities from './activities';

const word = defineSearchAttributeKey('ReplayWord', SearchAttributeType.KEYWORD);
const retry = { initialInterval: 20, maximumAttempts: 3 };
const { shaky } = wf.proxyActivities<typeof activities>({ startToCloseTimeout: '10 seconds', retry });
const cancellable = { cancellationType: wf.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED, retry: { maximumAttempts: 1 } };

export const hear = wf.defineSignal<[string]>('hear');
export const wake = wf.defineSignal('wake');
export const heard = wf.defineQuery<string[]>('heard');
export const add = wf.defineUpdate<number, [number]>('add');

/** Fails the run, without a retry, where the server has not done what a step asks for. */
function expect(holds: boolean, what: string): void {
  if (!holds) throw wf.ApplicationFailure.nonRetryable(`unexpected: ${what}`);
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
}

/** One run with everything a worker can ask for; it goes on as a new run until lives is 1. */
export async function tsLife(lives: number): Promise<string> {
  const words: string[] = [];
  wf.setHandler(heard, () => words);
  wf.setHandler(hear, (word) => void words.push(word));
  wf.setHandler(add, async (number) => (await shaky(1), number + 1), {
    validator: (number) => {
      if (number < 0) throw new Error('negative');
    },
  });
  await triedActivities();
  await localActivities();
  await timers();
  await attributes();
  if (wf.patched('a-change')) await wf.sleep(10);
  wf.deprecatePatch('an-older-change');
  await children();
  await strangers();
  await wf.condition(() => words.length >= 2 && wf.allHandlersFinished());
  if (lives > 1) await wf.continueAsNew<typeof tsLife>(lives - 1);
  return words[0]!;
}

/** One succeeds, one is retried, one fails for good, one times out, one is cancelled while it runs, one before it starts. */
async function triedActivities(): Promise<void> {
  const tries = await Promise.all([0, 1, 2, 3].map((fails) => failure(shaky(fails))));
  expect(tries.filter(Boolean).length === 1 && tries[3] instanceof wf.ActivityFailure, 'one activity fails for good');
  const short = wf.proxyActivities<typeof activities>({ startToCloseTimeout: 100, ...cancellable });
  const late = (await failure(short.slow(1000))) as wf.ActivityFailure;
  expect(late?.cause instanceof wf.TimeoutFailure, 'a slow activity times out');
  const long = wf.proxyActivities<typeof activities>({ startToCloseTimeout: '20 seconds', heartbeatTimeout: '2 seconds', ...cancellable });
  const nobody = wf.proxyActivities<typeof activities>({ startToCloseTimeout: '20 seconds', taskQueue: 'nobody-polls-this', ...cancellable });
  const scope = new wf.CancellationScope();
  const slow = scope.run(() => Promise.all([failure(long.slow(20_000)), failure(nobody.slow(1))]));
  await wf.sleep(50);
  scope.cancel();
  for (const error of await slow) expect(wf.isCancellation(error), `an activity that is cancelled: ${error}`);
}

async function localActivities(): Promise<void> {
  const local = wf.proxyLocalActivities<typeof activities>({ startToCloseTimeout: '10 seconds', retry });
  for (const fails of [0, 1, 2, 3]) {
    const error = await failure(local.shaky(fails));
    expect(Boolean(error) === (fails === 3), `a local activity that fails ${fails} times: ${error}`);
  }
}

/** One fires, one is cancelled, one is cancelled in the task that starts it, one wakes a condition. */
async function timers(): Promise<void> {
  const scope = new wf.CancellationScope();
  const nap = scope.run(() => failure(wf.sleep('1 hour')));
  await wf.sleep(20);
  scope.cancel();
  expect(wf.isCancellation(await nap), 'a cancelled timer');
  const other = new wf.CancellationScope();
  const never = other.run(() => failure(wf.sleep('1 hour')));
  other.cancel();
  expect(wf.isCancellation(await never), 'a timer that never was');
  expect(!(await wf.condition(() => false, 20)), 'a condition that never holds');
}

async function attributes(): Promise<void> {
  wf.upsertSearchAttributes([{ key: word, value: 'going' }]);
  wf.upsertMemo({ random: Math.random(), id: wf.uuid4() });
  await wf.sleep(10);
  wf.upsertSearchAttributes([{ key: word, value: null }]);
}

/** Naps and returns how often, or fails if it is to nap less than no time. A nap ends early when it is woken; many are one long one. */
export async function tsChild(naps: number): Promise<number> {
  if (naps < 0) throw wf.ApplicationFailure.create({ message: 'no naps', type: 'Naps' });
  let woken = false;
  wf.setHandler(wake, () => void (woken = true));
  const long = naps > 100;
  for (let nap = 0; nap < (long ? 2 : naps); nap++) {
    await wf.condition(() => woken, long ? 10 * naps : 10);
    woken = false;
  }
  return naps;
}

/** In a run that a reset made, the child of the run before may still be there: then nothing. */
async function begin(workflowId: string, naps: number, parentClosePolicy: wf.ParentClosePolicy) {
  try {
    return await wf.startChild(tsChild, { workflowId, args: [naps], parentClosePolicy });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}

/** With results and failures, cancelled, of an id that is taken, and left to each close policy. */
async function children(): Promise<void> {
  const name = `child-ts-${wf.uuid4()}`;
  for (const naps of [-1, 0, 1, 2]) {
    const error = await failure(wf.executeChild(tsChild, { workflowId: `${name}${naps}`, args: [naps] }));
    expect(Boolean(error) === naps < 0, `a child of ${naps} naps: ${error}`);
  }
  const scope = new wf.CancellationScope();
  const child = await scope.run(() => wf.startChild(tsChild, { workflowId: `${name}-cancelled`, args: [1000] }));
  const again = await failure(wf.startChild(tsChild, { workflowId: `${name}-cancelled`, args: [1] }));
  expect(again instanceof WorkflowExecutionAlreadyStartedError, `a taken id: ${again}`);
  await child.signal(wake);
  const ended = failure(child.result());
  scope.cancel();
  expect(wf.isCancellation(await ended), 'a cancelled child');
  for (const policy of ['TERMINATE', 'REQUEST_CANCEL', 'ABANDON'] as const) await begin(`${name}-${policy}`, 300, policy);
}

/** Signals and cancel requests by id, to workflows that are there and not there. */
async function strangers(): Promise<void> {
  const id = `child-ts-${wf.uuid4()}`;
  if (await begin(id, 1000, 'ABANDON')) {
    await wf.getExternalWorkflowHandle(id).signal(wake);
    await wf.getExternalWorkflowHandle(id).cancel();
  }
  const nobody = wf.getExternalWorkflowHandle(`${id}-nobody`);
  expect(Boolean((await failure(nobody.signal(wake))) && (await failure(nobody.cancel()))), 'messages to nobody');
}

/** Waits until it is cancelled, and cleans up. */
export async function tsCancelled(): Promise<void> {
  try {
    await wf.sleep('1 hour');
  } catch (error) {
    if (wf.isCancellation(error)) await wf.CancellationScope.nonCancellable(() => shaky(1));
    throw error;
  }
}

/** Fails until its third attempt. */
export async function tsFailing(): Promise<number> {
  await wf.sleep(10);
  const { attempt } = wf.workflowInfo();
  if (attempt < 3) throw wf.ApplicationFailure.create({ message: 'not yet', type: 'NotYet' });
  return attempt;
}
