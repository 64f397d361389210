// XXH64 after the public specification of xxHash (doc/xxhash_spec.md in Cyan4973/xxHash).
#include "core/xxh64.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace gyrfalcon {
namespace {

constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87;
constexpr uint64_t kPrime2 = 0xC2B2AE3D27D4EB4F;
constexpr uint64_t kPrime3 = 0x165667B19E3779F9;
constexpr uint64_t kPrime4 = 0x85EBCA77C2B2AE63;
constexpr uint64_t kPrime5 = 0x27D4EB2F165667C5;

constexpr size_t kStripeBytes = 32;

// Little-endian integer at any address, on any host.
template <typename T>
T Load(const std::byte* bytes) {
  if constexpr (std::endian::native == std::endian::little) {
    T value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
  } else {
    T value = 0;
    for (size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(bytes[i]) << (8 * i);
    return value;
  }
}

uint64_t Round(uint64_t lane, uint64_t input) {
  return std::rotl(lane + input * kPrime2, 31) * kPrime1;
}

uint64_t MergeLane(uint64_t hash, uint64_t lane) {
  return (hash ^ Round(0, lane)) * kPrime1 + kPrime4;
}

// Consumes `stripes` stripes. The lanes stay in registers: four independent chains hide the
// multiplier's latency, which is what makes the hash run at memory speed.
void ConsumeStripes(std::array<uint64_t, 4>& lanes, const std::byte* bytes, size_t stripes) {
  auto [a, b, c, d] = lanes;
  for (; stripes != 0; --stripes, bytes += kStripeBytes) {
    a = Round(a, Load<uint64_t>(bytes));
    b = Round(b, Load<uint64_t>(bytes + 8));
    c = Round(c, Load<uint64_t>(bytes + 16));
    d = Round(d, Load<uint64_t>(bytes + 24));
  }
  lanes = {a, b, c, d};
}

}  // namespace

Xxh64::Xxh64(uint64_t seed)
    : lanes_{seed + kPrime1 + kPrime2, seed + kPrime2, seed, seed - kPrime1}, seed_(seed) {}

void Xxh64::Update(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  total_ += bytes.size();
  if (tail_size_ != 0) {
    const size_t taken = std::min(kStripeBytes - tail_size_, bytes.size());
    std::memcpy(tail_.data() + tail_size_, bytes.data(), taken);
    tail_size_ += taken;
    bytes = bytes.subspan(taken);
    if (tail_size_ < kStripeBytes) return;
    ConsumeStripes(lanes_, tail_.data(), 1);
    tail_size_ = 0;
  }
  const size_t stripes = bytes.size() / kStripeBytes;
  ConsumeStripes(lanes_, bytes.data(), stripes);
  bytes = bytes.subspan(stripes * kStripeBytes);
  if (bytes.empty()) return;
  std::memcpy(tail_.data(), bytes.data(), bytes.size());
  tail_size_ = bytes.size();
}

uint64_t Xxh64::Digest() const {
  uint64_t hash = seed_ + kPrime5;
  if (total_ >= kStripeBytes) {
    hash = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) +
           std::rotl(lanes_[3], 18);
    for (const uint64_t lane : lanes_) hash = MergeLane(hash, lane);
  }
  hash += total_;

  const std::byte* bytes = tail_.data();
  size_t left = tail_size_;
  for (; left >= 8; left -= 8, bytes += 8) {
    hash = std::rotl(hash ^ Round(0, Load<uint64_t>(bytes)), 27) * kPrime1 + kPrime4;
  }
  if (left >= 4) {
    hash = std::rotl(hash ^ (Load<uint32_t>(bytes) * kPrime1), 23) * kPrime2 + kPrime3;
    left -= 4;
    bytes += 4;
  }
  for (; left != 0; --left, ++bytes) {
    hash = std::rotl(hash ^ (static_cast<uint64_t>(*bytes) * kPrime5), 11) * kPrime1;
  }
  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

}  // namespace gyrfalcon
