import type { ConvGeometry } from '@polder/ops/geometry';
import { B_IN_L1, GROUP_BYTES, rowTables, type RowTable } from './gemm-tables.js';
import { geometryKey, roundUp } from './geometry.js';
import { imageParts, inParts, mainLane, partRange } from './lanes.js';
import { convWinograd, transposedGeometry, winogradPays } from './winograd.js';
import { planFor, scratch, type Runtime } from './runtime.js';

// Gradient of a convolution in its image: again an implicit matrix product, over output channels, with the filter
// transposed. With strides, the image falls into strideH · strideW phases of pixels that the same taps reach; each phase
// is its own product over dy, so that no zeros are multiplied.

interface Phase {
  readonly taps: number;
  readonly order: number;
  readonly rows: (images: number) => RowTable;
  readonly pieces: number;
  readonly runs: number;
  readonly depth: number;
}

interface InputPlan {
  readonly direct: boolean;
  readonly channels: number;
  readonly columns: number;
  readonly before: readonly [number, number];
  readonly paddedH: number;
  readonly paddedW: number;
  readonly group: number;
  readonly phases: readonly Phase[];
  /** Some phases have no taps: their pixels' gradient is zero. */
  readonly holes: boolean;
}

/** The taps of one axis that reach pixels at `phase` (mod stride), and from which dy, relative to the pixel's number. */
function axisTaps(phase: number, k: number, stride: number, dilation: number, pad: number): readonly AxisTap[] {
  return Array.from({ length: k }, (_, tap) => ({ tap, from: (phase + pad - tap * dilation) / stride }))
    .filter(({ from }) => Number.isInteger(from))
    .sort((a, b) => a.from - b.from);
}

interface AxisTap {
  readonly tap: number;
  readonly from: number;
}

function inputPlan(runtime: Runtime, g: ConvGeometry): InputPlan {
  return planFor(runtime, `input ${geometryKey(g)}`, (table) => {
    const channels = roundUp(g.outC, 4);
    const columns = roundUp(g.inC, 8);
    const rowPhases = phasesOfAxis(g.inH, g.kH, g.strideH, g.dilationH, g.top);
    const columnPhases = phasesOfAxis(g.inW, g.kW, g.strideW, g.dilationW, g.left);
    const rowReach = reach(rowPhases, g.outH);
    const columnReach = reach(columnPhases, g.outW);
    const [paddedH, paddedW] = [rowReach.padded, columnReach.padded];
    const direct = channels === g.outC && paddedH === g.outH && paddedW === g.outW;
    const pixel = channels * 4;
    const group = Math.max(1, Math.min(g.n, Math.floor(GROUP_BYTES / (paddedH * paddedW * pixel))));
    const phases: Phase[] = [];
    for (const row of rowPhases)
      for (const column of columnPhases) {
        if (row.taps.length === 0 || column.taps.length === 0) continue;
        const rows = rowTables(table, row.count * column.count, group, (image) => {
          const [a, c]: [number[], number[]] = [[], []];
          for (let y = 0; y < row.count; y++)
            for (let x = 0; x < column.count; x++) {
              a.push(((image * paddedH + y) * paddedW + x) * pixel);
              const [iy, ix] = [row.phase + y * g.strideH, column.phase + x * g.strideW];
              c.push(((image * g.inH + iy) * g.inW + ix) * columns * 4);
            }
          return { a, c };
        });
        const joined = column.taps.every((t, i) => i === 0 || t.from === column.taps[i - 1]!.from + 1);
        const starts = joined ? column.taps.slice(0, 1) : column.taps;
        const pieces = row.taps.flatMap((r) =>
          starts.map((c) => ((r.from + rowReach.before) * paddedW + c.from + columnReach.before) * pixel),
        );
        phases.push({
          taps: row.taps.length * column.taps.length,
          order: table(row.taps.flatMap((r) => column.taps.map((c) => r.tap * g.kW + c.tap))),
          rows,
          pieces: table(pieces),
          runs: pieces.length,
          depth: joined ? column.taps.length * channels : channels,
        });
      }
    const before = [rowReach.before, columnReach.before] as const;
    const holes = phases.length < rowPhases.length * columnPhases.length;
    return { direct, channels, columns, before, paddedH, paddedW, group, phases, holes };
  });
}

