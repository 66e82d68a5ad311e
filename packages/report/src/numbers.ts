import type { Interval } from './intervals.js';

/**
 * A number for readers: four significant digits, thousands separated, very large and very small ones as powers of ten.
 * Deterministic: no locale.
 */
export function formatNumber(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞';
  const size = Math.abs(value);
  const sign = value < 0 ? '−' : '';
  if (size === 0) return '0';
  if (size >= 1e7 || size < 1e-3) {
    const [mantissa, exponent] = size.toExponential(2).split('e') as [string, string];
    return `${sign}${trimZeros(mantissa)}e${exponent.replace('+', '').replace('-', '−')}`;
  }
  if (Number.isInteger(value)) return sign + groupThousands(String(size));
  const text = size.toPrecision(4);
  // toPrecision writes 12345.6 as 1.235e+4.
  return sign + (text.includes('e') ? groupThousands(String(Math.round(size))) : trimZeros(text));
}

/** A fraction (0…1) as a percentage with two decimals. */
export function formatPercent(value: number): string {
  return Number.isFinite(value) ? `${(100 * value).toFixed(2).replace('-', '−')} %` : formatNumber(value);
}

/** `value ± half`, both with as many decimals as give the half two significant digits. */
export function formatUncertain(value: number, half: number): string {
  if (!Number.isFinite(value) || !Number.isFinite(half) || half <= 0) return formatNumber(value);
  const decimals = 1 - Math.floor(Math.log10(half));
  if (decimals > 8 || decimals < 0 || Math.abs(value) >= 1e7) return `${formatNumber(value)} ± ${formatNumber(half)}`;
  return `${value.toFixed(decimals).replace('-', '−')} ± ${half.toFixed(decimals)}`;
}

/** A mean with its interval, as `mean ± half`; alone where there is no interval. Percentages come as fractions. */
export function formatInterval({ estimate, high }: Interval, unit: 'number' | 'percent'): string {
  if (!Number.isFinite(high)) return unit === 'percent' ? formatPercent(estimate) : formatNumber(estimate);
  return unit === 'percent'
    ? `${formatUncertain(100 * estimate, 100 * (high - estimate))} %`
    : formatUncertain(estimate, high - estimate);
}

function trimZeros(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

function groupThousands(digits: string): string {
  return digits.replace(/\B(?=(\d{3})+$)/g, ' ');
}
