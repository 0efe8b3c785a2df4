// Runs the workflow's code against histories that the server holds: node lib/replay.js WORKFLOW_ID…
// They are fetched, not read from files: with SDK 1.24.0 reading JSON fails over two versions of protobufjs.
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';

const address = process.env.EVERSTEP_ADDRESS ?? 'localhost:7233';

async function main(workflowIds: string[]): Promise<void> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const connection = await Connection.connect({ address });
  const client = new Client({ connection });
  for (const workflowId of workflowIds) {
    const history = await client.workflow.getHandle(workflowId).fetchHistory();
    await Worker.runReplayHistory({ workflowsPath: require.resolve('./workflows') }, history, workflowId);
  }
  await connection.close();
  console.log(`TypeScript: ${workflowIds.length} histories replayed`);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
