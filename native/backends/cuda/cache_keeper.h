// Looks after the row caches of a model while its batches are scored: a thread of its own, a gate
// that lookups pass.
#ifndef GYRFALCON_BACKENDS_CUDA_CACHE_KEEPER_H_
#define GYRFALCON_BACKENDS_CUDA_CACHE_KEEPER_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "backends/cuda/cached_table.h"
#include "backends/cuda/lookup_gate.h"
#include "core/status.h"

namespace gyrfalcon::cuda {

class CacheKeeper {
 public:
  CacheKeeper() = default;
  // Waits for the round that is under way.
  ~CacheKeeper();
  CacheKeeper(const CacheKeeper&) = delete;
  CacheKeeper& operator=(const CacheKeeper&) = delete;

  // What the tables are made with, which end before the keeper does, or with it.
  LookupFence* fence() { return &gate_; }

  // Starts the thread, once. kOutOfMemory when the system gives none.
  Status Start(std::vector<std::shared_ptr<CachedTable>> tables);

  // One for each lookup over the tables, from before its launch until its end is known. Takes no
  // lock; waits while rows are updated.
  class Inside {
   public:
    // `keeper` may be null: nothing is done then.
    explicit Inside(CacheKeeper* keeper) : keeper_(keeper) {
      if (keeper_ != nullptr) side_ = keeper_->gate_.Enter();
    }
    ~Inside() {
      if (keeper_ != nullptr) keeper_->gate_.Leave(side_);
    }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    CacheKeeper* keeper_;
    uint32_t side_ = 0;
  };

  // Positions that were looked up in any one of the tables. Wakes the thread when the rings of
  // touches have filled up meanwhile. Any thread, not inside.
  void LookedUp(int64_t ids);

  // Of the thread, since Start.
  int64_t rounds() const { return rounds_.load(std::memory_order_relaxed); }

 private:
  void Keep();

  LookupGate gate_;
  std::vector<std::shared_ptr<CachedTable>> tables_;
  std::atomic<int64_t> looked_up_{0};  // since the last round was asked for
  std::atomic<int64_t> rounds_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool due_ = false;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_CACHE_KEEPER_H_
