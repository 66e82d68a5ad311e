// Vectors of the instruction set that a file is compiled for.
#ifndef POLDER_VECTORS_H_
#define POLDER_VECTORS_H_

namespace polder {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#else
constexpr int kLanes = 8;
#endif

typedef float Vector __attribute__((vector_size(kLanes * 4)));
typedef int IntVector __attribute__((vector_size(kLanes * 4)));

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

}  // namespace
}  // namespace polder

#endif  // POLDER_VECTORS_H_
