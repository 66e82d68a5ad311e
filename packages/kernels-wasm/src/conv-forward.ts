import type { ConvGeometry } from '@polder/ops/geometry';
import { B_IN_L1, GROUP_BYTES, rowTables, type RowTable } from './gemm-tables.js';
import { geometryKey, roundUp } from './geometry.js';
import { imageParts, inParts, mainLane, partRange } from './lanes.js';
import { convWinograd, winogradPays } from './winograd.js';
import { planFor, scratch, type Runtime } from './runtime.js';

// Forward convolution as an implicit matrix product. Images are copied into a zero-padded buffer, a group that fits the
// second-level cache at a time; there the kx taps of an output pixel are one run of kW · C floats, so a filter of
// kH × kW makes kH runs. Strides, borders and image ends vanish into the table of row offsets.

interface ForwardPlan {
  /** The image itself serves as the buffer: nothing to pad. */
  readonly direct: boolean;
  readonly channels: number;
  readonly columns: number;
  readonly paddedH: number;
  readonly paddedW: number;
  readonly group: number;
  readonly rows: (images: number) => RowTable;
  readonly pieces: number;
  readonly runs: number;
  readonly depth: number;
  readonly order: number;
}

function forwardPlan(runtime: Runtime, g: ConvGeometry): ForwardPlan {
  return planFor(runtime, `forward ${geometryKey(g)}`, (table) => {
    const channels = roundUp(g.inC, 4);
    const columns = roundUp(g.outC, 8);
    const needH = (g.outH - 1) * g.strideH + (g.kH - 1) * g.dilationH + 1;
    const needW = (g.outW - 1) * g.strideW + (g.kW - 1) * g.dilationW + 1;
    const direct = channels === g.inC && g.top === 0 && g.left === 0 && needH <= g.inH && needW <= g.inW;
    const paddedH = direct ? g.inH : Math.max(needH, g.inH + g.top);
    const paddedW = direct ? g.inW : Math.max(needW, g.inW + g.left);
    const pixel = channels * 4;
    const group = Math.max(1, Math.min(g.n, Math.floor(GROUP_BYTES / (paddedH * paddedW * pixel))));
    const rows = rowTables(table, g.outH * g.outW, group, (image) => {
      const [a, c]: [number[], number[]] = [[], []];
      for (let y = 0; y < g.outH; y++)
        for (let x = 0; x < g.outW; x++) {
          a.push(((image * paddedH + y * g.strideH) * paddedW + x * g.strideW) * pixel);
          c.push(((image * g.outH + y) * g.outW + x) * columns * 4);
        }
      return { a, c };
    });
    const joined = g.dilationW === 1;
    const runsPerRow = joined ? 1 : g.kW;
    const pieces = Array.from({ length: g.kH * runsPerRow }, (_, run) => {
      const [ky, kx] = [Math.floor(run / runsPerRow), run % runsPerRow];
      return (ky * g.dilationH * paddedW + kx * g.dilationW) * pixel;
    });
    return {
      direct,
      channels,
      columns,
      paddedH,
      paddedW,
      group,
      rows,
      pieces: table(pieces),
      runs: pieces.length,
      depth: joined ? g.kW * channels : channels,
      order: table(Array.from({ length: g.kH * g.kW }, (_, tap) => tap)),
    };
  });
}

/** y = x ∗ filter; addresses of NHWC, HWIO and NHWC float32s. The geometry must not be empty. */
export function convForward(runtime: Runtime, x: number, filter: number, y: number, g: ConvGeometry): void {
  if (winogradPays(g)) return convWinograd(runtime, x, filter, y, g, false);
  const plan = forwardPlan(runtime, g);
  const { channels, columns, group, runs, depth } = plan;
  const taps = g.kH * g.kW;
  const panelBytes = taps * channels * columns * 4;
  const packed = scratch(runtime, 'filter', panelBytes);
  mainLane(runtime).kernels.packFilter(filter, g.inC, g.outC, channels, plan.order, taps, packed);
  const rowsOutside = panelBytes <= B_IN_L1 ? 1 : 0;
  const [imageIn, imageOut] = [g.inH * g.inW * g.inC * 4, g.outH * g.outW * g.outC * 4];
  const pixels = g.outH * g.outW;
  inParts(runtime, imageParts(g.n), ({ kernels, scratch }, part) => {
    const [from, to] = partRange(g.n, imageParts(g.n), part);
    const buffer = plan.direct ? 0 : scratch('images', group * plan.paddedH * plan.paddedW * channels * 4);
    const wide = columns === g.outC ? 0 : scratch('columns', group * pixels * columns * 4);
    for (let i = from; i < to; i += group) {
      const count = Math.min(group, to - i);
      const images = x + i * imageIn;
      if (!plan.direct) {
        const { paddedH, paddedW } = plan;
        kernels.padImages(images, count, g.inH, g.inW, g.inC, channels, g.top, g.left, paddedH, paddedW, buffer);
      }
      const { rows, a, c } = plan.rows(count);
      const result = y + i * imageOut;
      const source = plan.direct ? images : buffer;
      const panels = columns / 8;
      kernels.implicitGemm(rows, a, c, source, wide || result, plan.pieces, runs, depth, packed, panels, rowsOutside);
      if (wide !== 0) kernels.unpadRows(wide, count * pixels, columns, g.outC, result);
    }
  });
}
