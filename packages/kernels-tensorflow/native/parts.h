// Work in a number of parts that depends on its size alone, so that results do not depend on the number of threads.
#ifndef POLDER_PARTS_H_
#define POLDER_PARTS_H_

#include <algorithm>
#include <functional>

#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/lib/core/threadpool.h"

namespace polder {

constexpr int64_t kMaxParts = 16;

struct Range {
  int64_t begin, end;
};

// Part `part` of `parts` of `count` things.
inline Range part_of(int64_t count, int64_t parts, int64_t part) {
  return {count * part / parts, count * (part + 1) / parts};
}

// How many parts for `count` things of `cost` cycles each: none is so small that handing it over costs more.
inline int64_t parts_for(int64_t count, double cost) {
  const double worth = static_cast<double>(count) * cost / 40000;
  return std::max<int64_t>(1, std::min({kMaxParts, count, static_cast<int64_t>(worth)}));
}

inline void for_parts(tensorflow::OpKernelContext* context, int64_t parts, const std::function<void(int64_t)>& work) {
  if (parts == 1) return work(0);
  const auto* pool = context->device()->tensorflow_cpu_worker_threads();
  pool->workers->ParallelFor(parts, 1 << 20, [&work](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; part++) work(part);
  });
}

inline float* floats(tensorflow::Tensor& tensor) { return tensor.flat<float>().data(); }
inline const float* floats(const tensorflow::Tensor& tensor) { return tensor.flat<float>().data(); }

}  // namespace polder

#endif  // POLDER_PARTS_H_
