// Tables with a row cache on the simulated driver: lookups on other threads while rows come, go and
// are updated; bugs of the host that must be noticed; every driver function failing.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <string>
#include <thread>

#include "backends/cuda/cache_keeper.h"
#include "backends/cuda/cached_table.h"
#include "host_support.h"

namespace gyrfalcon::testing {
namespace {

constexpr int64_t kRows = 4096;
constexpr int64_t kSlots = 16;
constexpr int64_t kHot = 12;
constexpr int64_t kBags = 96;

// Row r is r times, in each of its values, until it is updated.
std::vector<float> Rows() {
  std::vector<float> values(static_cast<size_t>(kRows * kWorkDim));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i / kWorkDim);
  return values;
}

Result<std::shared_ptr<cuda::CachedTable>> MakeCached(const std::shared_ptr<cuda::Device>& device,
                                                      cuda::LookupFence* fence) {
  const std::vector<float> values = Rows();
  const TableView view{reinterpret_cast<const std::byte*>(values.data()), kRows, kWorkDim,
                       Storage::kF32};
  return cuda::CachedTable::Make(device, view, {.rows = kSlots}, fence);
}

// Writers that wait for nobody: the bug.
class NoFence final : public cuda::LookupFence {
 public:
  void Drain() override {}
  void Close() override {}
  void Open() override {}
};

// Lets writers wait, or not.
struct Fence {
  explicit Fence(bool waits) : waits_(waits) {}
  cuda::LookupFence* get() { return waits_ ? static_cast<cuda::LookupFence*>(&gate_) : &none_; }
  uint32_t Enter() { return gate_.Enter(); }
  void Leave(uint32_t side) { gate_.Leave(side); }

