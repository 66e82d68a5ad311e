import type { ConvGeometry } from '@polder/ops/geometry';
import { geometryKey, roundUp } from './geometry.js';
import { inParts, mainLane, partRange, threadsOf, type Lane } from './lanes.js';
import { convFilterWinograd, winogradFilterPays } from './winograd-filter.js';
import { planFor, scratch, type Runtime } from './runtime.js';

// Gradient of a convolution in its filter: rows are (tap, input channel), columns output channels, and the inner axis is
// pixels. The image is copied channel by channel (planes), shifted by tap; dy goes to panels of 8 channels.
//
// 'rows': one copy per kx, ky is a row offset into it; inner runs are single images. Needs stride 1 in rows.
// 'taps': one copy per (ky, kx), all images of a group are one run. Any geometry.

/** Bytes of planes and panels worked on at a time. */
const GROUP_BYTES = 512 * 1024;
/**
 * Private sums of 8 parts take this much memory at most. Larger filters are not split by images but by columns, which
 * does not change any sum, so that there may be as many parts as threads.
 */
const SUM_BYTES = 2 * 1024 * 1024;

interface FilterPlan {
  readonly mode: 'rows' | 'taps';
  readonly group: number;
  readonly parts: number;
  readonly rows: number;
  readonly columns: number;
  readonly copies: readonly { readonly oy: number; readonly ox: number }[];
  /** Rows of one plane of one image. */
  readonly planeRows: number;
  /** Row offsets for a number of images (they are part of a plane's size). */
  readonly tables: (images: number) => { readonly a: number; readonly c: number };
  /** 1 × 1, stride 1, no padding: pixels are just pixels, rows do not matter. */
  readonly flat: boolean;
}

function filterPlan(runtime: Runtime, g: ConvGeometry): FilterPlan {
  return planFor(runtime, `filter ${geometryKey(g)}`, (table) => {
    const taps = g.kH * g.kW;
    const mode = g.strideH === 1 && g.kH > 1 && g.outW % 4 === 0 && g.outH >= 12 ? 'rows' : 'taps';
    const planeRows = mode === 'rows' ? g.outH + (g.kH - 1) * g.dilationH : g.outH;
    const copies =
      mode === 'rows'
        ? Array.from({ length: g.kW }, (_, kx) => ({ oy: -g.top, ox: kx * g.dilationW - g.left }))
        : Array.from({ length: taps }, (_, tap) => ({
            oy: Math.floor(tap / g.kW) * g.dilationH - g.top,
            ox: (tap % g.kW) * g.dilationW - g.left,
          }));
    const rows = roundUp(taps * g.inC, 6);
    const columns = roundUp(g.outC, 8);
    const perImage = copies.length * g.inC * planeRows * g.outW * 4 + columns * g.outH * g.outW * 4;
    const parts = 8 * rows * columns * 4 <= SUM_BYTES ? Math.min(8, g.n) : 1;
    const group = Math.max(1, Math.min(Math.ceil(g.n / parts), Math.floor(GROUP_BYTES / perImage)));
    const c = table(Array.from({ length: rows }, (_, row) => row * columns * 4));
    const offsets = Array.from({ length: group }, (_, index) => {
      const plane = planeBytes(mode, index + 1, planeRows, g);
      return table(
        Array.from({ length: rows }, (_, row) => {
          if (row >= taps * g.inC) return 0; // rows that fill the last tile: computed and thrown away
          const [tap, channel] = [Math.floor(row / g.inC), row % g.inC];
          const copy = mode === 'rows' ? tap % g.kW : tap;
          const down = mode === 'rows' ? Math.floor(tap / g.kW) * g.dilationH * g.outW * 4 : 0;
          return (copy * g.inC + channel) * plane + down;
        }),
      );
    });
    const flat = taps === 1 && g.strideH * g.strideW === 1 && g.inH === g.outH && g.inW === g.outW;
    const tables = (images: number) => ({ a: offsets[images - 1]!, c });
    return { mode, group, parts, rows, columns, copies, planeRows, tables, flat };
  });
}

function planeBytes(mode: 'rows' | 'taps', images: number, planeRows: number, g: ConvGeometry): number {
  // The micro-kernel takes 4 pixels at a step: planes of the 'taps' mode end in zeros.
  return (mode === 'rows' ? images * planeRows * g.outW : roundUp(images * g.outH * g.outW, 4)) * 4;
}

