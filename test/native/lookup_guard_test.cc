// Tables, ids, offsets, weights and outputs that end where the page after them cannot be touched,
// or begin where the page before them cannot: any access outside ends the test process.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "lookup_support.h"

namespace gyrfalcon::testing {
namespace {

enum class Edge { kEnd, kBegin };

// `bytes` bytes between two protected pages, against one of them.
class GuardedBytes {
 public:
  GuardedBytes(size_t bytes, Edge edge) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t inner = (bytes + page - 1) / page * page;
    size_ = inner + 2 * page;
    base_ = static_cast<std::byte*>(
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EXPECT_NE(static_cast<void*>(base_), MAP_FAILED);
    EXPECT_EQ(mprotect(base_, page, PROT_NONE), 0);
    EXPECT_EQ(mprotect(base_ + page + inner, page, PROT_NONE), 0);
    data_ = edge == Edge::kBegin ? base_ + page : base_ + page + inner - bytes;
  }
  ~GuardedBytes() { munmap(base_, size_); }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;

  std::byte* data() const { return data_; }
  template <typename T>
  T* As() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  std::byte* base_;
  std::byte* data_;
  size_t size_;
};

template <typename T>
GuardedBytes* Copy(const std::vector<T>& values, Edge edge,
                   std::vector<std::unique_ptr<GuardedBytes>>* keep) {
  keep->push_back(std::make_unique<GuardedBytes>(values.size() * sizeof(T), edge));
  if (!values.empty()) {
    std::memcpy(keep->back()->data(), values.data(), values.size() * sizeof(T));
  }
  return keep->back().get();
}

class LookupGuardTest : public ::testing::TestWithParam<LookupBackend> {};

void RunGuarded(const LookupBackend& backend, Storage storage, int64_t dim, Edge edge, bool wide) {
  constexpr int64_t kRows = 3;
  constexpr int64_t kBatch = 2;
  std::mt19937_64 random(static_cast<uint64_t>(dim));
  const auto table = RandomTable(kRows, dim, storage, &random);
  std::vector<std::unique_ptr<GuardedBytes>> keep;
  const GuardedBytes* const rows = Copy(table->bytes, edge, &keep);
  for (const int64_t count : {1, 5}) {
    for (const Pooling pooling : {Pooling::kSum, Pooling::kMean, Pooling::kNone}) {
      // Every bag holds the first and the last row.
      std::vector<int64_t> ids64;
      for (int64_t i = 0; i < kBatch * count; ++i) ids64.push_back((kRows - 1) * ((i + 1) % 2));
      ids64.back() = edge == Edge::kEnd ? kRows - 1 : 0;
      const std::vector<int32_t> ids32(ids64.begin(), ids64.end());
      const std::vector<int64_t> offsets64{0, count, 2 * count};
      const std::vector<int32_t> offsets32(offsets64.begin(), offsets64.end());
      for (const bool ragged : {false, true}) {
        for (const bool weighted : {false, true}) {
          BagGroup group;
          group.table = table->view;
          group.table.data = rows->data();
          group.pooling = pooling;
          group.indices_are_64 = group.offsets_are_64 = wide;
          group.indices = (wide ? Copy(ids64, edge, &keep) : Copy(ids32, edge, &keep))->data();
          if (ragged) {
            group.offsets =
                (wide ? Copy(offsets64, edge, &keep) : Copy(offsets32, edge, &keep))->data();
          } else {
            group.count = group.index_row_stride = group.weight_row_stride = count;
          }
          if (weighted) {
            const std::vector<float> weights(ids64.size(), 1.5f);
            group.weights = Copy(weights, edge, &keep)->As<const float>();
          }
          group.out_row_stride = dim * (pooling == Pooling::kNone ? count : 1);
          const std::vector<float> out(static_cast<size_t>(kBatch * group.out_row_stride));
          group.out = Copy(out, edge, &keep)->As<float>();
          LookupReport report;
          backend.run({&group, 1, 0, kBatch, OutOfRange::kError}, &report);
          EXPECT_FALSE(report.failed);
          keep.resize(1);  // the table stays
        }
      }
    }
  }
}

TEST_P(LookupGuardTest, NoAccessOutside) {
  std::vector<int64_t> dims(70);
  std::iota(dims.begin(), dims.end(), 1);
  dims.insert(dims.end(), {96, 127, 128, 129, 200, 1000});
  for (const int64_t dim : dims) {
    for (const Storage storage :
         {Storage::kF32, Storage::kF16, Storage::kBF16, Storage::kInt8, Storage::kInt4}) {
      RunGuarded(GetParam(), storage, dim, Edge::kEnd, dim % 2 == 0);
      RunGuarded(GetParam(), storage, dim, Edge::kBegin, dim % 2 != 0);
    }
  }
}

// The ids that are read ahead, from group to group: rows of many lines before and behind rows of
// one.
TEST_P(LookupGuardTest, NoIdOutsideIsReadAhead) {
  constexpr int64_t kRows = 50;
  constexpr int64_t kBatch = 40;
  std::mt19937_64 random(5);
  const auto wide = RandomTable(kRows, 256, Storage::kF32, &random);
  const auto narrow = RandomTable(kRows, 4, Storage::kF32, &random);
  for (const Edge edge : {Edge::kBegin, Edge::kEnd}) {
    for (const Prefetching prefetch : {Prefetching{768, PrefetchOrder::kSteady},
                                       {100, PrefetchOrder::kSteady},
                                       {1, PrefetchOrder::kSteady},
                                       {768, PrefetchOrder::kNear},
                                       {1, PrefetchOrder::kNear},
                                       {768},
                                       {1}}) {
      for (const int64_t count : {1, 3, 20}) {
        std::vector<std::unique_ptr<GuardedBytes>> keep;
        std::vector<BagGroup> groups;
        for (const bool is_wide : {true, false, false, true, false}) {
          BagGroup group;
          group.table = is_wide ? wide->view : narrow->view;
          group.count = group.index_row_stride = count;
          const std::vector<int32_t> ids(static_cast<size_t>(kBatch * count), 7);
          group.indices = Copy(ids, edge, &keep)->data();
          group.out_row_stride = group.table.dim;
          const std::vector<float> out(static_cast<size_t>(kBatch * group.out_row_stride));
          group.out = Copy(out, edge, &keep)->As<float>();
          groups.push_back(group);
        }
        LookupRequest request{groups.data(), groups.size(), 0, kBatch, OutOfRange::kError};
        request.prefetch = prefetch;
        LookupReport report;
        GetParam().run(request, &report);
        EXPECT_FALSE(report.failed);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, LookupGuardTest, ::testing::ValuesIn(LookupBackends()),
                         BackendName);

// The guard works: reading one byte too far, or one before, ends a process.
TEST(LookupGuardDeathTest, GuardTraps) {
  const GuardedBytes end(100, Edge::kEnd);
  const GuardedBytes begin(100, Edge::kBegin);
  const volatile uint8_t* const after = end.As<uint8_t>() + 99;
  const volatile uint8_t* const before = begin.As<uint8_t>();
  EXPECT_EQ(static_cast<int>(after[0]), 0);
  EXPECT_EQ(static_cast<int>(before[0]), 0);
  EXPECT_DEATH(static_cast<void>(after[1]), "");
  EXPECT_DEATH(static_cast<void>(before[-1]), "");
}

}  // namespace
}  // namespace gyrfalcon::testing
