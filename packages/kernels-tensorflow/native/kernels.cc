// Compiled once with -mavx512f (and company) and once with -mavx2 -mfma; TARGET names the table. No standard library in
// here: an inline function compiled for one instruction set could be linked into code for another.
#include "kernels.h"

namespace polder {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
// Accumulators of a tile: 16 of 32 registers, enough for two multiply-adds a cycle that take four cycles each.
constexpr int kWide = 8, kNarrow = 16;
#else
constexpr int kLanes = 8;
constexpr int kWide = 6, kNarrow = 12;
#endif

typedef float Vector __attribute__((vector_size(kLanes * 4)));

// Tensors are aligned, their rows and channels are not.
template <typename V>
inline __attribute__((always_inline)) V read(const float* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof(V));
  return v;
}
template <typename V>
inline __attribute__((always_inline)) void write(float* p, V v) {
  __builtin_memcpy(p, &v, sizeof(V));
}

// ---- convolution

// T pixels of a row times V vectors of channels.
template <int T, int V>
inline __attribute__((always_inline)) void conv_tile(const ConvShape& s, const float* image, const float* filter,
                                                     float* y) {
  Vector sum[T][V];
#pragma GCC unroll 16
  for (int t = 0; t < T; t++)
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) sum[t][v] = Vector{};
  for (long tap = 0; tap < s.taps; tap++) {
    const float* x = image + tap * s.row_stride;
    const float* w = filter + tap * s.run * s.channels;
    for (long i = 0; i < s.run; i++, w += s.channels) {
      Vector taps[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) taps[v] = read<Vector>(w + v * kLanes);
#pragma GCC unroll 16
      for (int t = 0; t < T; t++) {
        const float pixel = x[t * s.column_step + i];
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) sum[t][v] += taps[v] * pixel;
      }
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < T; t++)
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) write(y + t * s.out_column_step + v * kLanes, sum[t][v]);
}

template <int T, int V>
inline __attribute__((always_inline)) void conv_row(const ConvShape& s, const float* image, const float* filter,
                                                    float* y) {
  long column = 0;
  for (; column + T <= s.columns; column += T)
    conv_tile<T, V>(s, image + column * s.column_step, filter, y + column * s.out_column_step);
  if constexpr (T > 1) {
    if (column == s.columns) return;
    ConvShape rest = s;
    rest.columns = s.columns - column;
    conv_row<T / 2, V>(rest, image + column * s.column_step, filter, y + column * s.out_column_step);
  }
}

template <int T, int V>
__attribute__((noinline)) void conv_block(const ConvShape& s, const float* image, const float* filter, float* y) {
  for (long row = 0; row < s.rows; row++)
    conv_row<T, V>(s, image + row * s.row_step, filter, y + row * s.out_row_step);
}

void conv(const ConvShape& s, const float* image, const float* filter, float* y) {
  long channel = 0;
  for (; channel + 2 * kLanes <= s.channels; channel += 2 * kLanes)
    conv_block<kWide, 2>(s, image, filter + channel, y + channel);
  for (; channel < s.channels; channel += kLanes) conv_block<kNarrow, 1>(s, image, filter + channel, y + channel);
}

// B numbers of a filter row times V vectors of channels, over all pixels.
template <int B, int V>
__attribute__((noinline)) void filter_block(const ConvShape& s, const float* image, const float* dy, float* dfilter) {
  Vector sum[B][V];
#pragma GCC unroll 16
  for (int b = 0; b < B; b++)
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) sum[b][v] = Vector{};
  for (long row = 0; row < s.rows; row++) {
    const float* x = image + row * s.row_step;
    const float* slope = dy + row * s.columns * s.channels;
    for (long column = 0; column < s.columns; column++, x += s.column_step, slope += s.channels) {
      Vector slopes[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) slopes[v] = read<Vector>(slope + v * kLanes);
#pragma GCC unroll 16
      for (int b = 0; b < B; b++) {
        const float pixel = x[b];
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) sum[b][v] += slopes[v] * pixel;
      }
    }
  }
