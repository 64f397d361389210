#include "core/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "core/arena.h"
#include "core/limits.h"

namespace gyrfalcon {
namespace {

class Note final : public Job {
 public:
  Note(int id, std::vector<int>* ran) : id_(id), ran_(ran) {}
  void Run() override { ran_->push_back(id_); }

 private:
  int id_;
  std::vector<int>* ran_;
};

// Holds a worker until it is let go.
class Gate final : public Job {
 public:
  void Run() override {
    entered.set_value();
    open.get_future().wait();
  }
  std::promise<void> entered;
  std::promise<void> open;
};

TEST(WorkerPoolTest, RunsJobsInOrderWithoutThoseThatWereRemoved) {
  std::vector<int> ran;
  std::vector<std::unique_ptr<Note>> jobs;
  for (int i = 0; i < 6; ++i) jobs.push_back(std::make_unique<Note>(i, &ran));
  Gate gate;
  {
    WorkerPool pool(1);
    pool.Submit(&gate);
    gate.entered.get_future().wait();
    for (const auto& job : jobs) pool.Submit(job.get());
    EXPECT_TRUE(pool.Remove(jobs[0].get()));   // the head,
    EXPECT_TRUE(pool.Remove(jobs[3].get()));   // the middle
    EXPECT_TRUE(pool.Remove(jobs[5].get()));   // and the tail of the queue
    EXPECT_FALSE(pool.Remove(jobs[3].get()));  // not in it any more
    EXPECT_FALSE(pool.Remove(&gate));          // running
    pool.Submit(jobs[5].get());
    gate.open.set_value();
  }  // runs what is queued, then joins
  EXPECT_EQ(ran, (std::vector<int>{1, 2, 4, 5}));
}

class Count final : public Job {
 public:
  explicit Count(std::atomic<int>* count) : count_(count) {}
  void Run() override { count_->fetch_add(1); }

 private:
  std::atomic<int>* count_;
};

TEST(WorkerPoolTest, EveryJobRunsExactlyOnceOnManyThreads) {
  std::atomic<int> count{0};
  std::vector<std::unique_ptr<Count>> jobs;
  for (int i = 0; i < 2000; ++i) jobs.push_back(std::make_unique<Count>(&count));
  {
    WorkerPool pool(4);
    for (const auto& job : jobs) pool.Submit(job.get());
  }
  EXPECT_EQ(count.load(), 2000);
}

// Whether workers sleep, spin now and then, or nearly always: a job that nobody is told of would
// wait for ever.
TEST(WorkerPoolTest, NoJobIsForgottenBetweenSpinningAndSleeping) {
  using std::chrono::microseconds;
  using std::chrono::steady_clock;
  const auto submit = [](WorkerPool* pool, bool* forgotten) {
    std::atomic<int> count{0};
    Count job(&count);
    Count second(&count);
    int want = 0;
    for (int round = 0; round < 500 && !*forgotten; ++round) {
      pool->Submit(&job);
      if (round % 3 == 0) pool->Submit(&second);
      want += round % 3 == 0 ? 2 : 1;
      const auto deadline = steady_clock::now() + std::chrono::seconds(10);
      while (count.load() < want && steady_clock::now() < deadline) std::this_thread::yield();
      *forgotten = count.load() < want;
      // The next round finds workers that spin, that stop doing so, and that sleep.
      const auto end = steady_clock::now() + microseconds(round % 40);
      while (steady_clock::now() < end) std::this_thread::yield();
    }
  };
  for (const microseconds spin : {microseconds(0), microseconds(10), microseconds(5000)}) {
    WorkerPool pool(3, spin);
    bool mine = false;
    bool others = false;
    std::thread other(submit, &pool, &others);
    submit(&pool, &mine);
    other.join();
    EXPECT_FALSE(mine || others) << spin.count();
  }
}

TEST(ArenaTest, IsZeroedAlignedAndBounded) {
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{64}, size_t{4097}}) {
    auto arena = Arena::Create(bytes);
    ASSERT_TRUE(arena.ok());
    EXPECT_GE((*arena)->size(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>((*arena)->data()) % kArenaAlignment, 0U);
    for (size_t i = 0; i < (*arena)->size(); ++i) ASSERT_EQ((*arena)->data()[i], std::byte{0});
  }
  EXPECT_EQ(Arena::Create(limits::kMaxArenaBytes + 1).status().code(), ErrorCode::kLimitExceeded);
}

TEST(ArenaLayoutTest, PlacesAreAlignedAndSumsAreChecked) {
  ArenaLayout layout;
  EXPECT_EQ(layout.Add(3, 4).value(), 0U);
  EXPECT_EQ(layout.Add(17, 4).value(), 64U);
  EXPECT_EQ(layout.Add(0, 4).value(), 192U);
  EXPECT_EQ(layout.size(), 192U);
  EXPECT_EQ(layout.Add(SIZE_MAX, 8).status().code(), ErrorCode::kLimitExceeded);
  EXPECT_EQ(layout.Add(limits::kMaxArenaBytes, 1).status().code(), ErrorCode::kLimitExceeded);
  EXPECT_EQ(layout.Add(limits::kMaxArenaBytes - 192, 1).value(), 192U);
}

}  // namespace
}  // namespace gyrfalcon
