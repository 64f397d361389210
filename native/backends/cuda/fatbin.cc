#include "backends/cuda/fatbin.h"

// GYRFALCON_CUDA_FATBIN is the path of a file that scripts/cuda-kernels.mjs made.
#if defined(GYRFALCON_CUDA_FATBIN) && defined(__linux__)
#define GYRFALCON_HAS_FATBIN 1
__asm__(
    ".pushsection .rodata, \"a\"\n"
    ".balign 16\n"
    ".local gyrfalcon_fatbin_begin\n"
    ".local gyrfalcon_fatbin_end\n"
    "gyrfalcon_fatbin_begin:\n"
    ".incbin \"" GYRFALCON_CUDA_FATBIN
    "\"\n"
    "gyrfalcon_fatbin_end:\n"
    ".byte 0\n"
    ".popsection\n");
extern "C" {
__attribute__((visibility("hidden"))) extern const std::byte gyrfalcon_fatbin_begin[];
__attribute__((visibility("hidden"))) extern const std::byte gyrfalcon_fatbin_end[];
}
#endif

namespace gyrfalcon::cuda {

std::span<const std::byte> Fatbin() {
#if defined(GYRFALCON_HAS_FATBIN)
  return {gyrfalcon_fatbin_begin,
          static_cast<size_t>(gyrfalcon_fatbin_end - gyrfalcon_fatbin_begin)};
#else
  return {};
#endif
}

}  // namespace gyrfalcon::cuda
