import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Option, type Command } from 'commander';
import { print, printJson } from '../console.js';
import type { ExportFormat } from '../export-model.js';
import { UsageError } from '../failure.js';
import { didYouMean } from '../suggest.js';

interface ExportFlags {
  readonly format: string;
  readonly out?: string;
  readonly checkpoint?: string;
  readonly ema?: boolean;
  readonly ownLayers?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

const FORMATS: readonly ExportFormat[] = ['tfjs', 'safetensors', 'torch', 'npy'];

/** `polder export`: trained weights for other programs. */
export function addExport(program: Command): void {
  program
    .command('export')
    .description('write a trained network for other programs: a tfjs model, safetensors, a PyTorch state dict, NumPy')
    .argument('<target>', "a run folder, a file in a run's checkpoints, or the model.json of any tf.LayersModel")
    // Not choices(): that message knows no "did you mean".
    .addOption(new Option(`--format <${FORMATS.join('|')}>`, 'what to write').default('tfjs'))
    .option('--out <path>', "folder (tfjs, npy) or file to write (default: in the run's export folder)")
    .option('--checkpoint <name>', 'weights of a run: last (default), best, another name, or a file')
    .option('--ema', 'the averaged weights that a run with --model-ema ended with')
    .option(
      '--own-layers',
      "tfjs: keep Polder's layers, bit for bit, instead of TensorFlow.js's own where these can say it",
    )
    .option('--force', 'write over what is there')
    .option('--json', 'print what was written as JSON on stdout')
    .action(exportTarget);
}

async function exportTarget(path: string, flags: ExportFlags): Promise<void> {
  const { ownLayers = false, force = false, json = false } = flags;
  const format = FORMATS.find((known) => known === flags.format);
  if (format === undefined)
    throw new UsageError(
      `--format: expected one of ${FORMATS.join(', ')}, got "${flags.format}".${didYouMean(flags.format, FORMATS)}`,
    );
  if (ownLayers && format !== 'tfjs') throw new UsageError(`--own-layers has no effect under --format ${format}.`);
  const { checkpointNamed, findTarget, openTarget } = await import('../open-target.js');
  const target = findTarget(path, checkpointNamed(flags.checkpoint, flags.ema));
  if (target.kind === 'file' && flags.out === undefined)
    throw new UsageError('--out is missing: a model file has no folder of its own to export to.');
  const [{ exportModel, exportPlaces }, { openBackend }, { shapeOfFile }] = await Promise.all([
    import('../export-model.js'),
    import('../workbench.js'),
    import('../network.js'),
  ]);
  const folder = target.kind === 'run' ? join(target.folder, 'export') : '.';
  const out = resolve(flags.out ?? join(folder, exportPlaces[format]));
  checkPlace(out, format, force);
  // Weights are only copied: the backend that starts at once will do.
  await openBackend('cpu');
  const opened = await openTarget(target, () => shapeOfFile(target.kind === 'file' ? target.file : path));
  try {
    const { files, use } = await exportModel(opened, format, out, { ownLayers }).catch(refused(out));
    const { checkpoint, step } = opened;
    if (json) printJson({ format, out, files, use, checkpoint, ...(step !== undefined && { step }) });
    else print(`${out}\n${files.length === 1 ? '1 file' : `${files.length} files`}: ${use}`);
  } finally {
    opened.model.dispose();
  }
}

/** Throws {@link UsageError} for a place that is taken, or of the wrong kind. */
function checkPlace(out: string, format: ExportFormat, force: boolean): void {
  if (!existsSync(out)) return;
  const wantsFolder = format === 'tfjs' || format === 'npy';
  const isFolder = statSync(out).isDirectory();
  if (wantsFolder !== isFolder)
    throw new UsageError(
      `--out ${out} is a ${isFolder ? 'folder' : 'file'}; ${format} needs a ${wantsFolder ? 'folder' : 'file'}.`,
    );
  if (force || (isFolder && readdirSync(out).length === 0)) return;
  throw new UsageError(`${out} is there already. Choose another place with --out, or --force to write over it.`);
}

/** What the file system refuses, as what to do about it. */
function refused(out: string): (error: unknown) => never {
  return (error) => {
    const { code } = error as NodeJS.ErrnoException;
    if (typeof code === 'string' && /^E[A-Z]+$/.test(code))
      throw new UsageError(`Cannot write ${out}: ${code}. Choose another place with --out.`);
    throw error;
  };
}
