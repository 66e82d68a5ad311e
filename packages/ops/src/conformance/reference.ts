// The ops of @polder/ops once more, as plain loops over float64 numbers: what the conformance table compares with.

export interface Window {
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  readonly top: number;
  readonly left: number;
  readonly outH: number;
  readonly outW: number;
}

type Padding = 'same' | 'valid' | number | readonly [readonly [number, number], readonly [number, number]];

export interface WindowOptions {
  readonly strides?: number | readonly [number, number];
  readonly dilations?: number | readonly [number, number];
  readonly padding?: Padding;
}

type Shape4 = readonly [number, number, number, number];

const both = (value: number | readonly [number, number]): readonly [number, number] =>
  typeof value === 'number' ? [value, value] : value;

/** TensorFlow's rule for 'same' and 'valid', and explicit padding. */
export function windowOf(size: readonly [number, number], k: readonly [number, number], o: WindowOptions): Window {
  const strides = both(o.strides ?? 1);
  const dilations = both(o.dilations ?? 1);
  const padding = o.padding ?? 'valid';
  const axis = (a: 0 | 1): readonly [number, number] => {
    const extent = (k[a] - 1) * dilations[a] + 1;
    if (padding === 'same') {
      const out = Math.ceil(size[a] / strides[a]);
      return [Math.floor(Math.max((out - 1) * strides[a] + extent - size[a], 0) / 2), out];
    }
    const pads = padding === 'valid' ? [0, 0] : typeof padding === 'number' ? [padding, padding] : padding[a];
    return [pads[0], Math.max(0, Math.floor((size[a] + pads[0] + pads[1] - extent) / strides[a]) + 1)];
  };
  const [[top, outH], [left, outW]] = [axis(0), axis(1)];
  return { strides, dilations, top, left, outH, outW };
}

/** Calls `visit` for every pixel of the image [n, h, w] that a window meets: output pixel, image pixel, tap. */
export function eachTap(
  [n, h, w]: readonly number[],
  [kH, kW]: readonly number[],
  { strides, dilations, top, left, outH, outW }: Window,
  visit: (outPixel: number, inPixel: number, tap: number) => void,
): void {
  for (let i = 0; i < n!; i++)
    for (let oy = 0; oy < outH; oy++)
      for (let ox = 0; ox < outW; ox++)
        for (let ky = 0; ky < kH!; ky++)
          for (let kx = 0; kx < kW!; kx++) {
            const y = oy * strides[0] - top + ky * dilations[0];
            const x = ox * strides[1] - left + kx * dilations[1];
            if (y < 0 || y >= h! || x < 0 || x >= w!) continue;
            visit((i * outH + oy) * outW + ox, (i * h! + y) * w! + x, ky * kW! + kx);
          }
}

/** Every product of a convolution as (index in y, index in x, index in filter): y, dx and dw are sums over these. */
export function eachProduct(
  xShape: Shape4,
  filterShape: Shape4,
  window: Window,
  kind: { readonly groups?: number; readonly depthwise?: boolean },
  visit: (y: number, x: number, w: number) => void,
): void {
  const [, , , inC] = xShape;
  const [, , filterIn, filterOut] = filterShape;
  const outC = kind.depthwise === true ? filterIn * filterOut : filterOut;
  const groups = kind.groups ?? 1;
  eachTap(xShape, filterShape, window, (outPixel, inPixel, tap) => {
    for (let co = 0; co < outC; co++) {
      if (kind.depthwise === true) {
        visit(outPixel * outC + co, inPixel * inC + Math.floor(co / filterOut), tap * outC + co);
        continue;
      }
      const first = Math.floor(co / (outC / groups)) * filterIn;
      for (let ci = 0; ci < filterIn; ci++)
        visit(outPixel * outC + co, inPixel * inC + first + ci, (tap * filterIn + ci) * filterOut + co);
    }
  });
}

