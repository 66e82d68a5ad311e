// Convolutions of NHWC images with HWIO filters and their gradients, for channels in multiples of 16.
#include <cstring>
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

struct Window {
  std::vector<int32_t> strides;  // down, across
  std::vector<int32_t> pads;     // top, bottom, left, right

  void read(OpKernelConstruction* context) {
    OP_REQUIRES_OK(context, context->GetAttr("strides", &strides));
    OP_REQUIRES_OK(context, context->GetAttr("pads", &pads));
    OP_REQUIRES(context, strides.size() == 2 && pads.size() == 4,
                absl::InvalidArgumentError("strides are two numbers, pads four"));
  }
};

struct Image {
  int64_t rows, columns, channels;
  int64_t size() const { return rows * columns * channels; }
};

struct Pads {
  int64_t top, bottom, left, right;
  bool any() const { return top + bottom + left + right > 0; }
};

Image image_of(const Tensor& t) { return {t.dim_size(1), t.dim_size(2), t.dim_size(3)}; }

Image padded(const Image& i, const Pads& p) {
  return {i.rows + p.top + p.bottom, i.columns + p.left + p.right, i.channels};
}

void copy_padded(const Image& image, const Pads& pads, const float* from, float* to) {
  const int64_t row = image.columns * image.channels;
  const int64_t left = pads.left * image.channels, right = pads.right * image.channels;
  std::memset(to, 0, sizeof(float) * pads.top * (left + row + right));
  to += pads.top * (left + row + right);
  for (int64_t r = 0; r < image.rows; r++, from += row, to += left + row + right) {
    std::memset(to, 0, sizeof(float) * left);
    std::memcpy(to + left, from, sizeof(float) * row);
    std::memset(to + left + row, 0, sizeof(float) * right);
  }
  std::memset(to, 0, sizeof(float) * pads.bottom * (left + row + right));
}

// Memory for each part: a padded image, and `extra` numbers.
class Scratch {
 public:
  Scratch(const Image& image, const Pads& pads, int64_t extra)
      : image_(image), pads_(pads), padded_(pads.any() ? padded(image, pads).size() : 0), size_(padded_ + extra) {}

  absl::Status allocate(OpKernelContext* context, int64_t parts) {
    return context->allocate_temp(tensorflow::DT_FLOAT, TensorShape({parts * size_}), &memory_);
  }

  float* extra(int64_t part) { return floats(memory_) + part * size_ + padded_; }

  // Image n, with its padding.
  const float* image(const Tensor& images, int64_t n, int64_t part) {
    const float* source = floats(images) + n * image_.size();
    if (!pads_.any()) return source;
    float* room = floats(memory_) + part * size_;
    copy_padded(image_, pads_, source, room);
    return room;
  }

 private:
  Image image_;
  Pads pads_;
  int64_t padded_, size_;
  Tensor memory_;
};

ConvShape shape_of(const Window& window, const Image& in, const Pads& pads, int64_t taps, int64_t filter_columns,
                   const Image& out) {
  const int64_t row_stride = padded(in, pads).columns * in.channels;
  return {out.rows,
          out.columns,
          out.channels,
          taps,
          filter_columns * in.channels,
          row_stride,
          row_stride * window.strides[0],
          in.channels * window.strides[1],
          out.columns * out.channels,
          out.channels};
}

Pads pads_of(const Window& w) { return {w.pads[0], w.pads[1], w.pads[2], w.pads[3]}; }

double cost_of(const ConvShape& s) { return static_cast<double>(s.rows) * s.columns * s.channels * s.taps * s.run / 32; }

// Is a window of 3 × 3 that moves by one pixel over such images one for Winograd's algorithm? Over few pixels its
// transforms cost what it saves, and it costs a digit of accuracy.
bool winograd_suits(const ConvShape& s, int64_t filter_columns) {
  return s.taps == 3 && filter_columns == 3 && s.row_step == s.row_stride && s.column_step * 3 == s.run &&
         s.run % 48 == 0 && s.rows % 2 == 0 && s.columns % 2 == 0 && s.rows * s.columns >= 64;
}

// A filter ready for images: as it is, or transformed.
class Taps {
 public:
  Taps(const ConvShape& shape, int64_t filter_columns)
      : shape_(shape), winograd_(winograd_suits(shape, filter_columns)) {}

  int64_t scratch() const { return winograd_ ? 16 * (16 * (shape_.run / 3 + shape_.channels) + 2 * kGap) : 0; }

