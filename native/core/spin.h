// Waiting without sleep, for a bounded time.
#ifndef GYRFALCON_CORE_SPIN_H_
#define GYRFALCON_CORE_SPIN_H_

#include <atomic>
#include <chrono>

namespace gyrfalcon {

// Tells the core that this thread waits for another.
inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Until the word is no longer `from`, or the time has passed: then it is still `from`.
template <typename T>
T SpinWhile(const std::atomic<T>& word, T from, std::chrono::steady_clock::duration longest) {
  const auto end = std::chrono::steady_clock::now() + longest;
  do {
    for (int i = 0; i < 32; ++i) {
      const T now = word.load(std::memory_order_acquire);
      if (now != from) return now;
      Pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return from;
}

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_SPIN_H_
