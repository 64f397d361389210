// Ranges of a memory that grows as it has to.
#ifndef GYRFALCON_ENGINES_FUSED_RANGES_H_
#define GYRFALCON_ENGINES_FUSED_RANGES_H_

#include <cstdint>
#include <iterator>
#include <map>

namespace gyrfalcon::fused {

// Hands out ranges and takes them back; the lowest that fits.
class Ranges {
 public:
  int64_t Take(int64_t size) {
    for (auto it = free_.begin(); it != free_.end(); ++it) {
      if (it->second < size) continue;
      const auto [at, have] = *it;
      free_.erase(it);
      if (have > size) free_.emplace(at + size, have - size);
      return at;
    }
    // A free range at the end grows.
    int64_t at = end_;
    if (!free_.empty() && free_.rbegin()->first + free_.rbegin()->second == end_) {
      at = free_.rbegin()->first;
      free_.erase(std::prev(free_.end()));
    }
    end_ = at + size;
    return at;
  }

  void Give(int64_t at, int64_t size) {
    const auto next = free_.lower_bound(at);
    if (next != free_.end() && at + size == next->first) {
      size += next->second;
      free_.erase(next);
    }
    const auto after = free_.lower_bound(at);
    if (after != free_.begin()) {
      const auto before = std::prev(after);
      if (before->first + before->second == at) {
        before->second += size;
        return;
      }
    }
    free_.emplace(at, size);
  }

  int64_t end() const { return end_; }

 private:
  std::map<int64_t, int64_t> free_;
  int64_t end_ = 0;
};

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_RANGES_H_
