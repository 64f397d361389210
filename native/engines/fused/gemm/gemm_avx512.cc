// AVX-512 without its dot products: weights of 16 and 8 bits become f32 in registers.
#if defined(__x86_64__)

#include "engines/fused/gemm/isa_avx512.h"

namespace gyrfalcon::fused {

const GemmKernel kAvx512F32{
    "f32", WeightElement::kF32, XElement::kF32, kPanel, 1, Run<Avx512, F32Weights<Avx512>>};
const GemmKernel kAvx512Bf16{
    "bf16", WeightElement::kBf16, XElement::kF32, kPanel, 1, Run<Avx512, Bf16Weights<Avx512>>};
const GemmKernel kAvx512Int8{
    "int8", WeightElement::kInt8, XElement::kF32, kPanel, 1, Run<Avx512, Int8Weights<Avx512>>};

}  // namespace gyrfalcon::fused

#endif  // defined(__x86_64__)