#pragma GCC unroll 16
  for (int b = 0; b < B; b++)
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) {
      float* d = dfilter + b * s.channels + v * kLanes;
      write(d, read<Vector>(d) + sum[b][v]);
    }
}

template <int B, int V>
void filter_row(const ConvShape& s, const float* image, const float* dy, float* dfilter, long run) {
  long i = 0;
  for (; i + B <= run; i += B) filter_block<B, V>(s, image + i, dy, dfilter + i * s.channels);
  if constexpr (B > 1)
    if (i < run) filter_row<B / 2, V>(s, image + i, dy, dfilter + i * s.channels, run - i);
}

void conv_filter_grad(const ConvShape& s, const float* image, const float* dy, float* dfilter) {
  for (long tap = 0; tap < s.taps; tap++) {
    const float* x = image + tap * s.row_stride;
    float* d = dfilter + tap * s.run * s.channels;
    long channel = 0;
    for (; channel + 2 * kLanes <= s.channels; channel += 2 * kLanes)
      filter_row<kWide, 2>(s, x, dy + channel, d + channel, s.run);
    for (; channel < s.channels; channel += kLanes) filter_row<kNarrow, 1>(s, x, dy + channel, d + channel, s.run);
  }
}

// ---- Winograd's F(2×2, 3×3) (Lavin & Gray 2016): 16 multiplications for what takes 36, for windows of 3 × 3 that move by
// one pixel. An image falls into tiles of 2 × 2 pixels of the output, each made from 4 × 4 of the input; `16` below counts
// the numbers of a transformed tile. Sizes of the output are even, channels fill vectors.

// Tiles whose transform stays in the nearest cache.
constexpr long kTiles = 16;

// From one number of all tiles to the next: not a power of two, of which the cache would keep few.
inline long position(long capacity, long channels) { return capacity * channels + kGap; }

inline __attribute__((always_inline)) void transform_4(Vector d[4]) {
  const Vector a = d[0] - d[2], b = d[1] + d[2], c = d[2] - d[1], e = d[1] - d[3];
  d[0] = a, d[1] = b, d[2] = c, d[3] = e;
}

void winograd_input(const ConvShape& s, const float* image, long first, long tiles, long capacity, float* v) {
  const long channels = s.run / 3, across = s.columns / 2, step = position(capacity, channels);
  for (long t = 0; t < tiles; t++) {
    const float* corner =
        image + (first + t) / across * 2 * s.row_stride + (first + t) % across * 2 * channels;
    for (long c = 0; c < channels; c += kLanes) {
      Vector d[4][4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) d[i][j] = read<Vector>(corner + i * s.row_stride + j * channels + c);
        transform_4(d[i]);
      }
#pragma GCC unroll 4
      for (int j = 0; j < 4; j++) {
        Vector column[4] = {d[0][j], d[1][j], d[2][j], d[3][j]};
        transform_4(column);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) write(v + (i * 4 + j) * step + t * channels + c, column[i]);
      }
    }
  }
}

inline __attribute__((always_inline)) void spread_3(const Vector f[3], Vector out[4]) {
  const Vector sum = (f[0] + f[2]) * 0.5f, half = f[1] * 0.5f;
  out[0] = f[0], out[1] = sum + half, out[2] = sum - half, out[3] = f[2];
}

void winograd_filter(long numbers, const float* filter, float* u) {
  for (long n = 0; n < numbers; n += kLanes) {
    Vector rows[3][4];
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++) {
      const Vector f[3] = {read<Vector>(filter + i * 3 * numbers + n), read<Vector>(filter + (i * 3 + 1) * numbers + n),
                           read<Vector>(filter + (i * 3 + 2) * numbers + n)};
      spread_3(f, rows[i]);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
      const Vector f[3] = {rows[0][j], rows[1][j], rows[2][j]};
      Vector column[4];
      spread_3(f, column);
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) write(u + (i * 4 + j) * numbers + n, column[i]);
    }
  }
}

