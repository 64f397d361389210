#include "engines/fused/ops/ops.h"

#include <cstdlib>

#include "backends/cpu/dispatch.h"

namespace gyrfalcon::fused {

const std::vector<OpKernels>& AvailableOpKernels() {
  // Never destroyed: a worker may still score while the process runs its exit handlers. The same
  // instruction sets as the products', so that both tables have one best.
  static const auto* const all = [] {
    auto* const list = new std::vector<OpKernels>;
    for (const GemmKernels& gemm : AvailableGemmKernels()) {
#if defined(__x86_64__)
      if (gemm.name == "avx512") list->push_back(kAvx512Ops);
      if (gemm.name == "avx2") list->push_back(kAvx2Ops);
#elif defined(__aarch64__)
      if (gemm.name == "neon") list->push_back(kNeonOps);
#endif
      if (gemm.name == "portable") list->push_back(kPortableOps);
      if (gemm.name == "reference") list->push_back(kReferenceOps);
    }
    return list;
  }();
  return *all;
}

const OpKernels* ActiveOpKernels() {
  const GemmKernels* const gemm = ActiveGemmKernels();
  if (gemm == nullptr) return nullptr;
  for (const OpKernels& ops : AvailableOpKernels()) {
    if (ops.name == (gemm->name == "amx" ? "avx512" : gemm->name)) return &ops;
  }
  return nullptr;
}

}  // namespace gyrfalcon::fused
