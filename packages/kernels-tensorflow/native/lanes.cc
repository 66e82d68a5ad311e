// What the library can do here, for those who choose kernels.
#include "kernels.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace polder {
namespace {

// Floats in a vector register: 16, 8, or 0 for a processor that none of the kernels is for.
class Lanes : public tensorflow::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(tensorflow::OpKernelContext* context) override {
    tensorflow::Tensor* lanes = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, tensorflow::TensorShape({}), &lanes));
    lanes->scalar<int32_t>()() = kernels() == nullptr ? 0 : static_cast<int32_t>(kernels()->lanes);
  }
};

REGISTER_OP("PolderLanes").Output("lanes: int32").SetShapeFn([](tensorflow::shape_inference::InferenceContext* context) {
  context->set_output(0, context->Scalar());
  return absl::OkStatus();
});
REGISTER_KERNEL_BUILDER(Name("PolderLanes").Device(tensorflow::DEVICE_CPU), Lanes);

}  // namespace
}  // namespace polder