void winograd(const ConvShape& s, const float* image, const float* u, float* scratch, float* y) {
  const long in = s.run / 3, across = s.columns / 2, all = s.rows / 2 * across;
  const long from = position(kTiles, in), to = position(kTiles, s.channels);
  float *v = scratch, *m = scratch + 16 * from;
  for (long first = 0; first < all; first += kTiles) {
    const long tiles = all - first < kTiles ? all - first : kTiles;
    winograd_input(s, image, first, tiles, kTiles, v);
    // Products of matrices, [tiles, in] · [in, channels]: convolutions of 1 × 1.
    const ConvShape product = {1, tiles, s.channels, 1, in, 0, 0, in, 0, s.channels};
    for (long i = 0; i < 16; i++)
      conv(product, v + i * from, u + i * in * s.channels, m + i * to);
    for (long t = 0; t < tiles; t++) {
      float* corner = y + (first + t) / across * 2 * s.out_row_step + (first + t) % across * 2 * s.out_column_step;
      for (long c = 0; c < s.channels; c += kLanes) {
        Vector rows[2][4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
          const auto at = [&](int i) __attribute__((always_inline)) {
            return read<Vector>(m + (i * 4 + j) * to + t * s.channels + c);
          };
          const Vector a = at(0), b = at(1), d = at(2), e = at(3);
          rows[0][j] = (a + b) + d;
          rows[1][j] = (b - d) - e;
        }
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
          float* row = corner + i * s.out_row_step + c;
          write(row, (rows[i][0] + rows[i][1]) + rows[i][2]);
          write(row + s.out_column_step, (rows[i][1] - rows[i][2]) - rows[i][3]);
        }
      }
    }
  }
}

inline __attribute__((always_inline)) void spread_2(Vector f0, Vector f1, Vector out[4]) {
  const Vector a = f0 * 0.5f, b = f1 * 0.5f;
  out[0] = f0, out[1] = a + b, out[2] = a - b, out[3] = f1;
}

void winograd_slope(const ConvShape& s, const float* dy, long first, long tiles, long capacity, float* w) {
  const long across = s.columns / 2, row = s.columns * s.channels, step = position(capacity, s.channels);
  for (long t = 0; t < tiles; t++) {
    const float* corner = dy + (first + t) / across * 2 * row + (first + t) % across * 2 * s.channels;
    for (long c = 0; c < s.channels; c += kLanes) {
      Vector rows[2][4];
#pragma GCC unroll 2
      for (int i = 0; i < 2; i++)
        spread_2(read<Vector>(corner + i * row + c), read<Vector>(corner + i * row + s.channels + c), rows[i]);
#pragma GCC unroll 4
      for (int j = 0; j < 4; j++) {
        Vector column[4];
        spread_2(rows[0][j], rows[1][j], column);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) write(w + (i * 4 + j) * step + t * s.channels + c, column[i]);
      }
    }
  }
}

void winograd_products(const ConvShape& s, long tiles, long capacity, const float* v, const float* w, float* sums) {
  const long in = s.run / 3;
  // [in, tiles] · [tiles, channels]: gradients in filters of 1 × 1.
  const ConvShape product = {1, tiles, s.channels, 1, in, 0, 0, in, 0, s.channels};
  for (long i = 0; i < 16; i++)
    conv_filter_grad(product, v + i * position(capacity, in), w + i * position(capacity, s.channels),
                     sums + i * in * s.channels);
}

void winograd_filter_grad(long numbers, const float* sums, float* dfilter) {
  for (long n = 0; n < numbers; n += kLanes) {
    Vector rows[3][4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
      const auto at = [&](int i) __attribute__((always_inline)) {
        return read<Vector>(sums + (i * 4 + j) * numbers + n);
      };
      const Vector a = at(0), b = at(1), d = at(2), e = at(3);
      rows[0][j] = (a + b) + d, rows[1][j] = b - d, rows[2][j] = (b + d) - e;
    }
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++) {
      const Vector a = rows[i][0], b = rows[i][1], d = rows[i][2], e = rows[i][3];
      write(dfilter + i * 3 * numbers + n, (a + b) + d);
      write(dfilter + (i * 3 + 1) * numbers + n, b - d);
      write(dfilter + (i * 3 + 2) * numbers + n, (b + d) - e);
    }
  }
}

