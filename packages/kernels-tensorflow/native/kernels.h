// Inner loops without any header of TensorFlow's: compiled once for each instruction set, chosen when the library loads.
#ifndef POLDER_KERNELS_H_
#define POLDER_KERNELS_H_

namespace polder {

// A convolution of one image that lies in memory padded already. A row of the filter times its input channels is one
// run of numbers in the filter (HWIO) and in the image (NHWC): the loops know rows of filters, `run` long, and no more.
struct ConvShape {
  long rows, columns;    // of the output
  long channels;         // of the output, a multiple of 16
  long taps;             // rows of the filter
  long run;              // columns of the filter times input channels
  long row_stride;       // numbers from one row of the padded image to the next
  long row_step;         // numbers from what one output row reads to what the next one reads
  long column_step;      // the same along a row
  long out_row_step;     // numbers from one output row to the next
  long out_column_step;  // the same along a row
};

// What scratch for Winograd's algorithm has between the 16 numbers of its tiles, besides the tiles themselves.
constexpr long kGap = 16;

struct Convolutions {
  // y = the convolution of `image` with `filter`, [taps, run, channels].
  void (*conv)(const ConvShape& shape, const float* image, const float* filter, float* y);
  // dfilter += the gradient in the filter, for the image's own dy ([rows, columns, channels], dense).
  void (*conv_filter_grad)(const ConvShape& shape, const float* image, const float* dy, float* dfilter);

  // The same by Winograd's algorithm (kernels.cc says when), in steps.
  // Tiles first … first + tiles − 1 of an image, transformed: v[16][capacity][channels in], with kGap
  // after each of the 16.
  void (*winograd_input)(const ConvShape& shape, const float* image, long first, long tiles, long capacity, float* v);
  // A filter of 3 × 3 × `numbers`, transformed: u[16][numbers].
  void (*winograd_filter)(long numbers, const float* filter, float* u);
  // y from an image and such a filter; scratch for 16 · (16 · (channels in + channels) + 2 · kGap).
  void (*winograd)(const ConvShape& shape, const float* image, const float* u, float* scratch, float* y);
  // Tiles of dy, transformed: w[16][capacity][channels], with gaps.
  void (*winograd_slope)(const ConvShape& shape, const float* dy, long first, long tiles, long capacity, float* w);
  // sums[16][channels in][channels] += the products over tiles.
  void (*winograd_products)(const ConvShape& shape, long tiles, long capacity, const float* v, const float* w,
                            float* sums);
  // The gradient in a filter of 3 × 3 × `numbers` from those sums.
  void (*winograd_filter_grad)(long numbers, const float* sums, float* dfilter);
};

// Batch norm over [pixels, channels]; what is per channel is `channels` long.
struct Normalisations {
  // mean and squares (of the distances from that mean, summed) of these pixels alone.
  void (*moments)(long pixels, long channels, const float* x, float* mean, float* squares);
  // y = x · scale + offset (+ residual unless null), and no less than 0 where `relu`.
  void (*normalise)(long pixels, long channels, const float* x, const float* scale, const float* offset,
                    const float* residual, bool relu, float* y);
  // The slope is dy, or 0 where y (unless null) is not above 0: its sum, and that of its products with x − mean.
  void (*slope_sums)(long pixels, long channels, const float* x, const float* mean, const float* y, const float* dy,
                     float* sums, float* products);
  // dx = slope · a + ((x − mean) · b + c), and the slope itself unless `slope` is null.
  void (*normalise_grad)(long pixels, long channels, const float* x, const float* mean, const float* y,
                         const float* dy, const float* a, const float* b, const float* c, float* dx, float* slope);
};

// What transformers are made of besides products of matrices.
struct Rows {
  // x · Φ(x), and dy times its derivative.
  void (*gelu)(long size, const float* x, float* y);
  void (*gelu_grad)(long size, const float* x, const float* dy, float* dx);
  // Layer norm of [rows, width]: y, and the mean and 1/√(variance + epsilon) of each row.
  void (*layer_norm)(long rows, long width, const float* x, const float* gamma, const float* beta, float epsilon,
                     float* y, float* mean, float* rstd);
  // dx; dgamma and dbeta are added to.
  void (*layer_norm_grad)(long rows, long width, const float* x, const float* gamma, const float* mean,
                          const float* rstd, const float* dy, float* dx, float* dgamma, float* dbeta);
  // dx = (dy − ⟨dy, y⟩) · y, row by row.
  void (*softmax_grad)(long rows, long width, const float* y, const float* dy, float* dx);
};

struct Kernels {
  long lanes;  // floats in a vector
  const Convolutions& convolutions;
  const Normalisations& normalisations;
  const Rows& rows;
};

// The best that this processor runs; null where none is (other than x86-64 with AVX2 and FMA).
const Kernels* kernels();

}  // namespace polder

#endif  // POLDER_KERNELS_H_
