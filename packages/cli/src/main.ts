import { Command, CommanderError } from 'commander';
import { addBackend } from './commands/backend.js';
import { addBench } from './commands/bench.js';
import { addCompare } from './commands/compare.js';
import { addCompletion } from './commands/completion.js';
import { addData } from './commands/data.js';
import { addDiagnose } from './commands/diagnose.js';
import { addDoctor } from './commands/doctor.js';
import { addEval } from './commands/eval.js';
import { addExport } from './commands/export.js';
import { addHelp } from './commands/help.js';
import { addInit } from './commands/init.js';
import { addModels } from './commands/models.js';
import { addReport } from './commands/report.js';
import { addReproduce } from './commands/reproduce.js';
import { addResume } from './commands/resume.js';
import { addTrain } from './commands/train.js';
import { addVerify } from './commands/verify.js';
import { colorsFor, printJson, say } from './console.js';
import { addExamples } from './examples.js';
import { describeFailure, exitCodeOf, exitCodes } from './failure.js';
import { failureJson, wantsJson } from './failure-json.js';
import { version } from './version.js';

/** Runs `polder` with the arguments of a process; sets its exit code. Never throws. */
export async function main(argv: readonly string[]): Promise<void> {
  // A reader that has seen enough (`| head`) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  // Nobody watches any more: a training goes on without its progress.
  process.stderr.on('error', () => undefined);
  try {
    await createProgram().parseAsync(argv);
  } catch (error) {
    process.exitCode = exitCodeOf(error);
    // commander has printed its own.
    if (!(error instanceof CommanderError)) {
      const { red } = colorsFor(process.stderr);
      say(describeFailure(error, process.env['POLDER_DEBUG'] === '1').replace(/^error:/, red('error:')));
    }
    if (process.exitCode !== exitCodes.ok && wantsJson(argv)) printJson(failureJson(error));
  }
}

/** The command line. */
export function createProgram(): Command {
  const program = new Command('polder')
    .description('Sharpness-aware training for TensorFlow.js.')
    .version(version)
    .showHelpAfterError('Run with --help for all flags.')
    // A flag belongs to the command that it stands behind: "bench data --json" is not bench's own --json.
    .enablePositionalOptions()
    .exitOverride();
  addInit(program);
  addTrain(program);
  addResume(program);
  addCompare(program);
  addEval(program);
  addDiagnose(program);
  addExport(program);
  addReport(program);
  addReproduce(program);
  addVerify(program);
  addModels(program);
  addBench(program);
  addBackend(program);
  addDoctor(program);
  addData(program);
  addCompletion(program);
  addHelp(program);
  addExamples(program);
  return program;
}
