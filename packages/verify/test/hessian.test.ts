import '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { replayHessianFile } from '../src/hessian.js';

// `hessian` are the published ones; `more-hessian` has the other four networks, by a program of ours in float64.
const folders: Readonly<Record<string, readonly string[]>> = { hessian: ['cpu', 'wasm'], 'more-hessian': ['wasm'] };

for (const [folder, backends] of Object.entries(folders)) {
  const place = new URL(`../../testkit/fixtures/golden/${folder}/`, import.meta.url);
  for (const file of readdirSync(place).filter((name) => name.endsWith('.json'))) {
    test.for(backends)(`${folder}/${file} replays on %s`, { timeout: 600_000 }, async (backend) => {
      await tf.setBackend(backend);
      const before = tf.memory().numTensors;
      const json: unknown = JSON.parse(readFileSync(new URL(file, place), 'utf8'));
      const worse: string[] = [];
      const lines = await replayHessianFile(json, {
        onComparison: ({ field, deviation, tolerance }) => {
          if (!(deviation <= tolerance)) worse.push(`${field} ${deviation} > ${tolerance}`);
        },
      });
      expect(worse).toEqual([]);
      expect(lines.map(({ verdict }) => verdict)).toEqual(['ok']);
      expect(tf.memory().numTensors).toBe(before);
    });
  }
}
