// The prefetch distance: how it is chosen from times, what a cache file may be, and who decides.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backends/prefetch_tuning.h"
#include "core/prefetch_cache.h"
#include "core/prefetch_setup.h"

namespace gyrfalcon::testing {
namespace {

namespace fs = std::filesystem;

constexpr Prefetching kFirst = kPrefetchCandidates[0];
constexpr Prefetching kNone{77};  // no candidate

TEST(PrefetchChoiceTest, TheLeastMedian) {
  std::vector<PrefetchRound> rounds(9, {100, 90, 80, 60, 85, 95, 99, 98});
  EXPECT_EQ(ChoosePrefetching(rounds, kNone), kPrefetchCandidates[3]);
  for (int i = 0; i < 4; ++i) rounds[static_cast<size_t>(i)][3] = 10'000;  // less than half stalled
  EXPECT_EQ(ChoosePrefetching(rounds, kNone), kPrefetchCandidates[3]);
  rounds[4][3] = 10'000;
  EXPECT_EQ(ChoosePrefetching(rounds, kNone), kPrefetchCandidates[2]);
}

TEST(PrefetchChoiceTest, KeepsItsOwnWithinFivePercent) {
  EXPECT_EQ(ChoosePrefetching({9, {1049, 2000, 1500, 1000, 1500, 1500, 1500, 1500}}, kFirst),
            kFirst);
  EXPECT_EQ(ChoosePrefetching({9, {1050, 2000, 1500, 1000, 1500, 1500, 1500, 1500}}, kFirst),
            kPrefetchCandidates[3]);
  EXPECT_EQ(ChoosePrefetching({9, {1049, 2000, 1500, 1000, 1500, 1500, 1500, 1500}}, kNone),
            kPrefetchCandidates[3]);
  // As many lines, but steadily, is another choice.
  ASSERT_NE(kFirst.order, PrefetchOrder::kSteady);
  const Prefetching other{kFirst.lines, PrefetchOrder::kSteady};
  EXPECT_EQ(ChoosePrefetching({9, {1049, 2000, 1500, 1000, 1500, 1500, 1500, 1500}}, other),
            kPrefetchCandidates[3]);
}

TEST(PrefetchChoiceTest, NothingFromFewRounds) {
  EXPECT_EQ(ChoosePrefetching({6, {1, 2, 3, 4, 5, 6, 7, 8}}, kNone), std::nullopt);
  EXPECT_EQ(ChoosePrefetching({7, {1, 2, 3, 4, 5, 6, 7, 8}}, kNone), kFirst);
  EXPECT_EQ(ChoosePrefetching({}, kNone), std::nullopt);
}

TEST(PrefetchTrialTest, OnlyTablesLargerThanCaches) {
  constexpr int64_t kHuge = int64_t{1} << 34;
  EXPECT_TRUE(CanTunePrefetch({nullptr, kHuge / 256, 64, Storage::kF32}));
  EXPECT_FALSE(CanTunePrefetch({nullptr, (int64_t{64} << 20) / 256 - 1, 64, Storage::kF32}));
  EXPECT_FALSE(CanTunePrefetch({nullptr, kHuge, 4096, Storage::kF32}));
  EXPECT_FALSE(CanTunePrefetch({}));
}

// A table of one page's worth of rows: what matters here is where the trials read.
std::vector<std::byte> SmallRows(Storage storage, int64_t dim) {
  return std::vector<std::byte>(100 * RowBytes(storage, dim));
}

TEST(PrefetchTrialTest, EndsSoonAfterItsBudget) {
  for (const Storage storage : {Storage::kF32, Storage::kInt8, Storage::kInt4}) {
    for (const int64_t dim : {1, 33, 2048}) {
      const std::vector<std::byte> rows = SmallRows(storage, dim);
      const TableView table{rows.data(), 100, dim, storage};
      for (const LookupBackend& backend : LookupBackends()) {
        EXPECT_EQ(TunePrefetching(table, backend, std::chrono::microseconds(0)), std::nullopt);
      }
    }
  }
}

class PrefetchCacheTest : public ::testing::Test {
 protected:
  PrefetchCacheTest() {
    std::string name = (fs::temp_directory_path() / "prefetch-test-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    home_ = name;
    directory_ = home_ + "/cache/gyrfalcon";
  }
  ~PrefetchCacheTest() override { fs::remove_all(home_); }

  std::string File() const { return PrefetchCacheFile(directory_, "cpu"); }
  void Write(const std::string& content) const {
    fs::create_directories(directory_);
    std::ofstream(File(), std::ios::binary) << content;
  }
  std::optional<Prefetching> Read() const { return ReadPrefetchCache(directory_, "cpu"); }

  std::string home_;
  std::string directory_;
};

TEST_F(PrefetchCacheTest, ReadsWhatItWrote) {
  EXPECT_EQ(Read(), std::nullopt);
  for (const Prefetching& candidate : kPrefetchCandidates) {
    EXPECT_TRUE(WritePrefetchCache(directory_, "cpu", candidate));
    EXPECT_EQ(Read(), candidate);
  }
  EXPECT_EQ(ReadPrefetchCache(directory_, "another cpu"), std::nullopt);
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_), {}), 1);  // nothing temporary stays
  struct stat info {};
  ASSERT_EQ(stat(File().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(PrefetchCacheTest, AnythingElseIsNothing) {
  ASSERT_TRUE(WritePrefetchCache(directory_, "cpu", kFirst));
  std::ifstream file(File());
  const std::string good{std::istreambuf_iterator<char>(file), {}};
  for (size_t size = 0; size < good.size(); ++size) {
    Write(good.substr(0, size));
    EXPECT_EQ(Read(), std::nullopt) << size;
  }
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 4);
    Write(bad);
    EXPECT_EQ(Read(), std::nullopt) << at;
  }
  ASSERT_TRUE(good.ends_with("\n64:bursts\n")) << good;
  const std::string before = good.substr(0, good.find("64:"));
  for (const std::string& bad :
       {good + "\n", good + std::string(1, '\0'), before + "064:bursts\n", before + "-64:bursts\n",
        before + "64:steady\n", before + "64\n", before + "9223372036854775807:bursts\n",
        before + "1:bursts\n", std::string(100'000, 'x')}) {
    Write(bad);
    EXPECT_EQ(Read(), std::nullopt) << bad.substr(0, 80);
  }
  Write(good);
  EXPECT_EQ(Read(), kFirst);
}

TEST_F(PrefetchCacheTest, WhatIsNotARegularFileIsNeitherReadNorWaitedFor) {
  ASSERT_TRUE(WritePrefetchCache(directory_, "cpu", kFirst));
  const std::string elsewhere = home_ + "/elsewhere";
  fs::rename(File(), elsewhere);
  fs::create_symlink(elsewhere, File());
  EXPECT_EQ(Read(), std::nullopt);
  // A write replaces the link, not what it points to.
  EXPECT_TRUE(WritePrefetchCache(directory_, "cpu", kPrefetchCandidates[1]));
  EXPECT_EQ(Read(), kPrefetchCandidates[1]);
  EXPECT_GT(fs::file_size(elsewhere), 0u);
  fs::remove(File());
  ASSERT_EQ(mkfifo(File().c_str(), 0600), 0);
  EXPECT_EQ(Read(), std::nullopt);
  fs::remove(File());
  fs::create_directory(File());
  EXPECT_EQ(Read(), std::nullopt);
  EXPECT_FALSE(WritePrefetchCache(directory_, "cpu", kFirst));
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_), {}), 1);
}

