// Every backend against the reference: all dims and storages in order, then random requests.
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "backends/cpu/dispatch.h"
#include "backends/lookup_parts.h"
#include "lookup_support.h"

namespace gyrfalcon::testing {
namespace {

constexpr Storage kStorages[] = {Storage::kF32, Storage::kF16, Storage::kBF16, Storage::kInt8,
                                 Storage::kInt4};
constexpr Pooling kPoolings[] = {Pooling::kSum, Pooling::kMean, Pooling::kNone};

int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoll(text);
}

::testing::AssertionResult AllBackendsAgree(const RequestCase& request) {
  const LookupOutcome expected = RunCase(request, Reference());
  for (const LookupBackend& backend : LookupBackends()) {
    if (backend.name == Reference().name) continue;
    const auto same = SameOutcome(request, expected, RunCase(request, backend));
    if (!same) return ::testing::AssertionFailure() << backend.name << ": " << same.message();
  }
  return ::testing::AssertionSuccess();
}

// The backend that RunInParts runs: LookupBackend has no place for it.
const LookupBackend* g_whole = nullptr;

// A third of the lines at a time, one after the other.
void RunInParts(const LookupRequest& request, LookupReport* report) {
  const int64_t lines = LookupLines(request);
  LookupCut begin = CutLookup(request, 0);
  for (int64_t part = 1; part <= 3 && !report->failed; ++part) {
    const LookupCut end = CutLookup(request, part == 3 ? INT64_MAX : lines / 3 * part);
    g_whole->run(LookupPart(request, begin, end), report);
    if (report->failed) report->group += begin.group;
    begin = end;
  }
}

::testing::AssertionResult PartsAgree(const RequestCase& request, const LookupBackend& backend) {
  g_whole = &backend;
  const auto same = SameBits(RunCase(request, backend), RunCase(request, {"parts", RunInParts}));
  if (same) return same;
  return ::testing::AssertionFailure() << backend.name << " in parts: " << same.message();
}

// Requests of one to three groups with everything the contract allows.
class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  RequestCase Next() {
    RequestCase request;
    request.row_end = Below(7);
    request.row_begin = request.row_end > 0 && OneIn(4) ? Below(request.row_end + 1) : 0;
    request.policy = OneIn(2) ? OutOfRange::kError : OutOfRange::kZero;
    const int64_t groups = 1 + Below(3);
    for (int64_t g = 0; g < groups; ++g) request.groups.push_back(Group(request.row_end));
    return request;
  }

 private:
  int64_t Below(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }
  bool OneIn(int64_t n) { return Below(n) == 0; }

  std::shared_ptr<Table> AnyTable() {
    constexpr int64_t kWide[] = {96, 127, 128, 129, 192, 200, 256, 257, 1000};
    const int64_t dim = OneIn(16) ? kWide[Below(9)] : 1 + Below(70);
    const int64_t rows = 1 + Below(30);
    const Storage storage = kStorages[Below(5)];
    std::shared_ptr<Table>& table = tables_[{dim, storage, rows % 3}];
    if (table == nullptr) table = RandomTable(rows, dim, storage, &random_);
    return table;
  }

  int64_t Id(int64_t rows) {
    if (!OneIn(40)) return Below(rows);
    constexpr int64_t kHostile[] = {-1,        INT64_MIN, INT64_MAX, INT32_MIN,
                                    INT32_MAX, -2,        1 << 20,   (int64_t{1} << 32) + 1};
    return OneIn(4) ? rows : kHostile[Below(8)];
  }

  int64_t Length() {
    switch (Below(8)) {
      case 0:
        return 0;
      case 1:
      case 2:
        return 1;
      case 3:
        return Below(70);
      default:
        return Below(12);
    }
  }

  GroupCase Group(int64_t rows) {
    GroupCase group;
    group.table = AnyTable();
    group.pooling = kPoolings[Below(3)];
    group.wide_ids = OneIn(2);
    group.slack = OneIn(2) ? Below(20) : 0;
    const bool ragged = OneIn(2);
    int64_t elements = 0;
    if (ragged) {
      group.wide_offsets = OneIn(2);
      group.offsets.push_back(0);
      for (int64_t r = 0; r < rows; ++r) group.offsets.push_back(elements += Length());
    } else {
      group.count = Length();
      group.step = OneIn(3) ? 1 + Below(3) : 1;
      group.row_stride = group.count * group.step + (OneIn(3) ? Below(4) : 0);
      if (rows > 0 && group.count > 0) elements = group.At(rows - 1, group.count - 1) + 1;
    }
    if (OneIn(3)) {
      const int64_t adds = ragged || group.count == 0 || OneIn(2) ? 1 : group.count;
      for (int64_t i = 0; i < adds; ++i) group.add.push_back(Below(7) - 3);
    }
    const int64_t shift = group.add.empty() ? 0 : group.add[0];
    std::normal_distribution<float> normal;
    const bool weighted = OneIn(2);
    for (int64_t i = 0; i < elements; ++i) {
      int64_t id = Id(group.table->view.rows);
      if (id > -100 && id < 100) id -= shift;
      group.ids.push_back(group.wide_ids ? id : static_cast<int32_t>(id));
      if (weighted) group.weights.push_back(OneIn(10) ? 0.0f : normal(random_));
    }
    group.has_padding = OneIn(2);
    group.padding = OneIn(2) ? -1 : Below(group.table->view.rows);
    return group;
  }

