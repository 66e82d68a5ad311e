// GELU, layer norm, the gradient of softmax and dropout's masks, each with one pass over its tensors.
#include <vector>

#include "kernels.h"
#include "parts.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace polder {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

bool same_sizes(OpKernelContext* context, int a, int b) {
  const bool same = kernels() != nullptr && context->input(a).shape() == context->input(b).shape();
  if (!same) context->CtxFailure(absl::InvalidArgumentError("two tensors of one shape"));
  return same;
}

class Gelu : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    if (!same_sizes(context, 0, 0)) return;
    Tensor* y = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &y));
    const int64_t parts = parts_for(x.NumElements(), 2);
    for_parts(context, parts, [&](int64_t part) {
      const Range r = part_of(x.NumElements(), parts, part);
      kernels()->rows.gelu(r.end - r.begin, floats(x) + r.begin, floats(*y) + r.begin);
    });
  }
};

class GeluGradient : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor &x = context->input(0), &dy = context->input(1);
    if (!same_sizes(context, 0, 1)) return;
    Tensor* dx = nullptr;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({1, 0}, 0, x.shape(), &dx));
    const int64_t parts = parts_for(x.NumElements(), 2);
    for_parts(context, parts, [&](int64_t part) {
      const Range r = part_of(x.NumElements(), parts, part);
      kernels()->rows.gelu_grad(r.end - r.begin, floats(x) + r.begin, floats(dy) + r.begin, floats(*dx) + r.begin);
    });
  }
};

struct Matrix {
  int64_t rows, width, parts;
};

Matrix matrix_of(const Tensor& x) {
  const int64_t width = x.dims() == 0 ? 1 : x.dim_size(x.dims() - 1);
  const int64_t rows = x.NumElements() / std::max<int64_t>(1, width);
  return {rows, width, parts_for(rows, static_cast<double>(width))};
}

class LayerNorm : public OpKernel {
 public:
  explicit LayerNorm(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("epsilon", &epsilon_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor &x = context->input(0), &gamma = context->input(1), &beta = context->input(2);
    const Matrix m = matrix_of(x);
    if (!same_sizes(context, 1, 2)) return;
    OP_REQUIRES(context, gamma.NumElements() == m.width, absl::InvalidArgumentError("one gamma for a column"));
    Tensor *y = nullptr, *mean = nullptr, *rstd = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &y));
    OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({m.rows}), &mean));
    OP_REQUIRES_OK(context, context->allocate_output(2, TensorShape({m.rows}), &rstd));
    for_parts(context, m.parts, [&](int64_t part) {
      const Range r = part_of(m.rows, m.parts, part);
      const int64_t at = r.begin * m.width;
      kernels()->rows.layer_norm(r.end - r.begin, m.width, floats(x) + at, floats(gamma), floats(beta), epsilon_,
                                 floats(*y) + at, floats(*mean) + r.begin, floats(*rstd) + r.begin);
    });
  }

 private:
  float epsilon_;
};

class LayerNormGradient : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor &x = context->input(0), &gamma = context->input(1), &mean = context->input(2);
    const Tensor &rstd = context->input(3), &dy = context->input(4);
    const Matrix m = matrix_of(x);
    if (!same_sizes(context, 0, 4) || !same_sizes(context, 2, 3)) return;
    OP_REQUIRES(context, gamma.NumElements() == m.width && mean.NumElements() == m.rows,
                absl::InvalidArgumentError("one gamma for a column, one mean for a row"));
    Tensor *dx = nullptr, *dgamma = nullptr, *dbeta = nullptr;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({4, 0}, 0, x.shape(), &dx));
    OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({m.width}), &dgamma));
    OP_REQUIRES_OK(context, context->allocate_output(2, TensorShape({m.width}), &dbeta));
    // Sums of a few hundred rows in floats, those of all in doubles, in a fixed order.
    constexpr int64_t kRows = 256;
    std::vector<std::vector<double>> sums(m.parts);
    for_parts(context, m.parts, [&](int64_t part) {
      const Range r = part_of(m.rows, m.parts, part);
      sums[part].assign(2 * m.width, 0);
      std::vector<float> block(2 * m.width);
      for (int64_t row = r.begin; row < r.end; row += kRows) {
        block.assign(2 * m.width, 0);
        const int64_t at = row * m.width;
        kernels()->rows.layer_norm_grad(std::min(kRows, r.end - row), m.width, floats(x) + at, floats(gamma),
                                        floats(mean) + row, floats(rstd) + row, floats(dy) + at, floats(*dx) + at,
                                        block.data(), block.data() + m.width);
        for (int64_t i = 0; i < 2 * m.width; i++) sums[part][i] += block[i];
      }
    });
    for (int64_t i = 0; i < m.width; i++) {
      double scale = 0, offset = 0;
      for (const auto& of_part : sums) scale += of_part[i], offset += of_part[m.width + i];
      floats(*dgamma)[i] = static_cast<float>(scale);
      floats(*dbeta)[i] = static_cast<float>(offset);
    }
  }
};

class SoftmaxGradient : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor &y = context->input(0), &dy = context->input(1);
    if (!same_sizes(context, 0, 1)) return;
    Tensor* dx = nullptr;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({1, 0}, 0, y.shape(), &dx));
    const Matrix m = matrix_of(y);
    for_parts(context, m.parts, [&](int64_t part) {
      const Range r = part_of(m.rows, m.parts, part);
      const int64_t at = r.begin * m.width;
      kernels()->rows.softmax_grad(r.end - r.begin, m.width, floats(y) + at, floats(dy) + at, floats(*dx) + at);
    });
  }
};