TEST_F(PrefetchCacheTest, DirectoriesThatCannotBe) {
  EXPECT_FALSE(WritePrefetchCache("", "cpu", kFirst));
  EXPECT_EQ(ReadPrefetchCache("", "cpu"), std::nullopt);
  // Two levels are made, not three: a home directory that does not exist stays so.
  EXPECT_FALSE(WritePrefetchCache(home_ + "/none/cache/gyrfalcon", "cpu", kFirst));
  EXPECT_FALSE(fs::exists(home_ + "/none"));
  std::ofstream(home_ + "/file") << "x";
  EXPECT_FALSE(WritePrefetchCache(home_ + "/file/gyrfalcon", "cpu", kFirst));
}

// Who decides, with a table that is too small to be tried on.
class PrefetchSetupTest : public PrefetchCacheTest {
 protected:
  ~PrefetchSetupTest() override { SetPrefetching(kUsualPrefetch); }

  PrefetchSource Decide(const std::string& setting, bool tune) {
    SetPrefetching(kUsualPrefetch);
    PrefetchSetup setup({setting, tune, directory_, "cpu", std::chrono::microseconds(0)});
    setup.Consider({}, Backend());
    setup.Consider({}, Backend());
    return setup.source();
  }
  static const LookupBackend& Backend() { return LookupBackends().front(); }
  static Prefetching Current() { return CurrentPrefetching(Backend()); }
};