interface AxisPhase {
  readonly phase: number;
  readonly count: number;
  readonly taps: readonly AxisTap[];
}

function phasesOfAxis(size: number, k: number, stride: number, dilation: number, pad: number): readonly AxisPhase[] {
  return Array.from({ length: Math.min(stride, size) }, (_, phase) => ({
    phase,
    count: Math.ceil((size - phase) / stride),
    taps: axisTaps(phase, k, stride, dilation, pad),
  }));
}

/** How much zero padding dy needs so that every tap of every pixel finds something. */
function reach(phases: readonly AxisPhase[], size: number): { readonly before: number; readonly padded: number } {
  const firsts = phases.flatMap(({ taps }) => taps.map((t) => t.from));
  const lasts = phases.flatMap(({ taps, count }) => taps.map((t) => t.from + count));
  const before = Math.max(0, ...firsts.map((f) => -f));
  return { before, padded: before + Math.max(size, ...lasts) };
}

/** dx from dy and filter; the geometry is the forward convolution's and must not be empty. */
export function convInput(runtime: Runtime, dy: number, filter: number, dx: number, g: ConvGeometry): void {
  if (winogradPays(g) && winogradPays(transposedGeometry(g))) {
    return convWinograd(runtime, dy, filter, dx, transposedGeometry(g), true);
  }
  const plan = inputPlan(runtime, g);
  const { channels, columns, group } = plan;
  const packed = scratch(runtime, 'filter', g.kH * g.kW * channels * columns * 4);
  const starts = packPhases(runtime, plan, filter, packed, g);
  const [imageIn, imageOut] = [g.outH * g.outW * g.outC * 4, g.inH * g.inW * g.inC * 4];
  const pixels = g.inH * g.inW;
  inParts(runtime, imageParts(g.n), ({ kernels, scratch }, part) => {
    const [from, to] = partRange(g.n, imageParts(g.n), part);
    const buffer = plan.direct ? 0 : scratch('images', group * plan.paddedH * plan.paddedW * channels * 4);
    const wide = columns === g.inC ? 0 : scratch('columns', group * pixels * columns * 4);
    for (let i = from; i < to; i += group) {
      const count = Math.min(group, to - i);
      const slopes = dy + i * imageIn;
      const result = dx + i * imageOut;
      const target = wide || result;
      if (plan.holes) kernels.zero(target, count * pixels * columns * 4);
      if (!plan.direct) {
        const { before, paddedH, paddedW } = plan;
        const [top, left] = before;
        kernels.padImages(slopes, count, g.outH, g.outW, g.outC, channels, top, left, paddedH, paddedW, buffer);
      }
      const source = plan.direct ? slopes : buffer;
      plan.phases.forEach(({ taps, rows: table, pieces, runs, depth }, index) => {
        const { rows, a, c } = table(count);
        const rowsOutside = taps * channels * columns * 4 <= B_IN_L1 ? 1 : 0;
        kernels.implicitGemm(rows, a, c, source, target, pieces, runs, depth, starts[index]!, columns / 8, rowsOutside);
      });
      if (wide !== 0) kernels.unpadRows(wide, count * pixels, columns, g.inC, result);
    }
  });
}

/** Packs the transposed filter phase by phase; answers where each phase's panels start. */
function packPhases(
  runtime: Runtime,
  { phases, channels, columns }: InputPlan,
  filter: number,
  packed: number,
  g: ConvGeometry,
): readonly number[] {
  const { kernels } = mainLane(runtime);
  let next = packed;
  return phases.map(({ taps, order }) => {
    const start = next;
    kernels.packFilterTransposed(filter, g.inC, g.outC, channels, order, taps, start);
    next += taps * channels * columns * 4;
    return start;
  });
}
