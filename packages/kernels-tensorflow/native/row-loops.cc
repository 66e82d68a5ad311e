// Compiled once for each instruction set: TARGET names the table. No standard library in here: an inline function
// compiled for one instruction set could be linked into code for another.
#include "kernels.h"
#include "vectors.h"

namespace polder {
namespace {

inline __attribute__((always_inline)) Vector all(float v) { return Vector{} + v; }

// e^v for v ≤ 0; 0 below −87.
inline __attribute__((always_inline)) Vector exponential(Vector v) {
  const Vector clamped = v > all(-87.0f) ? v : all(-87.0f);
  // The nearest integer to v / ln 2 stands in the last bits of this sum.
  const Vector shifted = clamped * 1.44269504f + 12582912.0f;
  const Vector n = shifted - 12582912.0f;
  // ln 2 in two parts, so that the rest is exact.
  const Vector r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  // Taylor's series: |r| ≤ ln 2 / 2, so the next term is below 2^-29.
  Vector p = all(1.0f / 5040);
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  IntVector bits, exponent;
  __builtin_memcpy(&bits, &p, sizeof(bits));
  __builtin_memcpy(&exponent, &shifted, sizeof(exponent));
  bits += exponent << 23;
  __builtin_memcpy(&p, &bits, sizeof(bits));
  return v > all(-87.0f) ? p : Vector{};
}

struct Normal {
  Vector below;    // Φ(x)
  Vector density;  // e^(−x²/2)
};

// Φ(−|x|) = e^(−x²/2) · t · P(t) with t = 1 / (1 + 0.26 |x|); P by least squares on the relative error, which is below
// 2.5e-8 up to |x| = 14, where Φ has left the range of floats.
inline __attribute__((always_inline)) Normal normal(Vector x) {
  const Vector size = x < Vector{} ? -x : x;
  const Vector t = 1.0f / (size * 0.26f + 1.0f);
  Vector p = all(3.050520500e-02f);
  p = p * t - 1.528303074e-01f;
  p = p * t + 2.514941991e-01f;
  p = p * t - 1.509521134e-01f;
  p = p * t + 1.609499067e-01f;
  p = p * t + 5.102686116e-02f;
  p = p * t + 1.030304505e-01f;
  p = p * t + 1.030167247e-01f;
  p = p * t + 1.037590613e-01f;
  const Vector density = exponential(size * size * -0.5f);
  const Vector tail = density * t * p;
  return {x < Vector{} ? tail : 1.0f - tail, density};
}

inline __attribute__((always_inline)) Vector gelu_of(Vector x) {
  // At −∞ the product would be none.
  return x > all(-100.0f) ? x * normal(x).below : x != x ? x : Vector{};
}

inline __attribute__((always_inline)) Vector gelu_slope(Vector x) {
  const Normal n = normal(x);
  const Vector density = n.density * 0.3989422804f;
  return (x > all(-100.0f) && x < all(100.0f)) ? n.below + x * density : x != x ? x : n.below;
}

// Runs body(pointers at vector i) over all vectors; what is left over goes through padded copies.
template <typename Body>
inline __attribute__((always_inline)) void over(long size, const float* a, const float* b, float* out,
                                                const Body& body) {
  long i = 0;
  for (; i + kLanes <= size; i += kLanes) write(out + i, body(read<Vector>(a + i), read<Vector>(b + i)));
  if (i == size) return;
  float left[kLanes] = {}, right[kLanes] = {}, result[kLanes];
  for (long k = i; k < size; k++) left[k - i] = a[k], right[k - i] = b[k];
  write(result, body(read<Vector>(left), read<Vector>(right)));
  for (long k = i; k < size; k++) out[k] = result[k - i];
}

void gelu(long size, const float* x, float* y) {
  over(size, x, x, y, [](Vector v, Vector) __attribute__((always_inline)) { return gelu_of(v); });
}

void gelu_grad(long size, const float* x, const float* dy, float* dx) {
  over(size, x, dy, dx, [](Vector v, Vector d) __attribute__((always_inline)) { return d * gelu_slope(v); });
}

inline __attribute__((always_inline)) float sum_of(Vector v) {
  float parts[kLanes];
  write(parts, v);
  for (int step = kLanes / 2; step > 0; step /= 2)
    for (int i = 0; i < step; i++) parts[i] += parts[i + step];
  return parts[0];
}

void layer_norm(long rows, long width, const float* x, const float* gamma, const float* beta, float epsilon, float* y,
                float* mean, float* rstd) {
  const float share = 1.0f / static_cast<float>(width);
  for (long row = 0; row < rows; row++, x += width, y += width) {
    Vector sums = {};
    float sum = 0;
    long i = 0;
    for (; i + kLanes <= width; i += kLanes) sums += read<Vector>(x + i);
    for (; i < width; i++) sum += x[i];
    const float m = (sum_of(sums) + sum) * share;
    sums = Vector{};
    sum = 0;
    for (i = 0; i + kLanes <= width; i += kLanes) {
      const Vector d = read<Vector>(x + i) - m;
      sums += d * d;
    }
    for (; i < width; i++) sum += (x[i] - m) * (x[i] - m);
    const float r = 1.0f / __builtin_sqrtf((sum_of(sums) + sum) * share + epsilon);
    for (i = 0; i + kLanes <= width; i += kLanes)
      write(y + i, (read<Vector>(x + i) - m) * r * read<Vector>(gamma + i) + read<Vector>(beta + i));
    for (; i < width; i++) y[i] = (x[i] - m) * r * gamma[i] + beta[i];
    mean[row] = m;
    rstd[row] = r;
  }
}

void layer_norm_grad(long rows, long width, const float* x, const float* gamma, const float* mean, const float* rstd,
                     const float* dy, float* dx, float* dgamma, float* dbeta) {
  const float share = 1.0f / static_cast<float>(width);
  for (long row = 0; row < rows; row++, x += width, dy += width, dx += width) {
    const float m = mean[row], r = rstd[row];
    Vector slopes = {}, products = {};
    float slope = 0, product = 0;
    long i = 0;
    for (; i + kLanes <= width; i += kLanes) {
      const Vector d = read<Vector>(dy + i), h = (read<Vector>(x + i) - m) * r, g = d * read<Vector>(gamma + i);
      write(dgamma + i, read<Vector>(dgamma + i) + d * h);
      write(dbeta + i, read<Vector>(dbeta + i) + d);
      slopes += g;
      products += g * h;
    }
    for (; i < width; i++) {
      const float h = (x[i] - m) * r, g = dy[i] * gamma[i];
      dgamma[i] += dy[i] * h;
      dbeta[i] += dy[i];
      slope += g;
      product += g * h;
    }
    const float s = (sum_of(slopes) + slope) * share, p = (sum_of(products) + product) * share;
    for (i = 0; i + kLanes <= width; i += kLanes) {
      const Vector h = (read<Vector>(x + i) - m) * r, g = read<Vector>(dy + i) * read<Vector>(gamma + i);
      write(dx + i, (g - s - h * p) * r);
    }
    for (; i < width; i++) dx[i] = (dy[i] * gamma[i] - s - (x[i] - m) * r * p) * r;
  }
}

void softmax_grad(long rows, long width, const float* y, const float* dy, float* dx) {
  for (long row = 0; row < rows; row++, y += width, dy += width, dx += width) {
    Vector sums = {};
    float sum = 0;
    long i = 0;
    for (; i + kLanes <= width; i += kLanes) sums += read<Vector>(y + i) * read<Vector>(dy + i);
    for (; i < width; i++) sum += y[i] * dy[i];
    const float whole = sum_of(sums) + sum;
    for (i = 0; i + kLanes <= width; i += kLanes)
      write(dx + i, (read<Vector>(dy + i) - whole) * read<Vector>(y + i));
    for (; i < width; i++) dx[i] = (dy[i] - whole) * y[i];
  }
}

}  // namespace

namespace TARGET {
extern const Rows rows;
const Rows rows = {gelu, gelu_grad, layer_norm, layer_norm_grad, softmax_grad};
}  // namespace TARGET

}  // namespace polder
