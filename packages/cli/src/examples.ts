import type { Command } from 'commander';

/** A command line and what it is for. */
type Example = readonly [line: string, what: string];

/** Examples by command; every command has some. */
export const examples: Readonly<Record<string, readonly Example[]>> = {
  train: [
    ['polder train --model resnet20 --policy ssam --rho 0.05 --epochs 20', 'a run folder with a report'],
    ['polder train --policy sasam --epochs 20 --seed 1 --json', 'no learning rate to tune; the result as JSON'],
    ['polder train --config polder.yaml --lr 0.05', 'flags go before the file'],
    ['polder train --model nets/mine/model.json --policy sam', 'a tf.LayersModel of your own'],
    ['polder train --policy sam --dry-run', 'what would run, and where; nothing is written'],
    ['polder train --config polder.yaml --explain-config', 'where each value comes from'],
  ],
  resume: [
    ['polder resume runs/resnet20-sam-cifar10', 'goes on from the last checkpoint'],
    ['polder resume runs/resnet20-sam-cifar10 --override epochs=40', 'also of a run that is complete: trains longer'],
    ['polder resume runs/mine --backend wasm', 'on another backend than before'],
  ],
  compare: [
    ['polder compare --policies none,sam,ssam --pass-budget 2000', 'equal gradient passes, one report'],
    ['polder compare --preset quickstart', 'five policies, minutes on two cores'],
    ['polder compare runs/a runs/b runs/c', 'runs made before: means and intervals over seeds'],
  ],
  diagnose: [
    ['polder diagnose runs/resnet20-sam-cifar10', 'spectrum, trace, density and sharpness, into its report'],
    ['polder diagnose nets/mine/model.json --data cifar10 --surface eigen', 'any tf.LayersModel, with a loss surface'],
  ],
  report: [
    ['polder report runs/resnet20-sam-cifar10', 'the page of a run, written again'],
    ['polder report runs/none-* runs/sam-* --out sam.html', 'curves of many runs, bands over seeds'],
  ],
  reproduce: [
    ['polder reproduce', 'lists the experiments'],
    ['polder reproduce ssam/saddle --seeds 5', "a paper's figure, and whether its claim holds"],
    ['polder reproduce ssam/quartic --dry-run', 'its settings and seeds, nothing run'],
  ],
  verify: [['polder verify golden/steps --backend wasm', 'replays golden trajectories']],
  eval: [
    ['polder eval runs/resnet20-sam-cifar10', 'Top-1, Top-5 and loss on the test set'],
    ['polder eval runs/resnet20-sam-cifar10 --corruptions common', 'and on the corrupted test set, by severity'],
    ['polder eval runs/mine --checkpoint best --json', 'another checkpoint of the run'],
    ['polder eval runs/mine --ema', 'averaged weights, of a run with --model-ema'],
    ['polder eval nets/mine/model.json --data cifar10', 'any tf.LayersModel'],
  ],
  export: [
    ['polder export runs/resnet20-sam-cifar10', 'a tfjs model, for tf.loadLayersModel'],
    ['polder export runs/resnet20-sam-cifar10 --format safetensors', 'weights by layer and name'],
    [
      'polder export runs/resnet20-sam-cifar10 --format torch --out torch',
      "a PyTorch state dict in torchvision's names",
    ],
  ],
  init: [
    ['polder init', 'writes polder.yaml with every setting'],
    ['polder init sam.yaml --policy sam --model resnet20', 'with these filled in'],
  ],
  completion: [
    ['polder completion bash > ~/.local/share/bash-completion/completions/polder', 'for bash'],
    ['polder completion zsh > ~/.zfunc/_polder', 'for zsh, with ~/.zfunc in fpath'],
    ['polder completion fish > ~/.config/fish/completions/polder.fish', 'for fish'],
  ],
  models: [['polder models --json', 'parameters and multiply-adds of each network']],
  bench: [
    ['polder bench --policies none,sam --model resnet20', 'milliseconds a step, images a second'],
    ['polder bench soak', 'thousands of steps: tensors and memory stay'],
  ],
  'bench step': [['polder bench step --policies none,sam --model resnet20', 'milliseconds a step, images a second']],
  'bench data': [['polder bench data', 'rates of decoding and augmenting']],
  'bench diagnostics': [['polder bench diagnostics --json', 'estimators against known answers']],
  'bench soak': [['polder bench soak --json', 'thousands of steps: tensors and memory stay']],
  backend: [['polder backend install tensorflow', 'native TensorFlow, through your pip']],
  doctor: [
    ['polder doctor', 'what there is, what is missing, and the fix'],
    ['polder doctor --backend wasm --grads', 'every op and its gradient'],
  ],
  'backend install': [
    ['polder backend install tensorflow', "TensorFlow's CPU build"],
    ['polder backend install tensorflow --variant gpu', 'its CUDA build'],
  ],
  'backend list': [['polder backend list --json', 'what is installed']],
  'backend remove': [['polder backend remove tensorflow', 'frees the space']],
  data: [['polder data list', 'what is here, and where']],
  'data list': [['polder data list --data-dir ./data', 'what is in a folder']],
  'data get': [
    ['polder data get cifar10', 'from its publisher, checked'],
    ['polder data get cifar10 --from ./cifar-10-binary.tar.gz', 'from a file at hand'],
  ],
  'data verify': [['polder data verify cifar10', 'checks its files']],
  'data info': [['polder data info shapes', 'classes, counts, mean and deviation']],
  'data export': [['polder data export shapes --out arrays --limit-train 1000', 'NumPy arrays']],
  'data corrupt': [['polder data corrupt --out cifar10c --corruptions common', 'CIFAR-10-C from the test set']],
};

/** Puts its examples below the help of every command. */
export function addExamples(program: Command): void {
  for (const [path, command] of commandsOf(program)) {
    const lines = examples[path] ?? [];
    if (lines.length === 0) continue;
    const text = lines.map(([line, what]) => `  # ${what}\n  ${line}`).join('\n');
    command.addHelpText('after', `\nExamples:\n${text}`);
  }
}

/** Every command by its path (`data corrupt`), without commander's own help. */
export function commandsOf(command: Command, path: readonly string[] = []): readonly (readonly [string, Command])[] {
  return command.commands.flatMap((inner) => {
    const own = [...path, inner.name()];
    return [[own.join(' '), inner] as const, ...commandsOf(inner, own)];
  });
}
