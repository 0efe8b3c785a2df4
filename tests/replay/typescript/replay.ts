// Replays histories that the server holds: node replay.js WORKFLOW_ID.RUN_ID…
// They are fetched, not read from files: with SDK 1.24.0 reading JSON fails over two versions of protobufjs.
import { Client, Connection } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker, WorkflowBundleWithSourceMap } from '@temporalio/worker';

const address = process.env.EVERSTEP_ADDRESS ?? 'localhost:7233';
type History = Awaited<ReturnType<ReturnType<Client['workflow']['getHandle']>['fetchHistory']>>;

async function replay(workflowBundle: WorkflowBundleWithSourceMap, history: History, id: string): Promise<void> {
  await Worker.runReplayHistory({ workflowBundle }, history, id);
}

/** A history whose first activity has another name does not fit its workflow. */
async function mustFail(bundle: WorkflowBundleWithSourceMap, history: History, id: string): Promise<void> {
  const scheduled = history.events?.find((event) => event.activityTaskScheduledEventAttributes);
  scheduled!.activityTaskScheduledEventAttributes!.activityType = { name: 'other' };
  try {
    await replay(bundle, history, id);
  } catch (error) {
    if ((error as Error).name === 'DeterminismViolationError') return;
    throw error;
  }
  throw new Error('a history that does not fit its code was replayed in TypeScript');
}

async function main(names: string[]): Promise<void> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const client = new Client({ connection: await Connection.connect({ address }) });
  const bundle = await bundleWorkflowCode({ workflowsPath: require.resolve('./workflows') });
  let lives: [History, string] | undefined;
  for (const name of names) {
    const [workflowId, runId] = name.split('.') as [string, string];
    const history = await client.workflow.getHandle(workflowId, runId).fetchHistory();
    await replay(bundle, history, workflowId).catch((error) => {
      throw new Error(`${name}: ${error}`);
    });
    if (workflowId.startsWith('life-')) lives = [history, workflowId];
  }
  await mustFail(bundle, ...lives!);
  await client.connection.close();
  console.log(`TypeScript: ${names.length} histories replayed`);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
