import { fork } from 'node:child_process';
import { checkData, checkDisk, checkMemory, checkNode, checkTools, type Check } from './doctor-checks.js';
import type { DoctorAnswer, DoctorTask } from './doctor-process.js';

export interface DoctorOptions {
  /** The backend to examine training on; `auto` picks one as training does. */
  readonly backend: string;
  /** Also runs the table of all ops on it, forward and gradient, against float64 loops. */
  readonly grads: boolean;
}

/** What `polder doctor --json` prints: `version` is raised when a field changes its meaning or goes. */
export interface DoctorReport {
  readonly version: 1;
  /** No check failed. */
  readonly ok: boolean;
  readonly polder: string;
  readonly checks: readonly Check[];
}

/** Examines this machine. Throws nothing that the machine is at fault for: that is a check that fails. */
export async function examine({ backend, grads }: DoctorOptions, polder: string): Promise<DoctorReport> {
  const [webgpu, tensorflow, wasm, training] = await Promise.all([
    inProcess({ task: 'webgpu' }),
    inProcess({ task: 'tensorflow' }),
    inProcess({ task: 'wasm' }),
    inProcess({ task: 'train', backend, grads }),
  ]);
  const checks = [
    checkNode(),
    chosen(training, backend),
    ...(training.kind === 'trained' ? [training.probe] : []),
    optional('webgpu', 'WebGPU', webgpu),
    optional('tensorflow', 'native TensorFlow', tensorflow),
    ...(tensorflow.kind === 'started' ? [] : [await checkTools()]),
    optional('wasm', 'WebAssembly', wasm),
    await checkData(),
    await checkDisk(),
    checkMemory(),
    ...(training.kind === 'trained' && training.grads !== undefined ? [training.grads] : []),
  ];
  return { version: 1, ok: checks.every(({ status }) => status !== 'fail'), polder, checks };
}

/** The backend that training takes. */
function chosen(answer: DoctorAnswer, asked: string): Check {
  const [id, title] = ['backend', 'backend'];
  if (answer.kind === 'trained')
    return { id, title, status: 'ok', detail: answer.reason, data: { name: answer.backend, threads: answer.threads } };
  const { why, whatToDo } = troubleOf(answer);
  return { id, title, status: 'fail', detail: `${asked}: ${why}`, fix: whatToDo };
}

/** A backend that training can do without. */
function optional(id: string, title: string, answer: DoctorAnswer): Check {
  if (answer.kind === 'started') {
    const { status, detail, fix, data } = answer;
    return { id, title, status, detail, ...(fix !== undefined && { fix }), ...(data && { data }) };
  }
  const { why, whatToDo } = troubleOf(answer);
  return { id, title, status: 'warn', detail: why, fix: whatToDo };
}

function troubleOf(answer: DoctorAnswer): { readonly why: string; readonly whatToDo: string } {
  return answer.kind === 'unavailable' ? answer : { why: 'it gave no answer', whatToDo: 'Please report this.' };
}

/**
 * Has a process of its own load a backend: a driver or a library that brings its process down must not take the doctor
 * with it.
 */
function inProcess(task: DoctorTask): Promise<DoctorAnswer> {
  const child = fork(new URL('./doctor-process.js', import.meta.url), [JSON.stringify(task)], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let said = '';
  let answer: DoctorAnswer | undefined;
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (said += text));
  child.on('message', (message) => (answer = message as DoctorAnswer));
  return new Promise((resolve) => {
    const fail = (why: string): void => {
      const last = said.trim().split('\n').at(-1) ?? '';
      resolve({
        kind: 'unavailable',
        why: last === '' ? why : `${why} (${last})`,
        whatToDo: 'Take another backend, and report this with your operating system and processor.',
      });
    };
    child.once('error', (error) => fail(error.message));
    child.once('close', (code, signal) => {
      if (answer !== undefined) resolve(answer);
      else fail(`the process that loads it ended ${signal === null ? `with code ${code}` : `by ${signal}`}`);
    });
  });
}
