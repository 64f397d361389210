// Readers that hold no lock, and writers that wait for them.
#include "backends/cuda/lookup_gate.h"

#include <gtest/gtest.h>

#include <array>
#include <thread>
#include <vector>

namespace gyrfalcon::cuda {
namespace {

// Two slots; readers use the one that is published. The writer writes to the other one after it
// has waited for those that may still read it: no reader sees half of it, and nothing is a race.
TEST(LookupGateTest, DrainWaitsForThoseInside) {
  LookupGate gate;
  std::array<std::array<int64_t, 8>, 2> slots{};
  std::atomic<int> published{0};
  std::atomic<bool> stop{false};
  std::atomic<int64_t> torn{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop.load()) {
        const uint32_t side = gate.Enter();
        const std::array<int64_t, 8>& slot = slots[static_cast<size_t>(published.load())];
        for (const int64_t value : slot) torn += value != slot[0] ? 1 : 0;
        gate.Leave(side);
      }
    });
  }
  for (int64_t version = 1; version < 2000; ++version) {
    const int next = 1 - published.load();
    for (int64_t& value : slots[static_cast<size_t>(next)]) value = version;
    published.store(next);
    gate.Drain();
  }
  stop.store(true);
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(torn.load(), 0);
}

TEST(LookupGateTest, NobodyIsInsideWhileItIsClosed) {
  LookupGate gate;
  std::array<int64_t, 8> values{};
  std::atomic<bool> stop{false};
  std::atomic<int64_t> torn{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop.load()) {
        const uint32_t side = gate.Enter();
        for (const int64_t value : values) torn += value != values[0] ? 1 : 0;
        gate.Leave(side);
      }
    });
  }
  std::thread other([&] {
    while (!stop.load()) gate.Drain();
  });
  for (int64_t version = 1; version < 1000; ++version) {
    gate.Close();
    for (int64_t& value : values) value = version;
    gate.Open();
  }
  stop.store(true);
  for (std::thread& reader : readers) reader.join();
  other.join();
  EXPECT_EQ(torn.load(), 0);
}

// A lookup that began later does not hold the writer up.
TEST(LookupGateTest, DrainDoesNotWaitForLaterOnes) {
  LookupGate gate;
  const uint32_t first = gate.Enter();
  std::atomic<bool> drained{false};
  std::thread writer([&] {
    gate.Drain();
    drained.store(true);
  });
  // Until the writer has turned the gate, which later ones enter by another side.
  uint32_t later = gate.Enter();
  while (later == first) {
    gate.Leave(later);
    std::this_thread::yield();
    later = gate.Enter();
  }
  EXPECT_FALSE(drained.load());
  gate.Leave(first);
  writer.join();
  EXPECT_TRUE(drained.load());
  gate.Leave(later);
}

}  // namespace
}  // namespace gyrfalcon::cuda
