// Compiled once for each instruction set: TARGET names the table. No standard library in here: an inline function
// compiled for one instruction set could be linked into code for another.
#include "kernels.h"
#include "vectors.h"

namespace polder {
namespace {

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

namespace TARGET {
extern const Normalisations normalisations;
const Normalisations normalisations = {moments, normalise, slope_sums, normalise_grad};
}  // namespace TARGET

}  // namespace polder
