// A block of zeroed, 64-byte-aligned memory that JS views and native threads share by reference
// count: whoever lets go last frees it.
#ifndef GYRFALCON_CORE_ARENA_H_
#define GYRFALCON_CORE_ARENA_H_

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <utility>

#include "core/status.h"

namespace gyrfalcon {

inline constexpr size_t kArenaAlignment = 64;

// Of an arena that holds `bytes`: whole lines of a cache, and at least one.
size_t ArenaBytes(size_t bytes);

class Arena {
 public:
  // kOutOfMemory when the allocation fails; `bytes` may be 0.
  static Result<std::shared_ptr<Arena>> Create(size_t bytes);

  // Over zeroed memory that `owner` keeps.
  static std::shared_ptr<Arena> Adopt(std::shared_ptr<void> owner, std::byte* data, size_t bytes);

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };

  using Memory = std::unique_ptr<std::byte, Free>;

  Arena(Memory memory, std::shared_ptr<void> owner, std::byte* data, size_t size)
      : memory_(std::move(memory)), owner_(std::move(owner)), data_(data), size_(size) {}

  Memory memory_;  // null where there is an owner
  std::shared_ptr<void> owner_;
  std::byte* data_;
  size_t size_;
};

// Hands out aligned offsets of an arena that does not exist yet.
class ArenaLayout {
 public:
  // Offset of the next `bytes` bytes; kLimitExceeded past limits::kMaxArenaBytes.
  Result<size_t> Add(size_t count, size_t element_bytes);
  size_t size() const { return size_; }

 private:
  size_t size_ = 0;
};

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_ARENA_H_