TEST_F(PrefetchSetupTest, SettingThenCacheThenOwnChoice) {
  const Prefetching own = Backend().prefetch;
  EXPECT_EQ(Decide("", true), PrefetchSource::kDefault);
  EXPECT_EQ(Current(), own);
  ASSERT_TRUE(WritePrefetchCache(directory_, "cpu " + std::string(Backend().name), kFirst));
  EXPECT_EQ(Decide("", true), PrefetchSource::kCached);
  EXPECT_EQ(Current(), kFirst);
  EXPECT_EQ(Decide("off", true), PrefetchSource::kDefault);
  EXPECT_EQ(Current(), own);
  EXPECT_EQ(Decide("", false), PrefetchSource::kDefault);  // CI
  EXPECT_EQ(Current(), own);
  for (const bool tune : {false, true}) {
    EXPECT_EQ(Decide("40", tune), PrefetchSource::kEnvironment);
    EXPECT_EQ(Current(), (Prefetching{40, own.order}));
  }
}

TEST_F(PrefetchSetupTest, SettingsOnBothSidesOfTheirLimits) {
  const Prefetching own = Backend().prefetch;
  for (const char* const good : {"0", "1", "4096"}) {
    const int64_t lines = std::atoi(good);
    const std::pair<const char*, Prefetching> cases[] = {
        {"", {lines, own.order}},
        {":steady", {lines, PrefetchOrder::kSteady}},
        {":bursts", {lines, PrefetchOrder::kBursts}},
        {":near", {lines, PrefetchOrder::kNear}},
        {":mixed", {lines, PrefetchOrder::kMixed}},
    };
    for (const auto& [behind, expected] : cases) {
      EXPECT_EQ(Decide(good + std::string(behind), true), PrefetchSource::kEnvironment);
      EXPECT_EQ(Current(), expected) << good << behind;
    }
  }
  for (const char* const bad : {"-1", "4097", "64 ", "64x", " 64", "1e3", "99999999999999999999",
                                "4097:steady", "64:", "64:steady ", ":steady", "steady", "64:64",
                                "64:steady:near", "64:steady:", "64near", "64:Near"}) {
    EXPECT_EQ(Decide(bad, true), PrefetchSource::kDefault) << bad;
    EXPECT_EQ(Current(), Backend().prefetch);
  }
}

TEST_F(PrefetchSetupTest, TriesOnceOnATableThatIsLargeEnough) {
  // Rows that nobody wrote: all of them are the system's page of zeros.
  TableView table{nullptr, int64_t{1} << 18, 64, Storage::kF32};
  while (!CanTunePrefetch(table)) table.rows *= 2;
  const std::unique_ptr<void, decltype(&std::free)> zeros(
      std::calloc(static_cast<size_t>(table.rows), 256), &std::free);
  ASSERT_NE(zeros, nullptr);
  table.data = static_cast<const std::byte*>(zeros.get());
  SetPrefetching(kUsualPrefetch);
  PrefetchSetup setup(
      {"", true, directory_, "cpu", std::chrono::minutes(2)});  // ends after its rounds
  setup.Consider(table, Backend());
  EXPECT_EQ(setup.source(), PrefetchSource::kTuned);
  const std::string key = "cpu " + std::string(Backend().name);
  EXPECT_EQ(ReadPrefetchCache(directory_, key), Current());
  fs::remove_all(directory_);
  setup.Consider(table, Backend());
  EXPECT_FALSE(fs::exists(directory_));  // decided
}

}  // namespace
}  // namespace gyrfalcon::testing