// The generator of @polder/models' device-random.ts, whose words of 12 bits are integers here: the same masks.
class KeepMask : public OpKernel {
 public:
  explicit KeepMask(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("rows", &rows_));
    OP_REQUIRES_OK(context, context->GetAttr("columns", &columns_));
    OP_REQUIRES_OK(context, context->GetAttr("threshold", &threshold_));
    OP_REQUIRES_OK(context, context->GetAttr("key", &key_));
    OP_REQUIRES(context, rows_ >= 0 && columns_ >= 0 && key_.size() == 4,
                absl::InvalidArgumentError("rows, columns and four words"));
  }

  void Compute(OpKernelContext* context) override {
    OP_REQUIRES(context, context->input(0).NumElements() == 1, absl::InvalidArgumentError("one counter"));
    Tensor* mask = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({rows_, columns_}), &mask));
    const auto counter = static_cast<uint32_t>(floats(context->input(0))[0]);
    const Words key = encrypt(split(counter), {word(0), word(1)}, 10);
    const Words row_key = {(key.high + word(2)) & kMask, (key.low + word(2)) & kMask};
    const Words column_key = {(key.high + word(3)) & kMask, (key.low + word(3)) & kMask};
    std::vector<uint32_t> high(columns_), low(columns_);
    for (int64_t c = 0; c < columns_; c++) {
      const Words words = encrypt(split(c), column_key, 10);
      high[c] = words.high, low[c] = words.low;
    }
    const int64_t parts = parts_for(rows_, static_cast<double>(columns_) * 8);
    for_parts(context, parts, [&](int64_t part) {
      const Range range = part_of(rows_, parts, part);
      for (int64_t r = range.begin; r < range.end; r++) {
        const Words row = encrypt(split(r), row_key, 10);
        float* out = floats(*mask) + r * columns_;
        for (int64_t c = 0; c < columns_; c++) {
          const Words words = encrypt({(row.high + high[c]) & kMask, (row.low + low[c]) & kMask}, key, 5);
          out[c] = static_cast<float>(words.high * 4096 + words.low) >= threshold_ ? 1.0f : 0.0f;
        }
      }
    });
  }

 private:
  static constexpr uint32_t kMask = 4095;

  struct Words {
    uint32_t high, low;
  };

  static Words split(uint32_t value) { return {value >> 12, value & kMask}; }

  static Words encrypt(Words words, Words key, uint32_t rounds) {
    for (uint32_t round = 0; round < rounds; round++) {
      const uint32_t product = words.high * 0xd29;
      const uint32_t round_key = (round % 2 == 0 ? key.high : key.low) + ((round * 0x9e3) & kMask);
      words = {((product >> 12) + words.low + round_key) & kMask, product & kMask};
    }
    return words;
  }

  uint32_t word(int i) const { return static_cast<uint32_t>(key_[i]); }

  int64_t rows_, columns_;
  float threshold_;
  std::vector<int32_t> key_;
};

using tensorflow::shape_inference::InferenceContext;

absl::Status as_first(InferenceContext* context) {
  context->set_output(0, context->input(0));
  return absl::OkStatus();
}

REGISTER_OP("PolderGelu").Input("x: float").Output("y: float").SetShapeFn(as_first);
REGISTER_OP("PolderGeluGrad").Input("x: float").Input("dy: float").Output("dx: float").SetShapeFn(as_first);
REGISTER_OP("PolderSoftmaxGrad").Input("y: float").Input("dy: float").Output("dx: float").SetShapeFn(as_first);
REGISTER_OP("PolderLayerNorm")
    .Input("x: float")
    .Input("gamma: float")
    .Input("beta: float")
    .Output("y: float")
    .Output("mean: float")
    .Output("rstd: float")
    .Attr("epsilon: float")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->input(0));
      context->set_output(1, context->UnknownShapeOfRank(1));
      context->set_output(2, context->UnknownShapeOfRank(1));
      return absl::OkStatus();
    });
REGISTER_OP("PolderLayerNormGrad")
    .Input("x: float")
    .Input("gamma: float")
    .Input("mean: float")
    .Input("rstd: float")
    .Input("dy: float")
    .Output("dx: float")
    .Output("dgamma: float")
    .Output("dbeta: float")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->input(0));
      context->set_output(1, context->input(1));
      context->set_output(2, context->input(1));
      return absl::OkStatus();
    });
REGISTER_OP("PolderKeepMask")
    .Input("counter: float")
    .Output("mask: float")
    .Attr("rows: int")
    .Attr("columns: int")
    .Attr("threshold: float")
    .Attr("key: list(int)")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->UnknownShapeOfRank(2));
      return absl::OkStatus();
    });

REGISTER_KERNEL_BUILDER(Name("PolderGelu").Device(tensorflow::DEVICE_CPU), Gelu);
REGISTER_KERNEL_BUILDER(Name("PolderGeluGrad").Device(tensorflow::DEVICE_CPU), GeluGradient);
REGISTER_KERNEL_BUILDER(Name("PolderSoftmaxGrad").Device(tensorflow::DEVICE_CPU), SoftmaxGradient);
REGISTER_KERNEL_BUILDER(Name("PolderLayerNorm").Device(tensorflow::DEVICE_CPU), LayerNorm);
REGISTER_KERNEL_BUILDER(Name("PolderLayerNormGrad").Device(tensorflow::DEVICE_CPU), LayerNormGradient);
REGISTER_KERNEL_BUILDER(Name("PolderKeepMask").Device(tensorflow::DEVICE_CPU), KeepMask);

}  // namespace
}  // namespace polder
