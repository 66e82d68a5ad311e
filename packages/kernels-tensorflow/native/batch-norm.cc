// Training batch norm with residual and ReLU, and its gradient: each reads its tensors twice and writes once.
#include <cmath>
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
using tensorflow::OpOutputList;
using tensorflow::Tensor;
using tensorflow::TensorShape;

// Numbers that stay in the nearest cache while a block is read twice.
constexpr int64_t kBlock = 6144;

struct Pixels {
  int64_t count, channels, block, blocks, parts;
};

Pixels pixels_of(const Tensor& x) {
  const int64_t channels = x.dim_size(x.dims() - 1), count = x.NumElements() / std::max<int64_t>(1, channels);
  const int64_t block = std::max<int64_t>(1, kBlock / std::max<int64_t>(1, channels));
  const int64_t blocks = (count + block - 1) / block;
  return {count, channels, block, blocks, parts_for(blocks, static_cast<double>(block * channels) / 4)};
}

// Calls work(first pixel, pixels) for the blocks of a part. The second pass over the same tensors goes backwards: what
// was read last is still in the cache.
template <typename Work>
void for_blocks(const Pixels& p, int64_t part, bool backwards, const Work& work) {
  const Range range = part_of(p.blocks, p.parts, part);
  for (int64_t i = 0; i < range.end - range.begin; i++) {
    const int64_t b = backwards ? range.end - 1 - i : range.begin + i;
    work(b * p.block, std::min(p.block, p.count - b * p.block));
  }
}

bool fits(OpKernelContext* context, std::initializer_list<int> inputs, int64_t size) {
  return std::all_of(inputs.begin(), inputs.end(),
                     [&](int input) { return context->input(input).NumElements() == size; });
}

class BatchNorm : public OpKernel {
 public:
  explicit BatchNorm(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("epsilon", &epsilon_));
    OP_REQUIRES_OK(context, context->GetAttr("relu", &relu_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    OP_REQUIRES(context, kernels() != nullptr && x.dims() >= 2 && x.NumElements() > 0,
                absl::InvalidArgumentError("numbers of rank 2 or more"));
    const float* gamma = floats(context->input(1));
    const float* beta = floats(context->input(2));
    const Pixels p = pixels_of(x);
    OP_REQUIRES(context, fits(context, {1, 2}, p.channels) && (context->num_inputs() == 3 || fits(context, {3}, p.count * p.channels)),
                absl::InvalidArgumentError("per channel one gamma and beta, a residual of the shape of x"));
    const TensorShape per_channel({p.channels});
    Tensor *y = nullptr, *mean = nullptr, *variance = nullptr;
    const bool residual = context->num_inputs() == 4;
    if (residual)
      OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({3}, 0, x.shape(), &y));
    else
      OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &y));
    OP_REQUIRES_OK(context, context->allocate_output(1, per_channel, &mean));
    OP_REQUIRES_OK(context, context->allocate_output(2, per_channel, &variance));

    // Chan, Golub and LeVeque 1983: means and sums of squares of blocks, put together in a fixed order.
    struct Moments {
      double count = 0;
      std::vector<double> mean, squares;
    };
    std::vector<Moments> moments(p.parts);
    const auto merge = [&](Moments& a, double count, const auto* mean, const auto* squares) {
      const double total = a.count + count;
      for (int64_t c = 0; c < p.channels; c++) {
        const double distance = mean[c] - a.mean[c];
        a.mean[c] += distance * (count / total);
        a.squares[c] += squares[c] + distance * distance * (a.count * count / total);
      }
      a.count = total;
    };
    for_parts(context, p.parts, [&](int64_t part) {
      Moments& sum = moments[part];
      sum.mean.assign(p.channels, 0);
      sum.squares.assign(p.channels, 0);
      std::vector<float> of_block(2 * p.channels);
      for_blocks(p, part, false, [&](int64_t first, int64_t pixels) {
        float *m = of_block.data(), *s = m + p.channels;
        kernels()->normalisations.moments(pixels, p.channels, floats(x) + first * p.channels, m, s);
        merge(sum, static_cast<double>(pixels), m, s);
      });
    });
    for (int64_t part = 1; part < p.parts; part++)
      merge(moments[0], moments[part].count, moments[part].mean.data(), moments[part].squares.data());

    std::vector<float> scale(p.channels), offset(p.channels);
    for (int64_t c = 0; c < p.channels; c++) {
      const double m = moments[0].mean[c], v = moments[0].squares[c] / static_cast<double>(p.count);
      const double s = gamma[c] / std::sqrt(v + epsilon_);
      floats(*mean)[c] = static_cast<float>(m);
      floats(*variance)[c] = static_cast<float>(v);
      scale[c] = static_cast<float>(s);
      offset[c] = static_cast<float>(beta[c] - m * s);
    }
    const float* other = residual ? floats(context->input(3)) : nullptr;
    for_parts(context, p.parts, [&](int64_t part) {
      for_blocks(p, part, true, [&](int64_t first, int64_t pixels) {
        const int64_t at = first * p.channels;
        kernels()->normalisations.normalise(pixels, p.channels, floats(x) + at, scale.data(), offset.data(),
                             residual ? other + at : nullptr, relu_, floats(*y) + at);
      });
    });
  }

 private:
  float epsilon_;
  bool relu_;
};