  absl::Status set(OpKernelContext* context, const float* filter) {
    filter_ = filter;
    if (!winograd_) return absl::OkStatus();
    const int64_t numbers = shape_.run / 3 * shape_.channels;
    TF_RETURN_IF_ERROR(context->allocate_temp(tensorflow::DT_FLOAT, TensorShape({16 * numbers}), &transformed_));
    kernels()->convolutions.winograd_filter(numbers, filter, floats(transformed_));
    return absl::OkStatus();
  }

  void run(const float* image, float* scratch, float* y) const {
    if (winograd_)
      kernels()->convolutions.winograd(shape_, image, floats(transformed_), scratch, y);
    else
      kernels()->convolutions.conv(shape_, image, filter_, y);
  }

 private:
  ConvShape shape_;
  bool winograd_;
  const float* filter_ = nullptr;
  Tensor transformed_;
};

bool check(OpKernelContext* context, const Tensor& image, const Tensor& filter, int64_t vectorised) {
  const bool fits = image.dims() == 4 && filter.dims() == 4 && vectorised % 16 == 0 && image.NumElements() > 0 &&
                    kernels() != nullptr;
  if (!fits) context->CtxFailure(absl::InvalidArgumentError("images and filters of rank 4, channels in 16s"));
  return fits;
}

class Convolution : public OpKernel {
 public:
  explicit Convolution(OpKernelConstruction* context) : OpKernel(context) { window_.read(context); }

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    const Tensor& filter = context->input(1);
    if (!check(context, x, filter, filter.dim_size(3))) return;
    const Image in = image_of(x);
    OP_REQUIRES(context, filter.dim_size(2) == in.channels, absl::InvalidArgumentError("a filter for these channels"));
    const Pads pads = pads_of(window_);
    const Image room = padded(in, pads);
    const Image out = {(room.rows - filter.dim_size(0)) / window_.strides[0] + 1,
                       (room.columns - filter.dim_size(1)) / window_.strides[1] + 1, filter.dim_size(3)};
    Tensor* y = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, TensorShape({x.dim_size(0), out.rows, out.columns, out.channels}), &y));
    const ConvShape shape = shape_of(window_, in, pads, filter.dim_size(0), filter.dim_size(1), out);
    Taps taps(shape, filter.dim_size(1));
    OP_REQUIRES_OK(context, taps.set(context, floats(filter)));
    const int64_t parts = parts_for(x.dim_size(0), cost_of(shape));
    Scratch scratch(in, pads, taps.scratch());
    OP_REQUIRES_OK(context, scratch.allocate(context, parts));
    for_parts(context, parts, [&](int64_t part) {
      const Range range = part_of(x.dim_size(0), parts, part);
      for (int64_t n = range.begin; n < range.end; n++)
        taps.run(scratch.image(x, n, part), scratch.extra(part), floats(*y) + n * out.size());
    });
  }

 private:
  Window window_;
};

// Tiles of an image and of its slope that are multiplied at once.
constexpr int64_t kSlopeTiles = 64;

// Sums the products of tiles, those of several images together where an image has few.
class Tiles {
 public:
  Tiles(const ConvShape& shape, float* scratch, float* sums)
      : shape_(shape), v_(scratch), w_(scratch + 16 * (kSlopeTiles * shape.run / 3 + kGap)), sums_(sums) {}

  void add(const float* image, const float* dy) {
    const int64_t all = shape_.rows / 2 * (shape_.columns / 2);
    for (int64_t first = 0; first < all;) {
      const int64_t tiles = std::min(all - first, kSlopeTiles - filled_);
      kernels()->convolutions.winograd_input(shape_, image, first, tiles, kSlopeTiles, v_ + filled_ * (shape_.run / 3));
      kernels()->convolutions.winograd_slope(shape_, dy, first, tiles, kSlopeTiles, w_ + filled_ * shape_.channels);
      first += tiles;
      filled_ += tiles;
      if (filled_ == kSlopeTiles) finish();
    }
  }

  void finish() {
    if (filled_ > 0) kernels()->convolutions.winograd_products(shape_, filled_, kSlopeTiles, v_, w_, sums_);
    filled_ = 0;
  }

 private:
  ConvShape shape_;
  float *v_, *w_, *sums_;
  int64_t filled_ = 0;
};

