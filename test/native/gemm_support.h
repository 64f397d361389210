// The kernels that tests of matrix products run.
#ifndef GYRFALCON_TEST_GEMM_SUPPORT_H_
#define GYRFALCON_TEST_GEMM_SUPPORT_H_

#include <string_view>
#include <vector>

#include "backends/cpu/dispatch.h"
#include "engines/fused/gemm/gemm.h"
#include "engines/fused/gemm/gemm_kernel.h"

namespace gyrfalcon::fused {

// All that this CPU can run: also those that it passes over because it has dot products.
inline const std::vector<GemmKernels>& TestedGemmKernels() {
  static const std::vector<GemmKernels> tested = [] {
    std::vector<GemmKernels> all = AvailableGemmKernels();
#if defined(__x86_64__)
    CpuFeatures cpu = DetectCpu();
    if (cpu.avx512_bf16 || cpu.avx512_vnni) {
      cpu.avx512_bf16 = cpu.avx512_vnni = false;
      all.push_back(ChooseGemmKernels(cpu).front());
      all.back().name = "without_dots";
    }
#endif
    return all;
  }();
  return tested;
}

// Kernels that round x too, by what GemmKernelName says.
inline bool RoundsXToBf16(std::string_view kernel) {
  return kernel == "bf16 dot" || kernel == "bf16 tiles";
}
inline bool RoundsXToBytes(std::string_view kernel) {
  return kernel == "int8 dot" || kernel == "int8 tiles";
}

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_TEST_GEMM_SUPPORT_H_