/** dw from x and dy; the geometry is the forward convolution's and must not be empty. */
export function convFilter(runtime: Runtime, x: number, dy: number, dw: number, g: ConvGeometry): void {
  if (winogradFilterPays(g)) return convFilterWinograd(runtime, x, dy, dw, g);
  const plan = filterPlan(runtime, g);
  const { rows, columns, parts } = plan;
  const sumBytes = rows * columns * 4;
  const sums = scratch(runtime, 'filter sums', parts * sumBytes);
  const everything = { images: [0, g.n], panels: [0, columns / 8] } as const;
  if (parts > 1) {
    inParts(runtime, parts, (lane, part) => {
      const share = { ...everything, images: partRange(g.n, parts, part) };
      sumProducts(lane, plan, g, x, dy, sums + part * sumBytes, share);
    });
  } else {
    const columnParts = Math.min(threadsOf(runtime), columns / 8);
    inParts(runtime, columnParts, (lane, part) => {
      const share = { ...everything, panels: partRange(columns / 8, columnParts, part) };
      sumProducts(lane, plan, g, x, dy, sums, share);
    });
  }
  const filterRows = g.kH * g.kW * g.inC;
  mainLane(runtime).kernels.sumParts(sums, parts, sumBytes, filterRows, g.outC, columns, dw);
}

/** What a part sums: images [from, to), panels of 8 output channels [from, to). */
interface Share {
  readonly images: readonly [number, number];
  readonly panels: readonly [number, number];
}

/** sum[rows][columns] = the products of a share's images, in its panels' columns. */
function sumProducts(
  { kernels, scratch }: Lane,
  plan: FilterPlan,
  g: ConvGeometry,
  x: number,
  dy: number,
  sum: number,
  { images: [firstImage, endImage], panels: [firstPanel, endPanel] }: Share,
): void {
  const { rows, columns, group, mode, planeRows } = plan;
  const pixels = g.outH * g.outW;
  const planes = scratch('planes', plan.copies.length * g.inC * planeBytes(mode, group, planeRows, g));
  const panels = scratch('panels', columns * roundUp(group * pixels, 4) * 4);
  const channels = Math.min(endPanel * 8, g.outC) - firstPanel * 8;
  kernels.zeroColumns(sum + firstPanel * 32, rows, columns, (endPanel - firstPanel) * 8);
  for (let i = firstImage; i < endImage; i += group) {
    const count = Math.min(group, endImage - i);
    const plane = planeBytes(mode, count, planeRows, g);
    const [runs, depth] = mode === 'rows' ? [count, pixels] : [1, plane / 4];
    copyPlanes(kernels, plan, g, x + i * g.inH * g.inW * g.inC * 4, count, planes);
    kernels.packPanels(
      dy + (i * pixels * g.outC + firstPanel * 8) * 4,
      count * pixels,
      g.outC,
      channels,
      runs * depth,
      panels,
    );
    const { a, c } = plan.tables(count);
    const stride = mode === 'rows' ? planeRows * g.outW * 4 : 0;
    const target = sum + firstPanel * 32;
    kernels.accumulateGemm(
      rows,
      a,
      c,
      planes,
      target,
      runs,
      stride,
      depth,
      panels,
      endPanel - firstPanel,
      runs * depth * 32,
    );
  }
}

/** Copies `count` images to planes, once per tap or per column of taps. */
function copyPlanes(
  kernels: Lane['kernels'],
  { copies, flat, mode, planeRows }: FilterPlan,
  g: ConvGeometry,
  images: number,
  count: number,
  planes: number,
): void {
  const plane = planeBytes(mode, count, planeRows, g);
  const pixels = g.outH * g.outW;
  copies.forEach(({ oy, ox }, copy) => {
    const d = planes + copy * g.inC * plane;
    if (flat) kernels.planarTap(images, 1, 1, count * pixels, g.inC, 0, 0, 1, 1, 1, count * pixels, plane, d);
    else {
      kernels.planarTap(images, count, g.inH, g.inW, g.inC, oy, ox, g.strideH, g.strideW, planeRows, g.outW, plane, d);
    }
  });
  if (mode === 'taps' && count * pixels * 4 < plane) {
    kernels.zeroPlaneTails(copies.length * g.inC, plane, count * pixels, plane / 4, planes);
  }
}
