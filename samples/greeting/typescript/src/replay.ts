// Runs the workflow's code against histories that were exported as JSON: node lib/replay.js FILE…
import { readFileSync } from 'node:fs';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';

async function main(files: string[]): Promise<void> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  for (const file of files) {
    const history: unknown = JSON.parse(readFileSync(file, 'utf8'));
    await Worker.runReplayHistory({ workflowsPath: require.resolve('./workflows') }, history);
  }
  console.log(`TypeScript: ${files.length} histories replayed`);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