 private:
  bool waits_;
  cuda::LookupGate gate_;
  NoFence none_;
};

// Looks up kBags bags of one id, of `first` and the rows behind it.
Status LookUp(WorkBatch* batch, int64_t first) {
  for (int64_t bag = 0; bag < kBags; ++bag) {
    batch->ids[bag] = static_cast<int32_t>((first + bag % kHot) % (kRows - 1));
  }
  LookupReport report;
  return batch->lookup->Run(kBags, &report);
}

// Bags whose values are not all of one row, or not what `expected` says of row id + 1.
template <class F>
int Wrong(const WorkBatch& batch, const F& expected) {
  int wrong = 0;
  for (int64_t bag = 0; bag < kBags; ++bag) {
    const float* const row = batch.out + bag * kWorkDim;
    const bool whole = std::all_of(row, row + kWorkDim, [&](float v) { return v == row[0]; });
    if (!whole || !expected(batch.ids[bag] + 1, row[0])) ++wrong;
  }
  return wrong;
}

// A reader and a writer side by side, under a seed. How many bags were wrong.
struct Outcome {
  int wrong = 0;
  int64_t evictions = 0;
};

// The hot rows change all the time: rows come and go under lookups.
Outcome Replace(const std::string& seed, bool waits) {
  Outcome outcome;
  Result<std::shared_ptr<cuda::Device>> device = OpenSimulated();
  EXPECT_TRUE(device.ok());
  Fence fence(waits);
  Result<std::shared_ptr<cuda::CachedTable>> table = MakeCached(*device, fence.get());
  EXPECT_TRUE(table.ok()) << table.status().message();
  TheSim().order(seed.c_str());
  std::atomic<bool> done = false;
  std::atomic<int> lookups = 0;
  std::thread reader([&] {
    Result<WorkBatch> batch = MakeWorkBatch(*device, **table, 1, 1, kBags);
    EXPECT_TRUE(batch.ok());
    for (; !done; ++lookups) {
      const uint32_t side = fence.Enter();
      const Status status = LookUp(&*batch, lookups / 8 * 5);
      fence.Leave(side);
      EXPECT_TRUE(status.ok()) << status.message();
      outcome.wrong +=
          Wrong(*batch, [](int64_t row, float value) { return value == static_cast<float>(row); });
    }
  });
  for (int round = 1; round <= 40; ++round) {
    while (lookups < 3 * round) std::this_thread::yield();
    const Status status = (*table)->Maintain();
    EXPECT_TRUE(status.ok()) << status.message();
  }
  done = true;
  reader.join();
  outcome.evictions = (*table)->stats().evictions;
  TheSim().order("late");
  return outcome;
}

// Hot rows are updated again and again: row r is r + 0.5 * (how many times).
int Update(const std::string& seed, bool waits) {
  int wrong = 0;
  Result<std::shared_ptr<cuda::Device>> device = OpenSimulated();
  EXPECT_TRUE(device.ok());
  Fence fence(waits);
  Result<std::shared_ptr<cuda::CachedTable>> table = MakeCached(*device, fence.get());
  EXPECT_TRUE(table.ok());
  std::vector<int64_t> hot;
  for (int64_t i = 1; i <= kHot; ++i) hot.push_back(i);
  EXPECT_TRUE((*table)->Warm(hot).ok());
  TheSim().order(seed.c_str());
  std::atomic<bool> done = false;
  std::thread reader([&] {
    Result<WorkBatch> batch = MakeWorkBatch(*device, **table, 1, 1, kBags);
    EXPECT_TRUE(batch.ok());
    while (!done) {
      const uint32_t side = fence.Enter();
      const Status status = LookUp(&*batch, 0);
      fence.Leave(side);
      EXPECT_TRUE(status.ok()) << status.message();
      // All rows are of one update.
      std::optional<float> version;
      wrong += Wrong(*batch, [&](int64_t row, float value) {
        const float each = value - static_cast<float>(row);
        if (!version) version = each;
        return each == *version;
      });
    }
  });
  for (int round = 1; round <= 40; ++round) {
    std::vector<float> rows;
    for (const int64_t id : hot) {
      rows.insert(rows.end(), kWorkDim, static_cast<float>(id) + 0.5f * static_cast<float>(round));
    }
    const Status status = (*table)->Update(hot, reinterpret_cast<const std::byte*>(rows.data()));
    EXPECT_TRUE(status.ok()) << status.message();
  }
  done = true;
  reader.join();
  TheSim().order("late");
  return wrong;
}

TEST(CachedTableTest, LookupsSeeWholeRowsWhileRowsComeAndGo) {
  int64_t evictions = 0;
  for (int seed = 1; seed <= 6; ++seed) {
    const Outcome outcome = Replace(std::to_string(seed), true);
    EXPECT_EQ(outcome.wrong, 0) << seed;
    evictions += outcome.evictions;
    EXPECT_EQ(TheSim().misuses(), 0) << TheSim().LastMisuse();
    EXPECT_EQ(TheSim().live(), 0) << TheSim().Leaks();
  }
  EXPECT_GT(evictions, 10);
}

TEST(CachedTableTest, AReplacementThatWaitsForNobodyIsNoticed) {
  int wrong = 0;
  for (int seed = 1; seed <= 400 && wrong == 0; ++seed) {
    wrong = Replace(std::to_string(seed), false).wrong;
  }
  EXPECT_GT(wrong, 0);
}

TEST(CachedTableTest, LookupsSeeAllOfAnUpdateOrNothing) {
  for (int seed = 1; seed <= 6; ++seed) EXPECT_EQ(Update(std::to_string(seed), true), 0) << seed;
  EXPECT_EQ(TheSim().misuses(), 0) << TheSim().LastMisuse();
}

TEST(CachedTableTest, AnUpdateThatWaitsForNobodyIsNoticed) {
  int wrong = 0;
  for (int seed = 1; seed <= 400 && wrong == 0; ++seed) wrong = Update(std::to_string(seed), false);
  EXPECT_GT(wrong, 0);
}

TEST(CachedTableTest, AKeeperLooksAfterCachesBehindReaders) {
  TheSim().order("5");
  {
    Result<std::shared_ptr<cuda::Device>> device = OpenSimulated();
    ASSERT_TRUE(device.ok());
    cuda::CacheKeeper keeper;
    Result<std::shared_ptr<cuda::CachedTable>> table = MakeCached(*device, keeper.fence());
    ASSERT_TRUE(table.ok());
    ASSERT_TRUE(keeper.Start({*table}).ok());
    std::atomic<int> wrong = 0;
    std::atomic<int> left = 2;
    const auto read = [&](int64_t from) {
      Result<WorkBatch> batch = MakeWorkBatch(*device, **table, 1, 1, kBags);
      EXPECT_TRUE(batch.ok());
      // Until rows have come, and gone again for an update.
      for (int64_t round = 0; round < 4000 && (*table)->stats().updated == 0; ++round) {
        {
          const cuda::CacheKeeper::Inside inside(&keeper);
          EXPECT_TRUE(LookUp(&*batch, from).ok());
        }
        keeper.LookedUp(cuda::RowCache::kRoundLookups / 8);
        wrong += Wrong(*batch,
                       [](int64_t row, float value) { return value == static_cast<float>(row); });
      }
      --left;
    };
    std::thread first(read, 0);
    std::thread second(read, 4);
    while (left > 0 && (keeper.rounds() < 3 || (*table)->stats().insertions == 0)) {
      std::this_thread::yield();
    }
    EXPECT_GT((*table)->stats().insertions, 0);
    const std::vector<float> same(kWorkDim, 1.0f);
    EXPECT_TRUE((*table)->Update({1}, reinterpret_cast<const std::byte*>(same.data())).ok());
    first.join();
    second.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_GE(keeper.rounds(), 3);
  }
  TheSim().order("late");
  EXPECT_EQ(TheSim().misuses(), 0) << TheSim().LastMisuse();
  EXPECT_EQ(TheSim().live(), 0) << TheSim().Leaks();
}

// All that a cached table does, by one thread. What must be right after any failure is `wrong`.
Status Work(int* wrong) {
  Result<std::shared_ptr<cuda::Device>> device = OpenSimulated();
  if (!device.ok()) return device.status();
  cuda::LookupGate gate;
  Result<std::shared_ptr<cuda::CachedTable>> table = MakeCached(*device, &gate);
  if (!table.ok()) return table.status();
  Result<WorkBatch> batch = MakeWorkBatch(*device, **table, 1, 1, kBags);
  if (!batch.ok()) return batch.status();
  bool updated = false;
  const auto look = [&]() -> Status {
    GYR_RETURN_IF_ERROR(LookUp(&*batch, 0));
    *wrong += Wrong(*batch, [&](int64_t row, float value) {
      return value == (row == 3 && updated ? -1.0f : static_cast<float>(row));
    });
    return Status::Ok();
  };
  const auto all = [&]() -> Status {
    GYR_RETURN_IF_ERROR((*table)->Warm({1, 2, 3, 700}));
    GYR_RETURN_IF_ERROR(look());
    const std::vector<float> row(kWorkDim, -1.0f);
    GYR_RETURN_IF_ERROR((*table)->Update({3}, reinterpret_cast<const std::byte*>(row.data())));
    updated = true;
    GYR_RETURN_IF_ERROR(look());
    GYR_RETURN_IF_ERROR((*table)->Maintain());
    return look();
  };
  const Status status = all();
  if (!status.ok()) {
    // The failure is over; lookups are as right as they were, with or without the update.
    TheSim().fail(nullptr, 0, 0);
    const int before = *wrong;
    if (!look().ok()) ++*wrong;
    if (*wrong > before && !updated) {
      updated = true;
      *wrong = before;
      if (!look().ok()) ++*wrong;
    }
  }
  return status;
}

TEST(CachedTableTest, EveryFunctionThatFailsIsATypedErrorAndLookupsStayRight) {
  const std::vector<int> errors = {1, 2, 201, 400, 700, 999};
  TheSim().fail(nullptr, 0, 0);
  int wrong = 0;
  ASSERT_TRUE(Work(&wrong).ok());
  ASSERT_EQ(wrong, 0);
  int failures = 0;
  for (const auto& [name, calls] : DriverCalls()) {
    for (int nth = 1; nth <= calls; ++nth) {
      const int error = errors[static_cast<size_t>(nth) % errors.size()];
      TheSim().fail(name.c_str(), nth, error);
      failures += ExpectTypedFailure(Work(&wrong), name, nth, error) ? 1 : 0;
      EXPECT_EQ(wrong, 0) << name << " call " << nth << " error " << error;
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(failures, 100);
  TheSim().fail(nullptr, 0, 0);
}

}  // namespace
}  // namespace gyrfalcon::testing
