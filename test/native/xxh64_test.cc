// XXH64 against the vectors that xxHash publishes with its own sanity test.
#include "core/xxh64.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace gyrfalcon {
namespace {

constexpr uint64_t kSeed = 2654435761;

// The bytes that the published vectors are made of.
std::vector<std::byte> SanityBuffer(size_t size) {
  std::vector<std::byte> bytes(size);
  uint64_t generator = 2654435761;
  for (std::byte& byte : bytes) {
    byte = static_cast<std::byte>(generator >> 56);
    generator *= 11400714785074694797ull;
  }
  return bytes;
}

uint64_t Hash(std::span<const std::byte> bytes, uint64_t seed) {
  Xxh64 hash(seed);
  hash.Update(bytes);
  return hash.Digest();
}

TEST(Xxh64, EqualsThePublishedVectors) {
  struct Vector {
    size_t size;
    uint64_t seed;
    uint64_t hash;
  };
  const std::vector<Vector> vectors = {
      {0, 0, 0xEF46DB3751D8E999},       {0, kSeed, 0xAC75FDA2929B17EF},
      {1, 0, 0xE934A84ADB052768},       {1, kSeed, 0x5014607643A9B4C3},
      {4, 0, 0x9136A0DCA57457EE},       {14, 0, 0x8282DCC4994E35C8},
      {14, kSeed, 0xC3BD6BF63DEB6DF0},  {222, 0, 0xB641AE8CB691C174},
      {222, kSeed, 0x20CB8AB7AE10C14A},
  };
  const std::vector<std::byte> buffer = SanityBuffer(222);
  for (const Vector& vector : vectors) {
    EXPECT_EQ(Hash(std::span(buffer).first(vector.size), vector.seed), vector.hash)
        << vector.size << " bytes, seed " << vector.seed;
  }
}

TEST(Xxh64, EqualsKnownHashesOfText) {
  const auto hash = [](std::string_view text) {
    return Hash(std::as_bytes(std::span(text.data(), text.size())), 0);
  };
  EXPECT_EQ(hash("a"), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(hash("abc"), 0x44BC2CF5AD770999u);
}

TEST(Xxh64, DoesNotDependOnHowTheBytesArrive) {
  const std::vector<std::byte> buffer = SanityBuffer(150);
  for (size_t size = 0; size <= buffer.size(); ++size) {
    const auto bytes = std::span(buffer).first(size);
    const uint64_t whole = Hash(bytes, 7);
    for (size_t step = 1; step <= 40; ++step) {
      Xxh64 hash(7);
      for (size_t at = 0; at < size; at += step) {
        hash.Update(bytes.subspan(at, std::min(step, size - at)));
      }
      ASSERT_EQ(hash.Digest(), whole) << size << " bytes in steps of " << step;
    }
  }
}

TEST(Xxh64, DigestLeavesTheStateAsItIs) {
  const std::vector<std::byte> buffer = SanityBuffer(100);
  Xxh64 hash;
  hash.Update(std::span(buffer).first(45));
  const uint64_t middle = hash.Digest();
  EXPECT_EQ(hash.Digest(), middle);
  hash.Update(std::span(buffer).subspan(45));
  EXPECT_EQ(hash.Digest(), Hash(buffer, 0));
}

TEST(Xxh64, DoesNotDependOnAlignment) {
  const std::vector<std::byte> buffer = SanityBuffer(128);
  std::vector<std::byte> shifted(128 + 8);
  for (size_t shift = 0; shift < 8; ++shift) {
    std::copy(buffer.begin(), buffer.end(), shifted.begin() + static_cast<ptrdiff_t>(shift));
    EXPECT_EQ(Hash(std::span(shifted).subspan(shift, 128), 0), Hash(buffer, 0));
  }
}

TEST(Xxh64, ChangesWithEveryBit) {
  std::vector<std::byte> buffer = SanityBuffer(77);
  const uint64_t hash = Hash(buffer, 0);
  for (size_t bit = 0; bit < buffer.size() * 8; ++bit) {
    buffer[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    EXPECT_NE(Hash(buffer, 0), hash) << "bit " << bit;
    buffer[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
  }
}

}  // namespace
}  // namespace gyrfalcon
