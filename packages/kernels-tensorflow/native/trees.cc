// Arithmetic over all parameters at once: a training step has as many small tensors as layers, and an op for each costs
// more than its numbers. Every sum is in a fixed order; nothing is contracted, so that fused updates give the bits of the
// separate operations.
#include <cstring>
#include <vector>

#include "parts.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace polder {
namespace {

using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

// Leaves are shared out where there are numbers enough, each to one thread; `of_leaf` makes a number of a leaf.
template <typename T, typename OfLeaf>
std::vector<T> of_leaves(OpKernelContext* context, const OpInputList& leaves, const OfLeaf& of_leaf) {
  std::vector<T> results(leaves.size());
  int64_t size = 0;
  for (const Tensor& leaf : leaves) size += leaf.NumElements();
  const int64_t parts = std::min<int64_t>(leaves.size(), parts_for(size, 0.5));
  for_parts(context, parts, [&](int64_t part) {
    const Range range = part_of(leaves.size(), parts, part);
    for (int64_t i = range.begin; i < range.end; i++) results[i] = of_leaf(floats(leaves[i]), leaves[i].NumElements());
  });
  return results;
}

class SumOfSquares : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    OpInputList leaves;
    OP_REQUIRES_OK(context, context->input_list("leaves", &leaves));
    double total = 0;
    for (const double leaf : of_leaves<double>(context, leaves, sum_of)) total += leaf;
    Tensor* sum = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({}), &sum));
    sum->scalar<float>()() = static_cast<float>(total);
  }

 private:
  static double sum_of(const float* x, int64_t size) {
    double sums[8] = {};
    int64_t i = 0;
    for (; i + 8 <= size; i += 8)
      for (int64_t k = 0; k < 8; k++) sums[k] += static_cast<double>(x[i + k]) * x[i + k];
    for (; i < size; i++) sums[0] += static_cast<double>(x[i]) * x[i];
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
  }
};

class AllFinite : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    OpInputList leaves;
    OP_REQUIRES_OK(context, context->input_list("leaves", &leaves));
    bool all = true;
    // Not bool: threads write neighbours, which std::vector<bool> packs into one word.
    for (const char leaf : of_leaves<char>(context, leaves, is_finite)) all = all && leaf != 0;
    Tensor* finite = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({}), &finite));
    finite->scalar<bool>()() = all;
  }

 private:
  static char is_finite(const float* x, int64_t size) {
    uint32_t largest = 0;
    for (int64_t i = 0; i < size; i++) {
      uint32_t bits;
      std::memcpy(&bits, x + i, sizeof(bits));
      bits &= 0x7fffffffu;
      largest = bits > largest ? bits : largest;
    }
    return largest < 0x7f800000u;
  }
};

// condition ? t : e, without a copy.
class Select : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& condition = context->input(0);
    OP_REQUIRES(context, condition.NumElements() == 1, absl::InvalidArgumentError("one condition for all"));
    context->set_output(0, context->input(condition.flat<bool>()(0) ? 1 : 2));
  }
};

class Axpy : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    OP_REQUIRES(context, context->input(0).NumElements() == 1, absl::InvalidArgumentError("one scale"));
    const float scale = floats(context->input(0))[0];
    const Tensor& tx = context->input(1);
    const float *x = floats(tx), *y = floats(context->input(2));
    OP_REQUIRES(context, tx.shape() == context->input(2).shape(), absl::InvalidArgumentError("two shapes"));
    Tensor* out = nullptr;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({1, 2}, 0, tx.shape(), &out));
    float* sum = floats(*out);
    const int64_t size = tx.NumElements();
    for (int64_t i = 0; i < size; i++) sum[i] = x[i] * scale + y[i];
  }
};

