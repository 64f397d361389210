#include "backends/cuda/cache_keeper.h"

#include <pthread.h>

#include <csignal>
#include <new>
#include <system_error>
#include <utility>

#include "backends/cuda/row_cache.h"

namespace gyrfalcon::cuda {

Status CacheKeeper::Start(std::vector<std::shared_ptr<CachedTable>> tables) {
  tables_ = std::move(tables);
  // Signals are the main thread's business.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool started = true;
  try {
    thread_ = std::thread(&CacheKeeper::Keep, this);
  } catch (const std::system_error&) {
    started = false;
  } catch (const std::bad_alloc&) {
    started = false;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (started) return Status::Ok();
  return {ErrorCode::kOutOfMemory, "expected a thread to look after row caches but got none"};
}

CacheKeeper::~CacheKeeper() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void CacheKeeper::LookedUp(int64_t ids) {
  const int64_t before = looked_up_.fetch_add(ids, std::memory_order_relaxed);
  // One caller crosses the mark.
  if (before >= RowCache::kRoundLookups || before + ids < RowCache::kRoundLookups) return;
  {
    const std::lock_guard lock(mutex_);
    due_ = true;
  }
  wake_.notify_one();
}

void CacheKeeper::Keep() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return due_ || stop_; });
      if (stop_) return;
      due_ = false;
    }
    looked_up_.store(0, std::memory_order_relaxed);
    for (const std::shared_ptr<CachedTable>& table : tables_) {
      // A cache whose device fails stays as it is and lookups stay right; updates report it.
      static_cast<void>(table->Maintain());
    }
    rounds_.fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace gyrfalcon::cuda