/** Batch norm with the batch's statistics, per channel over all other axes. */
export function batchNorm(
  x: Float64Array,
  gamma: Float64Array,
  beta: Float64Array,
  o: { readonly epsilon: number; readonly residual?: Float64Array; readonly relu?: boolean },
): { readonly y: Float64Array; readonly mean: Float64Array; readonly variance: Float64Array } {
  const channels = gamma.length;
  const pixels = x.length / channels;
  const [mean, variance] = [new Float64Array(channels), new Float64Array(channels)];
  x.forEach((v, i) => (mean[i % channels] = mean[i % channels]! + v / pixels));
  x.forEach((v, i) => (variance[i % channels] = variance[i % channels]! + (v - mean[i % channels]!) ** 2 / pixels));
  const y = x.map((v, i) => {
    const c = i % channels;
    const out = (gamma[c]! * (v - mean[c]!)) / Math.sqrt(variance[c]! + o.epsilon) + beta[c]! + (o.residual?.[i] ?? 0);
    return o.relu === true ? Math.max(out, 0) : out;
  });
  return { y, mean, variance };
}

/** Layer norm over rows of gamma's length. */
export function layerNorm(x: Float64Array, gamma: Float64Array, beta: Float64Array, epsilon: number): Float64Array {
  const width = gamma.length;
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += width) {
    const row = x.subarray(start, start + width);
    const mean = row.reduce((s, r) => s + r, 0) / width;
    const variance = row.reduce((s, r) => s + (r - mean) ** 2, 0) / width;
    row.forEach((v, c) => {
      y[start + c] = (gamma[c]! * (v - mean)) / Math.sqrt(variance + epsilon) + beta[c]!;
    });
  }
  return y;
}

/** −Σ target · log softmax(logits), row by row; targets are distributions. */
export function crossEntropy(logits: Float64Array, targets: Float64Array, classes: number): Float64Array {
  return Float64Array.from({ length: logits.length / classes }, (_, i) => {
    const row = logits.subarray(i * classes, (i + 1) * classes);
    const top = row.reduce((m, v) => Math.max(m, v), -Infinity);
    const lse = top + Math.log(row.reduce((s, v) => s + Math.exp(v - top), 0));
    return row.reduce((loss, v, c) => loss + targets[i * classes + c]! * (lse - v), 0);
  });
}

/** x · Φ(x), erf by its Taylor series near 0 and by its continued fraction far out. */
export function gelu(x: Float64Array): Float64Array {
  return x.map((v) => 0.5 * v * (1 + erf(v / Math.SQRT2)));
}

function erf(x: number): number {
  const a = Math.abs(x);
  if (a < 3) {
    let [term, sum] = [a, a];
    for (let k = 1; k < 200; k++) {
      term *= (-a * a) / k;
      sum += term / (2 * k + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let k = 60; k >= 1; k--) fraction = k / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + fraction)));
}

/**
 * dy · ∂f/∂v for the numbers of every named input, by central differences in float64. Of an input of more than `most`
 * numbers only some are differentiated, spread over all of it; the others are NaN.
 */
export function differences(
  f: (values: Readonly<Record<string, Float64Array>>) => Float64Array,
  values: Readonly<Record<string, Float64Array>>,
  names: readonly string[],
  dy: Float64Array,
  most = 40,
): Readonly<Record<string, Float64Array>> {
  const h = 1e-6;
  const weigh = (y: Float64Array): number => y.reduce((sum, v, i) => sum + v * dy[i]!, 0);
  const slope = (name: string, i: number): number => {
    const moved = (by: number): number => {
      const copy = Float64Array.from(values[name]!);
      copy[i] = copy[i]! + by;
      return weigh(f({ ...values, [name]: copy }));
    };
    return (moved(h) - moved(-h)) / (2 * h);
  };
  const slopes = (name: string): Float64Array => {
    const step = Math.ceil(values[name]!.length / most);
    // The offset walks with i so that strided picks meet every channel.
    return values[name]!.map((_, i) => ((i + Math.floor(i / step)) % step === 0 ? slope(name, i) : NaN));
  };
  return Object.fromEntries(names.map((name) => [name, slopes(name)]));
}
