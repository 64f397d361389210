#include "core/row_helpers.h"

#include <signal.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#include "core/spin.h"

namespace gyrfalcon {
namespace {

// A helper's word: what it does, and a count of claims above that, so that a caller that looks late
// does not take another's work for its own.
enum : uint32_t { kIdle = 0, kClaimed = 1, kPosted = 2, kRunning = 3, kMask = 3, kNext = 4 };

using Clock = std::chrono::steady_clock;

// Waking a thread takes longer than many a score. So a helper whose last work came within kSoon of
// the one before waits for the next that long without sleeping: who scores again and again finds
// it awake, and a core is kept from others for at most as long as the gaps that it bridges.
constexpr std::chrono::microseconds kSoon(200);
constexpr std::chrono::microseconds kSeldom(5);
// A caller waits for work that runs: usually the rest of one part.
constexpr std::chrono::microseconds kLastPart(100);
// A thread that sleeps begins about this much later, and costs its caller a system call.
constexpr int64_t kWakeNanoseconds = 60000;

struct alignas(64) Helper {
  std::atomic<uint32_t> word{kIdle};
  std::atomic<bool> asleep{false};
  HelpedWork work{};
  int thread = 0;
};

void Help(Helper* helper) {
  uint32_t word = helper->word.load(std::memory_order_acquire);
  Clock::time_point idle_since = Clock::now();
  Clock::duration patience = kSeldom;
  for (;;) {
    if ((word & kMask) != kPosted) {
      // Claims that come to nothing change the word too; they do not restart the patience.
      const uint32_t now =
          SpinWhile<uint32_t>(helper->word, word, idle_since + patience - Clock::now());
      if (now == word) {
        helper->asleep.store(true, std::memory_order_relaxed);
        helper->word.wait(word, std::memory_order_acquire);
        helper->asleep.store(false, std::memory_order_relaxed);
      }
      word = helper->word.load(std::memory_order_acquire);
      continue;
    }
    const uint32_t running = (word & ~kMask) | kRunning;
    if (!helper->word.compare_exchange_strong(word, running, std::memory_order_acq_rel)) continue;
    patience = Clock::now() - idle_since <= kSoon ? kSoon : kSeldom;
    helper->work.run(helper->work.context, helper->thread);
    word = running & ~kMask;
    helper->word.store(word, std::memory_order_release);
    helper->word.notify_all();
    idle_since = Clock::now();
  }
}

class Helpers {
 public:
  void Start(int count) {
    const std::lock_guard lock(mutex_);
    // Signals are the main thread's business.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int have = count_.load();
    try {
      for (; have < std::min(count, kMaxHelpers); ++have) {
        std::thread(Help, &helpers_[static_cast<size_t>(have)]).detach();
      }
    } catch (const std::system_error&) {
      // Runs do with the helpers there are.
    } catch (const std::bad_alloc&) {
      // As above: those that were started have to be counted, and signals let through again.
    }
    count_.store(have);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void Run(const HelpedWork& work, int wanted, int64_t nanoseconds) {
    std::array<Claim, kMaxHelpers> claims;
    int claimed = 0;
    const bool may_wake = MayWake(nanoseconds);
    const int have = count_.load(std::memory_order_acquire);
    for (int i = 0; i < have && claimed < std::min(wanted, kMaxHelpers); ++i) {
      Helper& helper = helpers_[static_cast<size_t>(i)];
      uint32_t word = helper.word.load(std::memory_order_relaxed);
      if ((word & kMask) != kIdle) continue;
      if (!may_wake && helper.asleep.load(std::memory_order_relaxed)) continue;
      const uint32_t next = (word & ~kMask) + kNext;
      if (!helper.word.compare_exchange_strong(word, next | kClaimed, std::memory_order_acq_rel)) {
        continue;
      }
      helper.work = work;
      helper.thread = claimed + 1;
      helper.word.store(next | kPosted, std::memory_order_release);
      helper.word.notify_all();
      claims[static_cast<size_t>(claimed++)] = {&helper, next};
    }
    work.run(work.context, 0);
    for (int i = 0; i < claimed; ++i) {
      const Claim& claim = claims[static_cast<size_t>(i)];
      uint32_t word = claim.count | kPosted;
      if (claim.helper->word.compare_exchange_strong(word, claim.count | kIdle,
                                                     std::memory_order_acq_rel)) {
        continue;  // it never began
      }
      while (word == (claim.count | kRunning)) {
        const uint32_t now = SpinWhile<uint32_t>(claim.helper->word, word, kLastPart);
        if (now == word) claim.helper->word.wait(word, std::memory_order_acquire);
        word = claim.helper->word.load(std::memory_order_acquire);
      }
    }
  }

 private:
  struct Claim {
    Helper* helper = nullptr;
    uint32_t count = 0;
  };

  // For much work, or when work comes so often that those who are woken now will stay awake.
  bool MayWake(int64_t nanoseconds) {
    const Clock::rep now = Clock::now().time_since_epoch().count();
    const Clock::rep last = last_run_.exchange(now, std::memory_order_relaxed);
    return nanoseconds >= kWakeNanoseconds || Clock::duration(now - last) <= kSoon;
  }

  std::mutex mutex_;
  std::atomic<int> count_{0};
  std::atomic<Clock::rep> last_run_{0};
  std::array<Helper, kMaxHelpers> helpers_;
};

Helpers& Shared() {
  static auto* const helpers = new Helpers;
  return *helpers;
}

}  // namespace

void StartHelpers(int count) { Shared().Start(count); }

void RunWithHelpers(const HelpedWork& work, int helpers, int64_t nanoseconds) {
  Shared().Run(work, helpers, nanoseconds);
}

}  // namespace gyrfalcon
