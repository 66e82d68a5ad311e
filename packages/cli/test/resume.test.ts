import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { saveModelFile } from '@polder/trainer/node';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { InterruptedError } from '../src/failure.js';
import { withStopSignals } from '../src/stop-signals.js';
import { buildFirst, inTemporaryFolder, polder } from './polder.js';

beforeAll(buildFirst, 300_000);

/** Writes a network so small that a step takes a millisecond or two, for `--model`. */
async function writeNet(cwd: string): Promise<void> {
  await tf.setBackend('cpu');
  const model = tf.sequential({
    layers: [
      tf.layers.flatten({ inputShape: [32, 32, 3], name: 'flat' }),
      tf.layers.dense({ units: 8, kernelInitializer: tf.initializers.glorotNormal({ seed: 1 }), name: 'in' }),
      tf.layers.batchNormalization({ name: 'bn' }),
      tf.layers.dense({ units: 10, kernelInitializer: tf.initializers.glorotNormal({ seed: 2 }), name: 'out' }),
    ],
  });
  await saveModelFile(model, join(cwd, 'net'));
  model.dispose();
}

const size = ['--data', 'shapes', '--limit-train', '64', '--limit-test', '32', '--model', 'net', '--batch', '16'];
const settings = [...size, '--policy', 'ssam', '--lr', '0.05', '--epochs', '30', '--eval-every', '10'];
const train = ['train', ...settings, '--log-every', '5', '--gap-examples', '32', '--backend', 'wasm'];
const patience = { timeout: 300_000 };

const parse = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>;
const bytes = (...path: readonly string[]): string => readFileSync(join(...path)).toString('base64');

describe('polder resume', patience, () => {
  it('finishes a run that SIGTERM stopped with exit code 143, with the bytes of one that was left alone', async () => {
    await inTemporaryFolder(async (cwd) => {
      await writeNet(cwd);
      expect(await polder([...train, '--run-dir', 'whole'], { cwd })).toMatchObject({ code: 0 });
      let sent = false;
      const stopped = await polder([...train, '--run-dir', 'r'], {
        cwd,
        onStderr(text) {
          if (sent || !text.includes('step 1 ')) return undefined;
          sent = true;
          return 'SIGTERM';
        },
      });
      expect(stopped.stderr).toContain('Stopped by SIGTERM');
      expect(stopped.code).toBe(143);
      expect(parse(readFileSync(join(cwd, 'r/summary.json'), 'utf8'))).toMatchObject({ status: 'interrupted' });
      const saved = readdirSync(join(cwd, 'r/checkpoints')).filter((name) => /^state-\d+\.json$/.test(name));
      expect(saved).toHaveLength(1);

      // A setting that was edited meanwhile is refused by its name, and taken when it is meant.
      const config = readFileSync(join(cwd, 'r/config.json'), 'utf8');
      writeFileSync(join(cwd, 'r/config.json'), config.replace('"lr": 0.05', '"lr": 0.5'));
      const refused = await polder(['resume', 'r'], { cwd });
      expect(refused.stderr).toMatch(/lr was 0\.05 when the run was broken off, and is 0\.5 now.*--override lr=/);
      expect(refused.code).toBe(2);
      const { code, stdout, stderr } = await polder(['resume', 'r', '--override', 'lr=0.05', '--json'], { cwd });
      expect(stderr).toMatch(/resume +from step [1-9]/);
      expect(code).toBe(0);
      expect(parse(stdout)).toMatchObject({ status: 'completed', steps: 120, resumes: 1 });
      for (const file of ['metrics.jsonl', 'checkpoints/final.safetensors', 'checkpoints/best.safetensors'])
        expect(bytes(cwd, 'r', file)).toBe(bytes(cwd, 'whole', file));
      expect(existsSync(join(cwd, 'r/report.html'))).toBe(true);

      const again = await polder(['resume', 'r'], { cwd });
      expect(again.stdout).toContain('The run is complete (120 steps)');
      expect(again.code).toBe(0);
    });
  });

  it('says what is wrong with what it was given', async () => {
    await inTemporaryFolder(async (cwd) => {
      const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
        [['resume', 'nothing'], 3, /config\.json: expected a readable file, got ENOENT.*folder of a run/],
        [['resume', 'nothing', '--override', 'epoch=3'], 2, /no such setting.*Did you mean "epochs"/],
        [['resume', 'nothing', '--override', 'lr'], 2, /expected setting=value/],
        [['resume', 'nothing', '--override', 'name=x'], 2, /cannot be changed/],
      ];
      for (const [args, code, message] of cases) {
        const ended = await polder(args, { cwd });
        expect(ended.stderr).toMatch(message);
        expect(ended.code).toBe(code);
      }
    });
  });
});

describe('withStopSignals', () => {
  it('aborts at the first signal, and ends the process at once at the second', async () => {
    const exit = vi.spyOn(process, 'exit').mockImplementation(() => undefined as never);
    try {
      const reason = await withStopSignals(async (signal) => {
        process.emit('SIGINT', 'SIGINT');
        expect(exit).not.toHaveBeenCalled();
        process.emit('SIGINT', 'SIGINT');
        expect(exit).toHaveBeenCalledExactlyOnceWith(130);
        process.emit('SIGTERM', 'SIGTERM');
        expect(exit).toHaveBeenLastCalledWith(143);
        return signal.reason as unknown;
      });
      expect(reason).toBeInstanceOf(InterruptedError);
      expect(reason).toMatchObject({ signal: 'SIGINT' });
    } finally {
      exit.mockRestore();
    }
  });
});
