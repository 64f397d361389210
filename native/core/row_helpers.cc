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

namespace gyrfalcon {
namespace {

// A helper's word: what it does, and a count of claims above that, so that a caller that looks late
// does not take another's work for its own.
enum : uint32_t { kIdle = 0, kClaimed = 1, kPosted = 2, kRunning = 3, kMask = 3, kNext = 4 };

constexpr std::chrono::microseconds kSpin(5);

struct alignas(64) Helper {
  std::atomic<uint32_t> word{kIdle};
  HelpedWork work{};
  int thread = 0;
};

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Until the word is no longer `from`: spins a little, then sleeps.
uint32_t Await(const std::atomic<uint32_t>& word, uint32_t from) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      const uint32_t now = word.load(std::memory_order_acquire);
      if (now != from) return now;
      Pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  word.wait(from, std::memory_order_acquire);
  return word.load(std::memory_order_acquire);
}

void Help(Helper* helper) {
  uint32_t word = helper->word.load(std::memory_order_acquire);
  for (;;) {
    if ((word & kMask) != kPosted) {
      word = Await(helper->word, word);
      continue;
    }
    const uint32_t running = (word & ~kMask) | kRunning;
    if (!helper->word.compare_exchange_strong(word, running, std::memory_order_acq_rel)) continue;
    helper->work.run(helper->work.context, helper->thread);
    word = running & ~kMask;
    helper->word.store(word, std::memory_order_release);
    helper->word.notify_all();
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

  void Run(const HelpedWork& work, int wanted) {
    std::array<Claim, kMaxHelpers> claims;
    int claimed = 0;
    const int have = count_.load(std::memory_order_acquire);
    for (int i = 0; i < have && claimed < std::min(wanted, kMaxHelpers); ++i) {
      Helper& helper = helpers_[static_cast<size_t>(i)];
      uint32_t word = helper.word.load(std::memory_order_relaxed);
      if ((word & kMask) != kIdle) continue;
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
      while (word == (claim.count | kRunning)) word = Await(claim.helper->word, word);
    }
  }

 private:
  struct Claim {
    Helper* helper = nullptr;
    uint32_t count = 0;
  };

  std::mutex mutex_;
  std::atomic<int> count_{0};
  std::array<Helper, kMaxHelpers> helpers_;
};

Helpers& Shared() {
  static auto* const helpers = new Helpers;
  return *helpers;
}

}  // namespace

void StartHelpers(int count) { Shared().Start(count); }

void RunWithHelpers(const HelpedWork& work, int helpers) { Shared().Run(work, helpers); }

}  // namespace gyrfalcon