// ---- batch norm

// Channels are taken by vectors, and those left over one by one, as vectors of one number: `float`.
inline __attribute__((always_inline)) Vector positive(Vector v) { return v > Vector{} ? v : Vector{}; }
inline __attribute__((always_inline)) float positive(float v) { return v > 0 ? v : 0; }
inline __attribute__((always_inline)) Vector where_positive(Vector y, Vector v) { return y > Vector{} ? v : Vector{}; }
inline __attribute__((always_inline)) float where_positive(float y, float v) { return y > 0 ? v : 0; }

// Partial sums of one channel: a sum of four cycles' latency would leave the memory idle.
constexpr int kChains = 4;

template <typename V>
inline __attribute__((always_inline)) void moments_of(long pixels, long channels, const float* x, float* mean,
                                                      float* squares) {
  V sums[kChains] = {};
  long p = 0;
  for (; p + kChains <= pixels; p += kChains)
#pragma GCC unroll 4
    for (int k = 0; k < kChains; k++) sums[k] += read<V>(x + (p + k) * channels);
  for (; p < pixels; p++) sums[0] += read<V>(x + p * channels);
  const V m = ((sums[0] + sums[1]) + (sums[2] + sums[3])) * (1.0f / static_cast<float>(pixels));
  V squared[kChains] = {};
  for (p = 0; p + kChains <= pixels; p += kChains)
#pragma GCC unroll 4
    for (int k = 0; k < kChains; k++) {
      const V d = read<V>(x + (p + k) * channels) - m;
      squared[k] += d * d;
    }
  for (; p < pixels; p++) {
    const V d = read<V>(x + p * channels) - m;
    squared[0] += d * d;
  }
  write(mean, m);
  write(squares, (squared[0] + squared[1]) + (squared[2] + squared[3]));
}

void moments(long pixels, long channels, const float* x, float* mean, float* squares) {
  long c = 0;
  for (; c + kLanes <= channels; c += kLanes) moments_of<Vector>(pixels, channels, x + c, mean + c, squares + c);
  for (; c < channels; c++) moments_of<float>(pixels, channels, x + c, mean + c, squares + c);
}

template <typename V, bool kResidual, bool kRelu>
inline __attribute__((always_inline)) void normalise_of(long pixels, long channels, const float* x, const float* scale,
                                                        const float* offset, const float* residual, float* y) {
  const V s = read<V>(scale), o = read<V>(offset);
#pragma GCC unroll 4
  for (long p = 0; p < pixels; p++) {
    V v = read<V>(x + p * channels) * s + o;
    if (kResidual) v += read<V>(residual + p * channels);
    write(y + p * channels, kRelu ? positive(v) : v);
  }
}

template <bool kResidual, bool kRelu>
void normalise_all(long pixels, long channels, const float* x, const float* scale, const float* offset,
                   const float* residual, float* y) {
  long c = 0;
  for (; c + kLanes <= channels; c += kLanes)
    normalise_of<Vector, kResidual, kRelu>(pixels, channels, x + c, scale + c, offset + c, residual + c, y + c);
  for (; c < channels; c++)
    normalise_of<float, kResidual, kRelu>(pixels, channels, x + c, scale + c, offset + c, residual + c, y + c);
}

void normalise(long pixels, long channels, const float* x, const float* scale, const float* offset,
               const float* residual, bool relu, float* y) {
  if (residual == nullptr)
    (relu ? normalise_all<false, true> : normalise_all<false, false>)(pixels, channels, x, scale, offset, x, y);
  else
    (relu ? normalise_all<true, true> : normalise_all<true, false>)(pixels, channels, x, scale, offset, residual, y);
}

template <typename V, bool kRelu>
inline __attribute__((always_inline)) V slope_at(const float* y, const float* dy, long at) {
  const V d = read<V>(dy + at);
  return kRelu ? where_positive(read<V>(y + at), d) : d;
}