class FilterGradient : public OpKernel {
 public:
  explicit FilterGradient(OpKernelConstruction* context) : OpKernel(context) {
    window_.read(context);
    OP_REQUIRES_OK(context, context->GetAttr("shape", &shape_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    const Tensor& dy = context->input(1);
    if (!check(context, x, dy, dy.dim_size(3))) return;
    const Image in = image_of(x), out = image_of(dy);
    const Pads pads = pads_of(window_);
    Tensor* dfilter = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape(shape_), &dfilter));
    const ConvShape shape = shape_of(window_, in, pads, shape_.dim_size(0), shape_.dim_size(1), out);
    const bool winograd = winograd_suits(shape, shape_.dim_size(1));
    const int64_t numbers = in.channels * out.channels;
    const int64_t size = winograd ? 16 * numbers : dfilter->NumElements();
    // Every part sums into memory of its own.
    const int64_t parts = std::min<int64_t>(8, parts_for(x.dim_size(0), cost_of(shape)));
    Scratch scratch(in, pads, winograd ? 16 * (kSlopeTiles * (in.channels + out.channels) + 2 * kGap) : 0);
    Tensor memory;
    OP_REQUIRES_OK(context, scratch.allocate(context, parts));
    OP_REQUIRES_OK(context, context->allocate_temp(tensorflow::DT_FLOAT, TensorShape({parts * size}), &memory));
    float* sums = floats(memory);
    for_parts(context, parts, [&](int64_t part) {
      float* sum = sums + part * size;
      std::memset(sum, 0, sizeof(float) * size);
      const Range range = part_of(x.dim_size(0), parts, part);
      if (winograd) {
        Tiles tiles(shape, scratch.extra(part), sum);
        for (int64_t n = range.begin; n < range.end; n++)
          tiles.add(scratch.image(x, n, part), floats(dy) + n * out.size());
        tiles.finish();
      } else {
        for (int64_t n = range.begin; n < range.end; n++)
          kernels()->convolutions.conv_filter_grad(shape, scratch.image(x, n, part), floats(dy) + n * out.size(), sum);
      }
    });
    float* total = winograd ? sums : floats(*dfilter);
    if (!winograd) std::memcpy(total, sums, sizeof(float) * size);
    const int64_t slices = parts_for(size, static_cast<double>(parts));
    for_parts(context, slices, [&](int64_t slice) {
      const Range range = part_of(size, slices, slice);
      for (int64_t part = 1; part < parts; part++)
        for (int64_t i = range.begin; i < range.end; i++) total[i] += sums[part * size + i];
    });
    if (winograd) kernels()->convolutions.winograd_filter_grad(numbers, total, floats(*dfilter));
  }

 private:
  Window window_;
  TensorShape shape_;
};

// The pixels s·q + remainder of the input's gradient, along one axis: a convolution of dy with every s-th tap, reversed.
struct Phase {
  int64_t remainder, first_tap, taps;
  // Row of dy that the last tap of q = 0 meets, which is its first row; below 0: in the padding.
  int64_t start;
  int64_t count;
};

std::vector<Phase> phases_of(int64_t stride, int64_t pad, int64_t size, int64_t taps) {
  std::vector<Phase> phases;
  for (int64_t r = 0; r < std::min(stride, size); r++) {
    const int64_t first = (r + pad) % stride;
    const int64_t count = first < taps ? (taps - first + stride - 1) / stride : 0;
    phases.push_back({r, first, count, (r + pad - first) / stride - (count - 1), (size - r + stride - 1) / stride});
  }
  return phases;
}

// Padding before and after dy that all phases need.
std::pair<int64_t, int64_t> reach(const std::vector<Phase>& phases, int64_t size) {
  int64_t before = 0, after = 0;
  for (const Phase& p : phases) {
    if (p.taps == 0) continue;
    before = std::max(before, -p.start);
    after = std::max(after, p.start + p.count - 1 + p.taps - size);
  }
  return {before, after};
}

