import type { Command } from 'commander';
import { print, printJson, say } from '../console.js';
import { UsageError } from '../failure.js';
import { withStopSignals } from '../stop-signals.js';
import { didYouMean } from '../suggest.js';

interface InstallFlags {
  readonly variant: string;
  readonly from?: string;
  readonly json?: boolean;
}

/** `polder backend`: native TensorFlow for this machine, made from the user's own pip. */
export function addBackend(program: Command): void {
  const backend = program.command('backend').description('native backends: install, list and remove them');
  backend
    .command('install')
    .description('fetch TensorFlow through pip and build its addon; resumable, checked, no scripts of others run')
    .argument('<name>', 'tensorflow')
    .option(
      '--variant <cpu|gpu>',
      'which build of TensorFlow; gpu is the CUDA one, needs CUDA and cuDNN, and was not tried on a GPU',
      'cpu',
    )
    .option('--from <wheel>', 'take this wheel instead of one that pip downloads')
    .option('--json', 'print the result as JSON on stdout')
    .action(install);
  backend
    .command('list', { isDefault: true })
    .description('list what is installed')
    .option('--json', 'print the list as JSON on stdout')
    .action(list);
  backend
    .command('remove')
    .description('remove what was installed')
    .argument('<name>', 'tensorflow')
    .option('--json', 'print how much was freed as JSON on stdout')
    .action(remove);
}

async function install(name: string, { variant, from, json }: InstallFlags): Promise<void> {
  checkName(name);
  if (variant !== 'cpu' && variant !== 'gpu') throw new UsageError(`--variant: expected cpu or gpu, got "${variant}".`);
  const { provisionTensorflow } = await import('@polder/kernels-tensorflow');
  const installed = await withStopSignals((signal) => {
    let last = '';
    return provisionTensorflow({
      variant,
      ...(from !== undefined && { from }),
      signal,
      onProgress: ({ message }) => {
        if (message !== last) say(message);
        last = message;
      },
    });
  });
  if (json === true) printJson(installed);
  else print(`tensorflow ${installed.tensorflow} (${installed.variant}) in ${installed.folder}`);
}

async function list({ json }: { readonly json?: boolean }): Promise<void> {
  const { listProvisioned } = await import('@polder/kernels-tensorflow');
  const installed = await listProvisioned();
  if (json === true) printJson(installed);
  else if (installed.length === 0) print('none installed; polder backend install tensorflow gets native TensorFlow');
  else
    for (const { tensorflow, variant, folder, bytes, current } of installed)
      print(
        `tensorflow ${tensorflow} (${variant})  ${Math.round(bytes / 1e6)} MB  ${folder}${current ? '' : '  (of another release)'}`,
      );
}

async function remove(name: string, { json }: { readonly json?: boolean }): Promise<void> {
  checkName(name);
  const { removeProvisioned } = await import('@polder/kernels-tensorflow');
  const bytes = await removeProvisioned();
  if (json === true) printJson({ bytes });
  else print(`${Math.round(bytes / 1e6)} MB freed`);
}

function checkName(name: string): void {
  if (name !== 'tensorflow')
    throw new UsageError(`There is no backend "${name}" to install.${didYouMean(name, ['tensorflow'])}`);
}