template <typename V, bool kRelu>
inline __attribute__((always_inline)) void slope_sums_of(long pixels, long channels, const float* x, const float* mean,
                                                         const float* y, const float* dy, float* sums,
                                                         float* products) {
  const V m = read<V>(mean);
  V sum[kChains] = {}, product[kChains] = {};
  long p = 0;
  for (; p + kChains <= pixels; p += kChains)
#pragma GCC unroll 4
    for (int k = 0; k < kChains; k++) {
      const long at = (p + k) * channels;
      const V slope = slope_at<V, kRelu>(y, dy, at);
      sum[k] += slope;
      product[k] += slope * (read<V>(x + at) - m);
    }
  for (; p < pixels; p++) {
    const V slope = slope_at<V, kRelu>(y, dy, p * channels);
    sum[0] += slope;
    product[0] += slope * (read<V>(x + p * channels) - m);
  }
  write(sums, (sum[0] + sum[1]) + (sum[2] + sum[3]));
  write(products, (product[0] + product[1]) + (product[2] + product[3]));
}

template <bool kRelu>
void slope_sums_all(long pixels, long channels, const float* x, const float* mean, const float* y, const float* dy,
                    float* sums, float* products) {
  long c = 0;
  for (; c + kLanes <= channels; c += kLanes)
    slope_sums_of<Vector, kRelu>(pixels, channels, x + c, mean + c, y + c, dy + c, sums + c, products + c);
  for (; c < channels; c++)
    slope_sums_of<float, kRelu>(pixels, channels, x + c, mean + c, y + c, dy + c, sums + c, products + c);
}

void slope_sums(long pixels, long channels, const float* x, const float* mean, const float* y, const float* dy,
                float* sums, float* products) {
  if (y == nullptr)
    slope_sums_all<false>(pixels, channels, x, mean, x, dy, sums, products);
  else
    slope_sums_all<true>(pixels, channels, x, mean, y, dy, sums, products);
}

template <typename V, bool kRelu, bool kSlope>
inline __attribute__((always_inline)) void normalise_grad_of(long pixels, long channels, const float* x,
                                                             const float* mean, const float* y, const float* dy,
                                                             const float* a, const float* b, const float* c, float* dx,
                                                             float* slope) {
  const V m = read<V>(mean), va = read<V>(a), vb = read<V>(b), vc = read<V>(c);
#pragma GCC unroll 4
  for (long p = 0; p < pixels; p++) {
    const long at = p * channels;
    const V s = slope_at<V, kRelu>(y, dy, at);
    write(dx + at, s * va + ((read<V>(x + at) - m) * vb + vc));
    if (kSlope) write(slope + at, s);
  }
}

template <bool kRelu, bool kSlope>
void normalise_grad_all(long pixels, long channels, const float* x, const float* mean, const float* y, const float* dy,
                        const float* a, const float* b, const float* c, float* dx, float* slope) {
  long i = 0;
  for (; i + kLanes <= channels; i += kLanes)
    normalise_grad_of<Vector, kRelu, kSlope>(pixels, channels, x + i, mean + i, y + i, dy + i, a + i, b + i, c + i,
                                             dx + i, slope + i);
  for (; i < channels; i++)
    normalise_grad_of<float, kRelu, kSlope>(pixels, channels, x + i, mean + i, y + i, dy + i, a + i, b + i, c + i,
                                            dx + i, slope + i);
}

void normalise_grad(long pixels, long channels, const float* x, const float* mean, const float* y, const float* dy,
                    const float* a, const float* b, const float* c, float* dx, float* slope) {
  if (y == nullptr)
    normalise_grad_all<false, false>(pixels, channels, x, mean, x, dy, a, b, c, dx, dx);
  else if (slope == nullptr)
    normalise_grad_all<true, false>(pixels, channels, x, mean, y, dy, a, b, c, dx, dx);
  else
    normalise_grad_all<true, true>(pixels, channels, x, mean, y, dy, a, b, c, dx, slope);
}

}  // namespace

extern const Kernels TARGET;
const Kernels TARGET = {conv, conv_filter_grad, winograd_input, winograd_filter, winograd, winograd_slope, winograd_products, winograd_filter_grad, moments, normalise, slope_sums, normalise_grad};

}  // namespace polder