class InputGradient : public OpKernel {
 public:
  explicit InputGradient(OpKernelConstruction* context) : OpKernel(context) {
    window_.read(context);
    OP_REQUIRES_OK(context, context->GetAttr("shape", &shape_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& dy = context->input(0);
    const Tensor& filter = context->input(1);
    if (!check(context, dy, filter, shape_.dim_size(3))) return;
    const Image in = {shape_.dim_size(1), shape_.dim_size(2), shape_.dim_size(3)}, out = image_of(dy);
    Tensor* dx = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape_, &dx));
    const auto down = phases_of(window_.strides[0], window_.pads[0], in.rows, filter.dim_size(0));
    const auto across = phases_of(window_.strides[1], window_.pads[2], in.columns, filter.dim_size(1));
    const auto [top, bottom] = reach(down, out.rows);
    const auto [left, right] = reach(across, out.columns);
    const Pads pads = {top, bottom, left, right};
    Tensor packed;
    OP_REQUIRES_OK(context, context->allocate_temp(tensorflow::DT_FLOAT, filter.shape(), &packed));

    struct Piece {
      Taps taps;
      int64_t from, to;
    };
    std::vector<Piece> pieces;
    bool all = true;
    int64_t extra = 0;
    double cost = 1000;
    float* room = floats(packed);
    const int64_t row_stride = padded(out, pads).columns * out.channels;
    for (const Phase& r : down)
      for (const Phase& c : across) {
        if (r.taps * c.taps == 0) {
          all = false;
          continue;
        }
        const ConvShape shape = {r.count,
                                 c.count,
                                 in.channels,
                                 r.taps,
                                 c.taps * out.channels,
                                 row_stride,
                                 row_stride,
                                 out.channels,
                                 in.columns * in.channels * window_.strides[0],
                                 in.channels * window_.strides[1]};
        const int64_t from = (r.start + top) * row_stride + (c.start + left) * out.channels;
        float* reversed = room;
        room = pack(filter, r, c, room);
        pieces.push_back({Taps(shape, c.taps), from, (r.remainder * in.columns + c.remainder) * in.channels});
        OP_REQUIRES_OK(context, pieces.back().taps.set(context, reversed));
        extra = std::max(extra, pieces.back().taps.scratch());
        cost += cost_of(shape);
      }
    const int64_t parts = parts_for(dy.dim_size(0), cost);
    Scratch scratch(out, pads, extra);
    OP_REQUIRES_OK(context, scratch.allocate(context, parts));
    for_parts(context, parts, [&](int64_t part) {
      const Range range = part_of(dy.dim_size(0), parts, part);
      for (int64_t n = range.begin; n < range.end; n++) {
        const float* image = scratch.image(dy, n, part);
        float* target = floats(*dx) + n * in.size();
        if (!all) std::memset(target, 0, sizeof(float) * in.size());
        for (const Piece& p : pieces) p.taps.run(image + p.from, scratch.extra(part), target + p.to);
      }
    });
  }

 private:
  // The taps of a phase in reverse, each with its channels exchanged. Returns the memory after them.
  float* pack(const Tensor& filter, const Phase& r, const Phase& c, float* to) const {
    const int64_t columns = filter.dim_size(1), in = filter.dim_size(2), out = filter.dim_size(3);
    for (int64_t i = r.taps - 1; i >= 0; i--)
      for (int64_t j = c.taps - 1; j >= 0; j--, to += in * out) {
        const int64_t row = r.first_tap + i * window_.strides[0], column = c.first_tap + j * window_.strides[1];
        const float* from = floats(filter) + (row * columns + column) * in * out;
        for (int64_t o = 0; o < out; o++)
          for (int64_t k = 0; k < in; k++) to[o * in + k] = from[k * out + o];
      }
    return to;
  }

  Window window_;
  TensorShape shape_;
};

using tensorflow::shape_inference::InferenceContext;

absl::Status four_dimensions(InferenceContext* context) {
  context->set_output(0, context->UnknownShapeOfRank(4));
  return absl::OkStatus();
}

absl::Status given_shape(InferenceContext* context) {
  TensorShape shape;
  TF_RETURN_IF_ERROR(context->GetAttr("shape", &shape));
  tensorflow::shape_inference::ShapeHandle handle;
  TF_RETURN_IF_ERROR(context->MakeShapeFromTensorShape(shape, &handle));
  context->set_output(0, handle);
  return absl::OkStatus();
}

REGISTER_OP("PolderConv2D")
    .Input("x: float")
    .Input("filter: float")
    .Output("y: float")
    .Attr("strides: list(int)")
    .Attr("pads: list(int)")
    .SetShapeFn(four_dimensions);
REGISTER_OP("PolderConv2DInputGrad")
    .Input("dy: float")
    .Input("filter: float")
    .Output("dx: float")
    .Attr("strides: list(int)")
    .Attr("pads: list(int)")
    .Attr("shape: shape")
    .SetShapeFn(given_shape);
REGISTER_OP("PolderConv2DFilterGrad")
    .Input("x: float")
    .Input("dy: float")
    .Output("dfilter: float")
    .Attr("strides: list(int)")
    .Attr("pads: list(int)")
    .Attr("shape: shape")
    .SetShapeFn(given_shape);

REGISTER_KERNEL_BUILDER(Name("PolderConv2D").Device(tensorflow::DEVICE_CPU), Convolution);
REGISTER_KERNEL_BUILDER(Name("PolderConv2DInputGrad").Device(tensorflow::DEVICE_CPU), InputGradient);
REGISTER_KERNEL_BUILDER(Name("PolderConv2DFilterGrad").Device(tensorflow::DEVICE_CPU), FilterGradient);

}  // namespace
}  // namespace polder
