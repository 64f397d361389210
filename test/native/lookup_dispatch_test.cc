// Which backend runs on which CPU, and what GYRFALCON_CPU_ISA does.
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/cpu/dispatch.h"
#include "backends/cpu/lookup_kernels.h"
#include "backends/cpu/lookup_plan.h"
#include "lookup_support.h"

namespace gyrfalcon::testing {
namespace {

std::string_view ReasonFor(const LookupChoices& choices, std::string_view name) {
  for (const BackendReason& entry : choices.unavailable) {
    if (entry.name == name) return entry.reason;
  }
  return {};
}

// Sets the variable for one test and puts back what was there.
class ScopedIsa {
 public:
  explicit ScopedIsa(const char* value) {
    if (const char* const old = std::getenv(kName); old != nullptr) old_ = old;
    if (value != nullptr) {
      setenv(kName, value, 1);
    } else {
      unsetenv(kName);
    }
  }
  ~ScopedIsa() {
    if (old_) {
      setenv(kName, old_->c_str(), 1);
    } else {
      unsetenv(kName);
    }
  }
  ScopedIsa(const ScopedIsa&) = delete;
  ScopedIsa& operator=(const ScopedIsa&) = delete;

 private:
  static constexpr const char* kName = "GYRFALCON_CPU_ISA";
  std::optional<std::string> old_;
};

using NameList = std::vector<std::string_view>;

TEST(LookupDispatchTest, EveryBackendIsEitherThereOrExplained) {
  std::vector<std::string_view> all;
  for (const LookupBackend& backend : LookupBackends()) {
    EXPECT_NE(backend.run, nullptr);
    all.push_back(backend.name);
  }
  for (const BackendReason& entry : UnavailableLookupBackends()) {
    EXPECT_FALSE(entry.reason.empty()) << entry.name;
    all.push_back(entry.name);
  }
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, (NameList{"avx2", "avx512", "neon", "reference", "scalar"}));
}

TEST(LookupDispatchTest, PortableBackendsComeLast) {
  const auto& backends = LookupBackends();
  ASSERT_GE(backends.size(), 2u);
  EXPECT_EQ(backends[backends.size() - 2].name, "scalar");
  EXPECT_EQ(backends.back().name, "reference");
}

#if defined(__x86_64__)
std::vector<std::string_view> Names(const LookupChoices& choices) {
  std::vector<std::string_view> names;
  for (const LookupBackend& backend : choices.backends) names.push_back(backend.name);
  return names;
}

CpuFeatures FullCpu() {
  CpuFeatures cpu;
  cpu.fma = cpu.f16c = cpu.avx2 = cpu.os_ymm = true;
  cpu.avx512f = cpu.avx512bw = cpu.avx512vl = cpu.avx512dq = cpu.os_zmm = true;
  return cpu;
}

TEST(LookupDispatchTest, TilesAreNothingForLookups) {
  const LookupChoices full = ChooseLookupBackends(FullCpu());
  EXPECT_EQ(SelectLookupBackend(full.backends, "amx"), &full.backends.front());
  EXPECT_EQ(SelectLookupBackend(ChooseLookupBackends({}).backends, "amx"), nullptr);
}

TEST(LookupDispatchTest, BestFirst) {
  EXPECT_EQ(Names(ChooseLookupBackends(FullCpu())),
            (NameList{"avx512", "avx2", "scalar", "reference"}));
  EXPECT_EQ(Names(ChooseLookupBackends({})), (NameList{"scalar", "reference"}));
}

TEST(LookupDispatchTest, EachMissingFeatureExcludesWhatNeedsIt) {
  struct Case {
    bool CpuFeatures::*feature;
    bool needed_by_avx2;
    std::string_view mentions;
  };
  const Case cases[] = {
      {&CpuFeatures::avx2, true, "AVX2"},           {&CpuFeatures::fma, true, "FMA"},
      {&CpuFeatures::f16c, true, "F16C"},           {&CpuFeatures::os_ymm, true, "YMM"},
      {&CpuFeatures::avx512f, false, "AVX-512F"},   {&CpuFeatures::avx512bw, false, "AVX-512BW"},
      {&CpuFeatures::avx512vl, false, "AVX-512VL"}, {&CpuFeatures::avx512dq, false, "AVX-512DQ"},
      {&CpuFeatures::os_zmm, false, "ZMM"},
  };
  for (const Case& one : cases) {
    CpuFeatures cpu = FullCpu();
    cpu.*one.feature = false;
    const LookupChoices choices = ChooseLookupBackends(cpu);
    EXPECT_EQ(Names(choices), one.needed_by_avx2 ? (NameList{"scalar", "reference"})
                                                 : (NameList{"avx2", "scalar", "reference"}));
    EXPECT_NE(ReasonFor(choices, "avx512").find(one.mentions), std::string_view::npos);
    if (one.needed_by_avx2) {
      EXPECT_NE(ReasonFor(choices, "avx2").find(one.mentions), std::string_view::npos);
    }
  }
}

TEST(LookupDispatchTest, DetectionAgreesWithTheCompiler) {
  const CpuFeatures cpu = DetectCpu();
  EXPECT_EQ(cpu.avx2 && cpu.os_ymm, __builtin_cpu_supports("avx2") != 0);
  EXPECT_EQ(cpu.fma && cpu.os_ymm, __builtin_cpu_supports("fma") != 0);
  EXPECT_EQ(cpu.avx512f && cpu.os_zmm, __builtin_cpu_supports("avx512f") != 0);
  EXPECT_EQ(cpu.avx512bw && cpu.os_zmm, __builtin_cpu_supports("avx512bw") != 0);
  EXPECT_EQ(cpu.avx512vl && cpu.os_zmm, __builtin_cpu_supports("avx512vl") != 0);
  EXPECT_EQ(cpu.avx512dq && cpu.os_zmm, __builtin_cpu_supports("avx512dq") != 0);
}
#endif

// The function that a name leads to is that instruction set's own.
TEST(LookupDispatchTest, ForcedBackendIsTheOneNamed) {
  using Entry = void (*)(const LookupRequest&, LookupReport*);
  const std::vector<std::pair<std::string_view, Entry>> entries {
#if defined(__x86_64__)
    {"avx512", RunLookupAvx512}, {"avx2", RunLookupAvx2},
#elif defined(__aarch64__)
    {"neon", RunLookupNeon},
#endif
        {"scalar", RunLookupScalar}, {"reference", RunLookupReference},
  };
  for (const auto& [name, run] : entries) {
    const ScopedIsa isa(std::string(name).c_str());
    const LookupBackend* const backend = SelectLookupBackendFromEnvironment();
    if (backend == nullptr) {
      EXPECT_FALSE(ReasonFor({{}, UnavailableLookupBackends()}, name).empty());
      continue;
    }
    EXPECT_EQ(backend->name, name);
    EXPECT_EQ(backend->run, run);
  }
}

TEST(LookupDispatchTest, WhatCannotRunIsNotReplaced) {
  const std::vector<LookupBackend> portable = ChooseLookupBackends({}).backends;
  EXPECT_EQ(SelectLookupBackend(portable, "avx512-of-the-future"), nullptr);
  EXPECT_EQ(SelectLookupBackend(portable, "scalar "), nullptr);
  EXPECT_EQ(SelectLookupBackend(portable, "SCALAR"), nullptr);
  EXPECT_EQ(SelectLookupBackend({}, nullptr), nullptr);
#if defined(__x86_64__)
  EXPECT_EQ(SelectLookupBackend(portable, "avx2"), nullptr);
  EXPECT_EQ(SelectLookupBackend(portable, "avx512"), nullptr);
#endif
  for (const BackendReason& entry : UnavailableLookupBackends()) {
    const ScopedIsa isa(std::string(entry.name).c_str());
    EXPECT_EQ(SelectLookupBackendFromEnvironment(), nullptr) << entry.name;
  }
}

TEST(LookupDispatchTest, UnsetOrEmptyMeansTheBest) {
  for (const char* const value : {static_cast<const char*>(nullptr), ""}) {
    const ScopedIsa isa(value);
    EXPECT_EQ(SelectLookupBackendFromEnvironment(), &LookupBackends().front());
  }
}

TEST(LookupDispatchTest, ActiveBackendIsReadOnce) {
  const LookupBackend* const first = ActiveLookupBackend();
  const ScopedIsa isa("no such backend");
  EXPECT_EQ(ActiveLookupBackend(), first);
  EXPECT_EQ(SelectLookupBackendFromEnvironment(), nullptr);
}

TEST(LookupPrefetchTest, DistanceChangesNoResult) {
  std::mt19937_64 random(11);
  RequestCase request;
  request.row_end = 40;
  // Rows of 1, 2 and 8 lines: kMixed changes between its two orders from group to group. Bags of 40
  // rows of 8 lines are more than one burst.
  const std::pair<Storage, int64_t> kTables[] = {
      {Storage::kInt8, 33}, {Storage::kF32, 128}, {Storage::kInt8, 64}, {Storage::kInt4, 128}};
  for (const int64_t count : {1, 3, 20, 40}) {
    for (const auto& [storage, dim] : kTables) {
      GroupCase group;
      group.table = RandomTable(50, dim, storage, &random);
      group.count = group.row_stride = count;
      for (int64_t i = 0; i < 40 * count; ++i) {
        group.ids.push_back(static_cast<int64_t>(random() % 50));
      }
      request.groups.push_back(group);
    }
  }
  const LookupOutcome expected = RunCase(request, Reference());
  constexpr PrefetchOrder kOrders[] = {PrefetchOrder::kBursts, PrefetchOrder::kSteady,
                                       PrefetchOrder::kNear, PrefetchOrder::kMixed};
  for (const PrefetchOrder order : kOrders) {
    for (const int64_t lines :
         {int64_t{0}, int64_t{1}, int64_t{7}, int64_t{100}, int64_t{1} << 40, int64_t{-1}}) {
      const Prefetching set = lines < 0 ? kUsualPrefetch : Prefetching{lines, order};
      SetPrefetching(set);
      for (const LookupBackend& backend : LookupBackends()) {
        const Prefetching current = backend.name == "reference" ? Prefetching{0} : set;
        EXPECT_EQ(CurrentPrefetching(backend), lines < 0 ? backend.prefetch : current);
        EXPECT_TRUE(SameOutcome(request, expected, RunCase(request, backend))) << backend.name;
      }
    }
  }
}

TEST(LookupPrefetchTest, RequestBeforeSettingBeforeOwnChoice) {
  constexpr Prefetching kAsked{3, PrefetchOrder::kSteady};
  constexpr Prefetching kSet{4, PrefetchOrder::kNear};
  EXPECT_EQ(PrefetchTarget(kAsked, 5), kAsked);
  EXPECT_EQ(PrefetchTarget(kUsualPrefetch, 5), Prefetching{5});
  EXPECT_EQ(PrefetchTarget({0}, 5).lines, INT64_MIN);
  SetPrefetching(kSet);
  EXPECT_EQ(PrefetchTarget(kAsked, 5), kAsked);
  EXPECT_EQ(PrefetchTarget(kUsualPrefetch, 5), kSet);
  SetPrefetching({0});
  EXPECT_EQ(PrefetchTarget(kUsualPrefetch, 5).lines, INT64_MIN);
  SetPrefetching(kUsualPrefetch);
}

TEST(LookupPrefetchTest, OwnChoiceByMaker) {
  CpuFeatures cpu;
  EXPECT_EQ(OwnPrefetching(cpu, 192), Prefetching{192});
  cpu.amd_family = 0x19;
  EXPECT_EQ(OwnPrefetching(cpu, 192), (Prefetching{192, PrefetchOrder::kMixed}));
  EXPECT_EQ(OwnPrefetching(cpu, 127), Prefetching{127});
  cpu.amd_family = 0x1a;
  EXPECT_EQ(OwnPrefetching(cpu, 128), (Prefetching{128, PrefetchOrder::kNear}));
  EXPECT_EQ(OwnPrefetching(cpu, 127), Prefetching{127});
  cpu = {};
  cpu.intel = true;
  EXPECT_EQ(OwnPrefetching(cpu, 128), (Prefetching{768, PrefetchOrder::kSteady}));
  EXPECT_EQ(OwnPrefetching(cpu, 127), Prefetching{127});
}

#if defined(__x86_64__)
TEST(LookupPrefetchTest, BackendsMakeTheChoiceOfTheirCpu) {
  CpuFeatures cpu = DetectCpu();
  EXPECT_FALSE(cpu.intel && cpu.amd_family > 0);
  cpu.intel = false;
  cpu.amd_family = 0x1a;
  for (const LookupBackend& backend : ChooseLookupBackends(cpu).backends) {
    const bool vectors = backend.name == "avx512" || backend.name == "avx2";
    EXPECT_EQ(backend.prefetch.order == PrefetchOrder::kNear, vectors) << backend.name;
  }
}
#endif

}  // namespace
}  // namespace gyrfalcon::testing
