// Compiled once for each instruction set: TARGET names the table. No standard library in here: an inline function
// compiled for one instruction set could be linked into code for another.
#include "kernels.h"
#include "vectors.h"

namespace polder {
namespace {

#if defined(__AVX512F__)
// Accumulators of a tile: 16 of 32 registers, enough for two multiply-adds a cycle that take four cycles each.
constexpr int kWide = 8, kNarrow = 16;
#else
constexpr int kWide = 6, kNarrow = 12;
#endif

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

}  // namespace

namespace TARGET {
extern const Convolutions convolutions;
const Convolutions convolutions = {conv,     conv_filter_grad, winograd_input,    winograd_filter,
                                   winograd, winograd_slope,   winograd_products, winograd_filter_grad};
}  // namespace TARGET

}  // namespace polder
