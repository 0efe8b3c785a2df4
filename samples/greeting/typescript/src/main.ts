// The smallest complete program: one workflow, one activity, a worker and a client in one process.
import { randomUUID } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Runtime, DefaultLogger, Worker } from '@temporalio/worker';
import * as activities from './activities';
import { greeting } from './workflows';

const address = process.env.EVERSTEP_ADDRESS ?? 'localhost:7233';
const taskQueue = 'greeting-typescript';

async function main(): Promise<void> {
  Runtime.install({ logger: new DefaultLogger('WARN') });
  const workerConnection = await NativeConnection.connect({ address });
  const worker = await Worker.create({
    connection: workerConnection,
    taskQueue,
    workflowsPath: require.resolve('./workflows'),
    activities,
  });
  const connection = await Connection.connect({ address });
  const client = new Client({ connection });
  await worker.runUntil(async () => {
    const workflowId = `greeting-typescript-${randomUUID().slice(0, 6)}`;
    console.log(await client.workflow.execute(greeting, { args: ['TypeScript'], taskQueue, workflowId }));
  });
  await connection.close();
  await workerConnection.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
