// Shapes of linear, matmul and pairwise_dot.
#include <string>
#include <utility>

#include "engines/fused/shape_inference.h"

namespace gyrfalcon::fused {

Status ShapeInference::Linear(const Node& node) {
  Dims dims = DimsOf(node.in[0]);
  const Dims& weights = DimsOf(node.in[1]);
  if (dims.empty() || dims.back() != weights[0]) {
    return Invalid("an operand whose last extent is " + std::to_string(weights[0]), DimsText(dims));
  }
  dims.back() = weights[1];
  GYR_RETURN_IF_ERROR(CheckColumns(node.bias, weights[1], false));
  GYR_RETURN_IF_ERROR(CheckAct(node.act, dims));
  GYR_RETURN_IF_ERROR(CheckAct(node.post, dims));
  for (const int other : {node.mul, node.add}) {
    if (other < 0) continue;
    Dims column = dims;
    column.back() = 1;
    const Dims& given = DimsOf(other);
    if (given != dims && given != column) {
      return Invalid("mul and add of shape " + DimsText(dims) + " or " + DimsText(column),
                     DimsText(given));
    }
    batched_ = batched_ || Value(other).batched;
  }
  return Add(std::move(dims), batched_);
}

Status ShapeInference::Matmul(const Node& node) {
  Dims a = DimsOf(node.in[0]);
  Dims b = DimsOf(node.in[1]);
  if (a.size() < 2 || b.size() < 2)
    return Invalid("operands of rank 2 and more", DimsText(a) + " and " + DimsText(b));
  const size_t ar = a.size();
  const size_t br = b.size();
  if (node.ta) std::swap(a[ar - 1], a[ar - 2]);
  if (node.tb) std::swap(b[br - 1], b[br - 2]);
  if (a[ar - 1] != b[br - 2])
    return Invalid("matrices that can be multiplied", DimsText(a) + " and " + DimsText(b));
  const int64_t m = a[ar - 2];
  const int64_t n = b[br - 1];
  a.resize(ar - 2);
  b.resize(br - 2);
  Dims dims;
  GYR_RETURN_IF_ERROR(Broadcast(a, b, &dims));
  dims.push_back(m);
  dims.push_back(n);
  return Add(std::move(dims), batched_);
}

Status ShapeInference::Pairwise(const Node& node) {
  int64_t rows = 0;
  const Dims& first = DimsOf(node.in[0]);
  for (const int in : node.in) {
    const Dims& dims = DimsOf(in);
    if (dims.size() != 2 || dims[1] != first.back()) {
      return Invalid("matrices of one width", DimsText(dims));
    }
    rows += dims[0];  // at most 2^16 operands of 2^28
  }
  for (const int32_t row : node.indices) {
    if (row >= rows)
      return Invalid("pairs of " + std::to_string(rows) + " rows", std::to_string(row));
  }
  return Add({static_cast<int64_t>(node.indices.size() / 2)}, batched_);
}

}  // namespace gyrfalcon::fused