  struct Key {
    int64_t dim;
    Storage storage;
    int64_t variant;
    auto operator<=>(const Key&) const = default;
  };
  std::mt19937_64 random_;
  std::map<Key, std::shared_ptr<Table>> tables_;
};

TEST(LookupDifferentialTest, EveryDimStorageAndPooling) {
  std::mt19937_64 random(7);
  std::vector<int64_t> dims{128, 200, 256, 1000};
  for (int64_t dim = 1; dim <= 70; ++dim) dims.push_back(dim);
  for (const int64_t dim : dims) {
    for (const Storage storage : kStorages) {
      const auto table = RandomTable(23, dim, storage, &random);
      for (const Pooling pooling : kPoolings) {
        for (const int64_t count : {1, 2, 3, 16, 17, 33}) {
          for (const bool weighted : {false, true}) {
            RequestCase request;
            request.row_end = 3;
            GroupCase group;
            group.table = table;
            group.pooling = pooling;
            group.count = group.row_stride = count;
            for (int64_t i = 0; i < 3 * count; ++i) {
              group.ids.push_back(static_cast<int64_t>(random() % 23));
              if (weighted) group.weights.push_back(static_cast<float>(random() % 7) - 3.3f);
            }
            request.groups.push_back(group);
            ASSERT_TRUE(AllBackendsAgree(request)) << "count " << count << " weighted " << weighted;
          }
        }
      }
    }
  }
}

// GYRFALCON_TEST_SEED and GYRFALCON_TEST_CASES repeat or lengthen a run.
TEST(LookupDifferentialTest, RandomRequests) {
  const int64_t cases = FromEnvironment("GYRFALCON_TEST_CASES", 200'000);
  const auto seed = static_cast<uint64_t>(
      FromEnvironment("GYRFALCON_TEST_SEED", static_cast<int64_t>(std::random_device{}() >> 1)));
  std::cout << "GYRFALCON_TEST_SEED=" << seed << " GYRFALCON_TEST_CASES=" << cases << '\n';
  Generator generator(seed);
  // Not LookupBackends(): only these are run in parts.
  const std::vector<LookupBackend> backends = ChooseLookupBackends(DetectCpu()).backends;
  for (int64_t i = 0; i < cases; ++i) {
    const RequestCase request = generator.Next();
    ASSERT_TRUE(AllBackendsAgree(request)) << "seed " << seed << " case " << i;
    ASSERT_TRUE(PartsAgree(request, backends[static_cast<size_t>(i) % backends.size()]))
        << "seed " << seed << " case " << i;
  }
}

// The comparison itself must notice a wrong element, a wrong count and a write outside.
TEST(LookupDifferentialTest, ComparisonSeesSeededFaults) {
  std::mt19937_64 random(3);
  RequestCase request;
  request.row_end = 2;
  request.policy = OutOfRange::kZero;
  GroupCase group;
  group.table = RandomTable(5, 8, Storage::kInt8, &random);
  group.ids = {0, 1, 2, 9};
  group.count = group.row_stride = 2;
  group.slack = 3;
  request.groups.push_back(group);
  const LookupOutcome good = RunCase(request, Reference());
  EXPECT_TRUE(SameOutcome(request, good, good));
  LookupOutcome bad = good;
  bad.outputs[0][3] += 1e-4f;
  EXPECT_FALSE(SameOutcome(request, good, bad));
  bad = good;
  bad.outputs[0][8] = 0.0f;  // between two rows
  EXPECT_FALSE(SameOutcome(request, good, bad));
  bad = good;
  bad.outputs[0][1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(SameOutcome(request, good, bad));
  bad = good;
  ++bad.report.zeroed;
  EXPECT_FALSE(SameOutcome(request, good, bad));
  bad = good;
  bad.report.failed = true;
  EXPECT_FALSE(SameOutcome(request, good, bad));
}

}  // namespace
}  // namespace gyrfalcon::testing
