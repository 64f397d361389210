#include "core/arena.h"

#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "core/limits.h"

namespace gyrfalcon {

size_t ArenaBytes(size_t bytes) {
  const size_t rounded = (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
  return rounded == 0 ? kArenaAlignment : rounded;
}

Result<std::shared_ptr<Arena>> Arena::Create(size_t bytes) {
  if (bytes > limits::kMaxArenaBytes) {
    return {ErrorCode::kLimitExceeded, "expected a batch of at most " +
                                           std::to_string(limits::kMaxArenaBytes) +
                                           " bytes but received " + std::to_string(bytes)};
  }
  const size_t size = ArenaBytes(bytes);
  // Owned from here on: making the Arena allocates, too.
  Memory memory(static_cast<std::byte*>(std::aligned_alloc(kArenaAlignment, size)));
  if (memory == nullptr) {
    return {ErrorCode::kOutOfMemory, "could not allocate " + std::to_string(size) + " bytes"};
  }
  std::memset(memory.get(), 0, size);  // also touches every page before the first request does
  std::byte* const data = memory.get();
  return std::shared_ptr<Arena>(new Arena(std::move(memory), nullptr, data, size));
}

std::shared_ptr<Arena> Arena::Adopt(std::shared_ptr<void> owner, std::byte* data, size_t bytes) {
  return std::shared_ptr<Arena>(new Arena(nullptr, std::move(owner), data, bytes));
}

Result<size_t> ArenaLayout::Add(size_t count, size_t element_bytes) {
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, element_bytes, &bytes) || bytes > limits::kMaxArenaBytes ||
      size_ + bytes > limits::kMaxArenaBytes) {
    return {ErrorCode::kLimitExceeded, "expected a batch of at most " +
                                           std::to_string(limits::kMaxArenaBytes) +
                                           " bytes; create it with fewer rows or indices"};
  }
  const size_t offset = size_;
  size_ += (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
  return offset;
}

}  // namespace gyrfalcon
