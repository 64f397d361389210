// The specification of RunGemm as plain loops: every other kernel is tested against it.
#include <cmath>
#include <cstring>

#include "backends/row_format.h"
#include "engines/fused/gemm/gemm_kernel.h"

namespace gyrfalcon::fused {
namespace {

float ReferenceAct(const ResolvedAct& act, int64_t column, float x) {
  switch (act.fn) {
    case ActFn::kRelu:
      return x < 0.0f ? 0.0f : x;
    case ActFn::kLeakyRelu:
      return x > 0.0f ? x : act.alpha * x;
    case ActFn::kPrelu:
      return x > 0.0f ? x : act.slope[column] * x;
    case ActFn::kClip:
      return x < act.alpha ? act.alpha : (x > act.beta ? act.beta : x);
    default:
      return x;
  }
}

float WeightAt(const PackedWeights& weights, int64_t i, int64_t j) {
  if (weights.n <= kNarrow) {
    const int64_t stride = (weights.k + kNarrowUnit - 1) / kNarrowUnit * kNarrowUnit;
    return reinterpret_cast<const float*>(weights.data)[j * stride + i];
  }
  const WeightLayout layout = LayoutOf(*weights.kernel, weights.k, weights.n);
  // panel and unit of the reference are 1.
  const std::byte* const column = weights.data + static_cast<size_t>(j) * layout.panel_bytes;
  switch (weights.kernel->weight) {
    case WeightElement::kF32:
      return reinterpret_cast<const float*>(column)[i];
    case WeightElement::kBf16:
      return BFloat16ToFloat(reinterpret_cast<const uint16_t*>(column)[i]);
    case WeightElement::kInt8:
      break;
  }
  const auto* const scales = reinterpret_cast<const float*>(weights.data + layout.scale_offset);
  return static_cast<float>(static_cast<int8_t>(column[i])) * scales[j];
}

void RunReference(const GemmArgs& args) {
  const PackedWeights& weights = *args.weights;
  const Epilogue& e = *args.epilogue;
  for (int64_t r = 0; r < args.m; ++r) {
    for (int64_t j = args.first_column; j < EndColumn(args); ++j) {
      double sum = 0.0;
      for (int64_t i = 0; i < weights.k; ++i) {
        const float x = args.x[r * args.x_stride + i];
        sum += static_cast<double>(x) * static_cast<double>(WeightAt(weights, i, j));
      }
      auto y = static_cast<float>(sum);
      if (e.bias != nullptr) y += e.bias[j];
      y = ReferenceAct(e.act, j, y);
      if (e.mul != nullptr) y *= e.mul[r * e.mul_stride + (e.mul_is_column ? 0 : j)];
      if (e.add != nullptr) y += e.add[r * e.add_stride + (e.add_is_column ? 0 : j)];
      args.y[r * args.y_stride + j] = ReferenceAct(e.post, j, y);
    }
  }
}

}  // namespace

const GemmKernel kReferenceF32{"f32", WeightElement::kF32, XElement::kF32, 1, 1, RunReference};
const GemmKernel kReferenceBf16{"bf16", WeightElement::kBf16, XElement::kF32, 1, 1, RunReference};
const GemmKernel kReferenceInt8{"int8", WeightElement::kInt8, XElement::kF32, 1, 1, RunReference};

}  // namespace gyrfalcon::fused
