#include "engines/fused/x_scales.h"

#include <string>

#include "bundle/quote.h"

namespace gyrfalcon::fused {
namespace {

constexpr float kLeast = 0x1p-64f;
constexpr float kMost = 0x1p64f;

Status CheckRange(const GraphConstant& scale) {
  for (int64_t i = 0; i < scale.shape[0]; ++i) {
    if (scale.data[i] >= kLeast && scale.data[i] <= kMost) continue;  // false for NaN
    return {ErrorCode::kBundleInvalid,
            "expected numbers from 2^-64 to 2^64 for the scale " + Quote(scale.name) +
                " but received " + std::to_string(scale.data[i]) + " at " + std::to_string(i)};
  }
  return Status::Ok();
}

}  // namespace

Result<std::vector<const float*>> FindXScales(const Graph& graph) {
  const size_t first = graph.inputs.size();
  std::vector<const float*> scales(graph.constants.size(), nullptr);
  std::vector<bool> seen(graph.constants.size(), false);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    if (node.op != Op::kLinear) continue;
    const float* scale = nullptr;
    if (node.x_scale >= 0) {
      const GraphConstant& constant = graph.constants[static_cast<size_t>(node.x_scale) - first];
      GYR_RETURN_IF_ERROR(CheckRange(constant));
      scale = constant.data;
    }
    const size_t weights = static_cast<size_t>(node.in[1]) - first;
    if (seen[weights] && scales[weights] != scale) {
      return {ErrorCode::kBundleInvalid, "expected one x_scale for all nodes with the weights of " +
                                             ("nodes[" + std::to_string(i) + "]") +
                                             " but received another"};
    }
    seen[weights] = true;
    scales[weights] = scale;
  }
  return scales;
}

}  // namespace gyrfalcon::fused
