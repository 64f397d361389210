// The ends of rows on x64; see vector.h for the rules of this file.
#ifndef GYRFALCON_ENGINES_FUSED_OPS_ROW_END_X64_H_
#define GYRFALCON_ENGINES_FUSED_OPS_ROW_END_X64_H_

#include <immintrin.h>

#include <cstdint>

namespace gyrfalcon::fused {
namespace {

// The first n < 8 elements, in parts that end where they do: what lies behind a masked store is
// often the next row, which processors load only when that store is done.
[[gnu::always_inline]] inline void StoreFirstOf8(float* at, __m256 value, int64_t n) {
  __m128 four = _mm256_castps256_ps128(value);
  if ((n & 4) != 0) {
    _mm_storeu_ps(at, four);
    four = _mm256_extractf128_ps(value, 1);
    at += 4;
  }
  if ((n & 2) != 0) {
    _mm_storel_pi(reinterpret_cast<__m64*>(at), four);
    four = _mm_movehl_ps(four, four);
    at += 2;
  }
  if ((n & 1) != 0) _mm_store_ss(at, four);
}

}  // namespace
}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_OPS_ROW_END_X64_H_
