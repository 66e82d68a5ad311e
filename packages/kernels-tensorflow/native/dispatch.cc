#include "kernels.h"

namespace polder {

#if defined(__x86_64__)
namespace avx512 {
extern const Convolutions convolutions;
extern const Normalisations normalisations;
extern const Rows rows;
}  // namespace avx512
namespace avx2 {
extern const Convolutions convolutions;
extern const Normalisations normalisations;
extern const Rows rows;
}  // namespace avx2
#endif

const Kernels* kernels() {
#if defined(__x86_64__)
  static const Kernels wide = {16, avx512::convolutions, avx512::normalisations, avx512::rows};
  static const Kernels narrow = {8, avx2::convolutions, avx2::normalisations, avx2::rows};
  static const Kernels* const best = [] {
    __builtin_cpu_init();
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512dq");
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return avx512 ? &wide : avx2 ? &narrow : nullptr;
  }();
  return best;
#else
  return nullptr;
#endif
}

}  // namespace polder
