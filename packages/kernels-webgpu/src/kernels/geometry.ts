import type { ConvGeometry } from '@polder/ops/geometry';

/** The geometry as uniforms, in the order of {@link geometryNumbers}. */
export const GEOMETRY_UNIFORMS: Readonly<Record<string, 'i32'>> = {
  n: 'i32',
  inH: 'i32',
  inW: 'i32',
  inC: 'i32',
  outH: 'i32',
  outW: 'i32',
  outC: 'i32',
  kH: 'i32',
  kW: 'i32',
  strideH: 'i32',
  strideW: 'i32',
  dilationH: 'i32',
  dilationW: 'i32',
  top: 'i32',
  left: 'i32',
};

export function geometryNumbers(g: ConvGeometry): readonly number[] {
  return Object.keys(GEOMETRY_UNIFORMS).map((name) => g[name as keyof ConvGeometry]);
}