// The update of momentum SGD of @polder/ops.
class Sgd : public OpKernel {
 public:
  explicit Sgd(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("momentum", &momentum_));
    OP_REQUIRES_OK(context, context->GetAttr("weight_decay", &weight_decay_));
    OP_REQUIRES_OK(context, context->GetAttr("nesterov", &nesterov_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& weight = context->input(0);
    const float *w = floats(weight), *g = floats(context->input(1)), *v = floats(context->input(2));
    const int64_t size = weight.NumElements();
    OP_REQUIRES(context, context->input(3).NumElements() == 1, absl::InvalidArgumentError("one rate"));
    const float rate = floats(context->input(3))[0];
    OP_REQUIRES(context, context->input(1).NumElements() == size && context->input(2).NumElements() == size,
                absl::InvalidArgumentError("weight, gradient and velocity of one shape"));
    Tensor *moved = nullptr, *kept = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, weight.shape(), &moved));
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({1}, 1, weight.shape(), &kept));
    float *to = floats(*moved), *velocity = floats(*kept);
    const int64_t parts = parts_for(size, 1);
    for_parts(context, parts, [&](int64_t part) {
      const Range range = part_of(size, parts, part);
      update(range, w, g, v, rate, to, velocity);
    });
  }

 private:
  void update(const Range& range, const float* w, const float* g, const float* v, float rate, float* to,
              float* velocity) const {
    const bool decays = weight_decay_ != 0;
    for (int64_t i = range.begin; i < range.end; i++) {
      const float slope = decays ? g[i] + w[i] * weight_decay_ : g[i];
      const float next = v[i] * momentum_ + slope;
      const float step = nesterov_ ? slope + next * momentum_ : next;
      velocity[i] = next;
      to[i] = w[i] - step * rate;
    }
  }

  float momentum_, weight_decay_;
  bool nesterov_;
};

using tensorflow::shape_inference::InferenceContext;

absl::Status scalar(InferenceContext* context) {
  context->set_output(0, context->Scalar());
  return absl::OkStatus();
}

absl::Status as_second(InferenceContext* context) {
  context->set_output(0, context->input(1));
  return absl::OkStatus();
}

REGISTER_OP("PolderSumOfSquares").Input("leaves: N * float").Output("sum: float").Attr("N: int >= 1").SetShapeFn(scalar);
REGISTER_OP("PolderAllFinite").Input("leaves: N * float").Output("finite: bool").Attr("N: int >= 1").SetShapeFn(scalar);
REGISTER_OP("PolderSelect")
    .Input("condition: bool")
    .Input("t: T")
    .Input("e: T")
    .Output("chosen: T")
    .Attr("T: type")
    .SetShapeFn(as_second);
REGISTER_OP("PolderAxpy")
    .Input("scale: float")
    .Input("x: float")
    .Input("y: float")
    .Output("sum: float")
    .SetShapeFn(as_second);
REGISTER_OP("PolderSgd")
    .Input("weight: float")
    .Input("gradient: float")
    .Input("velocity: float")
    .Input("rate: float")
    .Output("moved: float")
    .Output("kept: float")
    .Attr("momentum: float")
    .Attr("weight_decay: float")
    .Attr("nesterov: bool")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->input(0));
      context->set_output(1, context->input(0));
      return absl::OkStatus();
    });

REGISTER_KERNEL_BUILDER(Name("PolderSumOfSquares").Device(tensorflow::DEVICE_CPU), SumOfSquares);
REGISTER_KERNEL_BUILDER(Name("PolderAllFinite").Device(tensorflow::DEVICE_CPU), AllFinite);
REGISTER_KERNEL_BUILDER(Name("PolderSelect").Device(tensorflow::DEVICE_CPU), Select);
REGISTER_KERNEL_BUILDER(Name("PolderAxpy").Device(tensorflow::DEVICE_CPU), Axpy);
REGISTER_KERNEL_BUILDER(Name("PolderSgd").Device(tensorflow::DEVICE_CPU), Sgd);

}  // namespace
}  // namespace polder
