import type { Command } from 'commander';
import { print, say } from '../console.js';
import { UsageError } from '../failure.js';

/** `polder verify`: replays golden trajectories. */
export function addVerify(program: Command): void {
  program
    .command('verify')
    .description('replay the golden files of a folder through the public API; exit code 1 on a failure')
    .argument('<folder>', 'folder with golden .json files')
    .option('--backend <name>', 'auto, webgpu, tensorflow, wasm or cpu', 'cpu')
    .action(async (folder: string, { backend }: { readonly backend: string }) => {
      const [{ hessianReplayer, stepReplayer, verifyFolder }, { goldenSetup }, { openBackend }] = await Promise.all([
        import('@polder/verify'),
        import('@polder/experiments'),
        import('../workbench.js'),
      ]);
      const { reason } = await openBackend(backend);
      say(`backend  ${reason}`);
      const { exitCode } = await verifyFolder(folder, [stepReplayer(goldenSetup), hessianReplayer()], print).catch(
        rejectFolder(folder),
      );
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
