import * as tf from '@tensorflow/tfjs-core';
import { philox } from './philox.js';

/*
 * Random numbers computed by tensor ops from a counter that is a tensor: a recorded step, replayed, draws new ones,
 * which numbers drawn on the host would not. Words have 12 bits and live in float32, where every product of two of them
 * is below 2^24 and so exact: all backends draw the same. The generator is Philox's 2-word network (Salmon et al. 2011,
 * §4.3) with 12-bit words, and addition in place of the exclusive or that tfjs lacks.
 */
const WORD = 4096;
const MULTIPLIER = 0xd29;
const WEYL = 0x9e3;
const ROUNDS = 10;

/** A kernel that makes the whole mask; @polder/kernels-tensorflow has one. */
const KERNEL = 'PolderKeepMask';

/** Two words: together a number below 2^24. */
type Words = readonly [high: tf.Tensor, low: tf.Tensor];

/**
 * A mask of [rows, columns] of ones and zeros, zero with probability `rate` (resolution 2^-24): a pure function of the
 * seed, the stream's name, and the counter, a tensor of one integer from 0 to 2^24 − 1. At most 2^24 rows and columns.
 */
export function keepMask(
  rows: number,
  columns: number,
  rate: number,
  stream: { readonly seed: number; readonly name: string; readonly counter: tf.Tensor },
): tf.Tensor2D {
  return tf.tidy(() => {
    const words = [...philox(stream.seed, stream.name)(0)].map((word) => word % WORD);
    // The same numbers in one go, where a backend has them: the composition below is 600 operations.
    if (tf.getKernel(KERNEL, tf.getBackend()) != null) {
      const attrs = { rows, columns, threshold: rate * WORD * WORD, key: words };
      return tf.engine().runKernel<tf.Tensor2D>(KERNEL, { counter: stream.counter }, attrs);
    }
    const [k0, k1, k2, k3] = words;
    const key = encrypt(split(stream.counter), [tf.scalar(k0!), tf.scalar(k1!)], ROUNDS);
    const row = encrypt(split(tf.range(0, rows)), shifted(key, k2!), ROUNDS);
    const column = encrypt(split(tf.range(0, columns)), shifted(key, k3!), ROUNDS);
    // Rows and columns are well mixed by now, each on its own: a few rounds more for each pair are enough.
    const pair = row.map((words, i) =>
      wrapped(tf.add(tf.reshape(words, [rows, 1]), tf.reshape(column[i]!, [1, columns]))),
    );
    const [high, low] = encrypt([pair[0]!, pair[1]!], key, ROUNDS / 2);
    const uniform = tf.add(tf.mul(high, WORD), low);
    return tf.cast<tf.Tensor2D>(tf.greaterEqual(uniform, rate * WORD * WORD), 'float32');
  });
}

/** A keyed permutation of pairs of words. */
function encrypt(words: Words, key: Words, rounds: number): Words {
  let [high, low] = words;
  for (let round = 0; round < rounds; round += 1) {
    const product = tf.mul(high, MULTIPLIER);
    const carry = tf.floor(tf.mul(product, 1 / WORD));
    const roundKey = tf.add(key[round % 2]!, (round * WEYL) % WORD);
    [high, low] = [wrapped(tf.add(tf.add(carry, low), roundKey)), tf.sub(product, tf.mul(carry, WORD))];
  }
  return [high, low];
}

function split(value: tf.Tensor): Words {
  const high = tf.floor(tf.mul(value, 1 / WORD));
  return [high, tf.sub(value, tf.mul(high, WORD))];
}

function shifted([high, low]: Words, by: number): Words {
  return [wrapped(tf.add(high, by)), wrapped(tf.add(low, by))];
}

/** Modulo 4096, by exact steps only. */
function wrapped(value: tf.Tensor): tf.Tensor {
  return tf.sub(value, tf.mul(tf.floor(tf.mul(value, 1 / WORD)), WORD));
}
