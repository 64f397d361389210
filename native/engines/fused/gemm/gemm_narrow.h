// Products of few columns: each column of weights is contiguous, and each result a dot product.
//
// Included only by gemm_tile.h, whose rules and policies hold here.
#ifndef GYRFALCON_ENGINES_FUSED_GEMM_GEMM_NARROW_H_
#define GYRFALCON_ENGINES_FUSED_GEMM_GEMM_NARROW_H_

#include "engines/fused/gemm/gemm_kernel.h"

namespace gyrfalcon::fused {
namespace {

// One finished element of a narrow product. A column of `mul` or `add` is one element anyway.
[[gnu::always_inline]] inline float ActOf(const ResolvedAct& act, int64_t column, float x) {
  switch (act.fn) {
    case ActFn::kRelu:
      return x < 0.0f ? 0.0f : x;
    case ActFn::kClip:
      return x < act.alpha ? act.alpha : (x > act.beta ? act.beta : x);
    case ActFn::kLeakyRelu:
      return x > 0.0f ? x : x * act.alpha;
    case ActFn::kPrelu:
      return x > 0.0f ? x : x * act.slope[column];
    default:
      return x;
  }
}

template <class Isa>
void RunNarrow(const GemmArgs& args) {
  const PackedWeights& weights = *args.weights;
  const int64_t stride = (weights.k + kNarrowUnit - 1) / kNarrowUnit * kNarrowUnit;
  const Epilogue& e = *args.epilogue;
  constexpr int64_t kStep = 4 * Isa::kWidth;
  for (int64_t r = 0; r < args.m; ++r) {
    const float* const x = args.x + r * args.x_stride;
    for (int64_t j = 0; j < weights.n; ++j) {
      const float* const w = reinterpret_cast<const float*>(weights.data) + j * stride;
      typename Isa::Vec sum[4] = {Isa::Zero(), Isa::Zero(), Isa::Zero(), Isa::Zero()};
      int64_t i = 0;
      for (; i + kStep <= weights.k; i += kStep) {
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) {
          sum[v] = Isa::MulAdd(Isa::LoadF32(x + i + v * Isa::kWidth),
                               Isa::LoadF32(w + i + v * Isa::kWidth), sum[v]);
        }
      }
      for (; i + Isa::kWidth <= weights.k; i += Isa::kWidth) {
        sum[0] = Isa::MulAdd(Isa::LoadF32(x + i), Isa::LoadF32(w + i), sum[0]);
      }
      if (i < weights.k) {
        const auto tail = Isa::MakeTail(weights.k - i);
        sum[1] = Isa::MulAdd(Isa::LoadF32Tail(x + i, tail), Isa::LoadF32Tail(w + i, tail), sum[1]);
      }
      float y = Isa::Total(Isa::Add(Isa::Add(sum[0], sum[1]), Isa::Add(sum[2], sum[3])));
      if (e.bias != nullptr) y += e.bias[j];
      y = ActOf(e.act, j, y);
      if (e.mul != nullptr) y *= e.mul[r * e.mul_stride + (e.mul_is_column ? 0 : j)];
      if (e.add != nullptr) y += e.add[r * e.add_stride + (e.add_is_column ? 0 : j)];
      args.y[r * args.y_stride + j] = ActOf(e.post, j, y);
    }
  }
}

}  // namespace
}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_GEMM_GEMM_NARROW_H_
