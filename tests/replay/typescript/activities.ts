import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';

/** Fails so many times. */
export async function shaky(fails: number): Promise<number> {
  const { attempt } = Context.current().info;
  if (attempt <= fails) throw ApplicationFailure.create({ message: 'not yet', type: 'NotYet' });
  return attempt;
}

/** Lasts so long, or until it is cancelled. */
export async function slow(milliseconds: number): Promise<void> {
  const end = Date.now() + milliseconds;
  while (Date.now() < end) {
    Context.current().heartbeat('still there');
    await Promise.race([new Promise((done) => setTimeout(done, 20)), Context.current().cancelled]);
    if (Context.current().cancellationSignal.aborted) throw new CancelledFailure('stopped');
  }
}