class BatchNormGradient : public OpKernel {
 public:
  explicit BatchNormGradient(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("epsilon", &epsilon_));
    OP_REQUIRES_OK(context, context->GetAttr("relu", &relu_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    const float* gamma = floats(context->input(1));
    const float* y = relu_ ? floats(context->input(2)) : nullptr;
    const float* mean = floats(context->input(3));
    const float* variance = floats(context->input(4));
    const float* dy = floats(context->input(5));
    OP_REQUIRES(context, kernels() != nullptr && x.dims() >= 2 && x.NumElements() > 0,
                absl::InvalidArgumentError("numbers of rank 2 or more"));
    const Pixels p = pixels_of(x);
    OP_REQUIRES(context, fits(context, {1, 3, 4}, p.channels) && fits(context, {5}, p.count * p.channels) && (!relu_ || fits(context, {2}, p.count * p.channels)),
                absl::InvalidArgumentError("per channel one gamma, mean and variance, y and dy of the shape of x"));
    const TensorShape per_channel({p.channels});
    Tensor *dx = nullptr, *dgamma = nullptr, *dbeta = nullptr, *slope = nullptr;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({5}, 0, x.shape(), &dx));
    OP_REQUIRES_OK(context, context->allocate_output(1, per_channel, &dgamma));
    OP_REQUIRES_OK(context, context->allocate_output(2, per_channel, &dbeta));
    const bool wanted = context->num_outputs() == 4;
    if (wanted) OP_REQUIRES_OK(context, context->allocate_output(3, x.shape(), &slope));

    std::vector<std::vector<double>> sums(p.parts);
    for_parts(context, p.parts, [&](int64_t part) {
      std::vector<double>& sum = sums[part];
      sum.assign(2 * p.channels, 0);
      std::vector<float> of_block(2 * p.channels);
      for_blocks(p, part, false, [&](int64_t first, int64_t pixels) {
        const int64_t at = first * p.channels;
        kernels()->normalisations.slope_sums(pixels, p.channels, floats(x) + at, mean, relu_ ? y + at : nullptr, dy + at,
                              of_block.data(), of_block.data() + p.channels);
        for (int64_t c = 0; c < 2 * p.channels; c++) sum[c] += of_block[c];
      });
    });
    for (int64_t part = 1; part < p.parts; part++)
      for (int64_t c = 0; c < 2 * p.channels; c++) sums[0][c] += sums[part][c];

    std::vector<float> a(p.channels), b(p.channels), k(p.channels);
    const double n = static_cast<double>(p.count);
    for (int64_t c = 0; c < p.channels; c++) {
      const double r = 1 / std::sqrt(static_cast<double>(variance[c]) + epsilon_), s = gamma[c] * r;
      const double sum = sums[0][c], product = sums[0][p.channels + c];
      floats(*dbeta)[c] = static_cast<float>(sum);
      floats(*dgamma)[c] = static_cast<float>(product * r);
      a[c] = static_cast<float>(s);
      b[c] = static_cast<float>(-s * r * r * product / n);
      k[c] = static_cast<float>(-s * sum / n);
    }
    for_parts(context, p.parts, [&](int64_t part) {
      for_blocks(p, part, true, [&](int64_t first, int64_t pixels) {
        const int64_t at = first * p.channels;
        kernels()->normalisations.normalise_grad(pixels, p.channels, floats(x) + at, mean, relu_ ? y + at : nullptr, dy + at, a.data(),
                                  b.data(), k.data(), floats(*dx) + at, wanted ? floats(*slope) + at : nullptr);
      });
    });
  }

 private:
  float epsilon_;
  bool relu_;
};

using tensorflow::shape_inference::InferenceContext;

REGISTER_OP("PolderBatchNorm")
    .Input("x: float")
    .Input("gamma: float")
    .Input("beta: float")
    .Input("residual: residuals * float")
    .Output("y: float")
    .Output("mean: float")
    .Output("variance: float")
    .Attr("residuals: int >= 0")
    .Attr("epsilon: float")
    .Attr("relu: bool")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->input(0));
      context->set_output(1, context->input(1));
      context->set_output(2, context->input(1));
      return absl::OkStatus();
    });
REGISTER_OP("PolderBatchNormGrad")
    .Input("x: float")
    .Input("gamma: float")
    .Input("y: float")
    .Input("mean: float")
    .Input("variance: float")
    .Input("dy: float")
    .Output("dx: float")
    .Output("dgamma: float")
    .Output("dbeta: float")
    .Output("slope: slopes * float")
    .Attr("slopes: int >= 0")
    .Attr("epsilon: float")
    .Attr("relu: bool")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->input(0));
      context->set_output(1, context->input(1));
      context->set_output(2, context->input(1));
      if (context->num_outputs() == 4) context->set_output(3, context->input(0));
      return absl::OkStatus();
    });

REGISTER_KERNEL_BUILDER(Name("PolderBatchNorm").Device(tensorflow::DEVICE_CPU), BatchNorm);
REGISTER_KERNEL_BUILDER(Name("PolderBatchNormGrad").Device(tensorflow::DEVICE_CPU), BatchNormGradient);

}  // namespace
}  // namespace polder
