import type { Command } from 'commander';
import { print, printJson, say } from '../console.js';
import { UsageError } from '../failure.js';

/** `polder verify`: replays golden trajectories. */
export function addVerify(program: Command): void {
  program
    .command('verify')
    .description('replay the golden files of a folder through the public API; exit code 1 on a failure')
    .argument('<folder>', 'folder with golden .json files')
    .option('--backend <name>', 'auto, webgpu, tensorflow, wasm or cpu', 'cpu')
    .option('--json', 'print counts and lines as JSON on stdout')
    .action(async (folder: string, { backend, json }: { readonly backend: string; readonly json?: boolean }) => {
      const [{ hessianReplayer, stepReplayer, verifyFolder }, { goldenSetup }, { openBackend }] = await Promise.all([
        import('@polder/verify'),
        import('@polder/experiments'),
        import('../workbench.js'),
      ]);
      const { reason } = await openBackend(backend);
      say(`backend  ${reason}`);
      const lines: string[] = [];
      const write = (line: string): void => {
        if (json !== true) print(line);
        else lines.push(line);
      };
      const replayers = [stepReplayer(goldenSetup), hessianReplayer()];
      const { exitCode, ...counts } = await verifyFolder(folder, replayers, write).catch(rejectFolder(folder));
      // The last line is the counts again.
      if (json === true) printJson({ ...counts, lines: lines.slice(0, -1) });
      process.exitCode = exitCode;
    });
}

function rejectFolder(folder: string): (error: unknown) => never {
  return (error) => {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') throw new UsageError(`${folder} is no folder. Check the path.`);
    throw error;
  };
}
