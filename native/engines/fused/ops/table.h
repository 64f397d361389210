// The table of kernels over a vector policy; see vector.h for the rules of this file.
#ifndef GYRFALCON_ENGINES_FUSED_OPS_TABLE_H_
#define GYRFALCON_ENGINES_FUSED_OPS_TABLE_H_

#include "engines/fused/ops/elementwise.h"
#include "engines/fused/ops/products.h"
#include "engines/fused/ops/reductions.h"

namespace gyrfalcon::fused {
namespace {

template <class V>
constexpr OpKernels MakeOps(const char* name) {
  return {name,       Unary<V>,       Binary<V>,    Where<V>,  Reduce<V>,  ReduceRows<V>,
          Softmax<V>, SoftmaxRows<V>, LayerNorm<V>, Matmul<V>, Pairwise<V>};
}

}  // namespace
}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_OPS_TABLE_H_
