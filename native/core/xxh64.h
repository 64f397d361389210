// XXH64 (the public specification of xxHash, 64-bit), incremental. Used as the checksum of bundle
// files: it guards against truncation and bit rot, not against an adversary.
#ifndef GYRFALCON_CORE_XXH64_H_
#define GYRFALCON_CORE_XXH64_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace gyrfalcon {

class Xxh64 {
 public:
  explicit Xxh64(uint64_t seed = 0);
  void Update(std::span<const std::byte> bytes);
  uint64_t Digest() const;

 private:
  std::array<uint64_t, 4> lanes_;
  std::array<std::byte, 32> tail_{};
  size_t tail_size_ = 0;
  uint64_t total_ = 0;
  uint64_t seed_;
};

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_XXH64_H_
