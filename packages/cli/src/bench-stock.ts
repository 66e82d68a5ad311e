import { fork } from 'node:child_process';

/** Steps of stock tfjs, in a process of its own. */
export interface StockSteps {
  /** Milliseconds of the steps so far. */
  readonly times: readonly number[];
  step(): Promise<void>;
  close(): void;
}

/**
 * Starts the baseline: forward and backward of the same ResNet-20 with projection shortcuts on the stock wasm backend, one
 * thread, where only the filter gradient, without which it does not train at all, has been added as a convolution.
 */
export async function openStockSteps(batch: number): Promise<StockSteps> {
  const child = fork(new URL('./bench-stock-process.js', import.meta.url), [String(batch)], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let said = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`The stock baseline ended with code ${code}.\n${said}`)));
  });
  // Ending when it is closed is no failure of anybody who is not waiting.
  ended.catch(() => undefined);
  const next = (): Promise<number> =>
    Promise.race([ended, new Promise<number>((resolve) => child.once('message', (ms) => resolve(ms as number)))]);
  const times: number[] = [];
  // The first step, in which its kernels are compiled.
  await next();
  return {
    times,
    async step() {
      const answer = next();
      child.send('step');
      times.push(await answer);
    },
    close: () => child.disconnect(),
  };
}
