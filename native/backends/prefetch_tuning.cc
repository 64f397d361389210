#include "backends/prefetch_tuning.h"

#include <unistd.h>

#include <algorithm>

#include "backends/cpu/lookup_plan.h"

namespace gyrfalcon {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kLeastRounds = 7;
constexpr size_t kMostRounds = 63;
constexpr int64_t kLeastTableBytes = int64_t{64} << 20;
constexpr int64_t kMostDim = 2048;
constexpr int64_t kLinesPerTrial = 16384;  // some 100 microseconds: many times the distance
constexpr int64_t kBag = 16;

int64_t LastCacheBytes() {
#ifdef _SC_LEVEL3_CACHE_SIZE
  return std::max<int64_t>(sysconf(_SC_LEVEL3_CACHE_SIZE), 0);
#else
  return 0;
#endif
}

// Lookups of rows that no trial before asked for.
class Trials {
 public:
  Trials(const TableView& table, const LookupBackend& backend) : backend_(backend) {
    group_.table = table;
    group_.count = group_.index_row_stride = kBag;
    group_.indices_are_64 = true;
    group_.out_row_stride = table.dim;
    bags_ = std::max<int64_t>(kLinesPerTrial / PlanGroup(group_, {0, 0}).lines / kBag, 1);
    ids_.resize(static_cast<size_t>(bags_ * kBag));
    out_.resize(static_cast<size_t>(bags_ * table.dim));
    group_.indices = ids_.data();
    group_.out = out_.data();
  }

  int64_t Nanoseconds(Prefetching prefetch) {
    const auto rows = static_cast<uint64_t>(group_.table.rows);
    for (int64_t& id : ids_) {
      state_ ^= state_ << 13;
      state_ ^= state_ >> 7;
      state_ ^= state_ << 17;
      id = static_cast<int64_t>(state_ % rows);
    }
    LookupRequest request{&group_, 1, 0, bags_, OutOfRange::kZero};
    request.prefetch = prefetch;
    LookupReport report;
    const Clock::time_point begin = Clock::now();
    backend_.run(request, &report);
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin).count();
  }

 private:
  const LookupBackend& backend_;
  BagGroup group_;
  int64_t bags_ = 0;
  std::vector<int64_t> ids_;
  std::vector<float> out_;
  uint64_t state_ = 0x9e3779b97f4a7c15;
};

int64_t Median(const std::vector<PrefetchRound>& rounds, size_t candidate) {
  std::vector<int64_t> times;
  for (const PrefetchRound& round : rounds) times.push_back(round[candidate]);
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

}  // namespace

std::optional<Prefetching> ChoosePrefetching(const std::vector<PrefetchRound>& rounds,
                                             Prefetching own) {
  if (rounds.size() < kLeastRounds) return std::nullopt;
  std::array<int64_t, kPrefetchCandidates.size()> medians{};
  for (size_t i = 0; i < medians.size(); ++i) medians[i] = Median(rounds, i);
  const auto best =
      static_cast<size_t>(std::min_element(medians.begin(), medians.end()) - medians.begin());
  for (size_t i = 0; i < medians.size(); ++i) {
    if (kPrefetchCandidates[i] == own && medians[i] - medians[best] < medians[best] * 5 / 100) {
      return own;
    }
  }
  return kPrefetchCandidates[best];
}

bool CanTunePrefetch(const TableView& table) {
  const auto bytes = table.rows * static_cast<int64_t>(RowBytes(table.storage, table.dim));
  return table.dim <= kMostDim && bytes >= std::max(kLeastTableBytes, 2 * LastCacheBytes());
}

std::optional<Prefetching> TunePrefetching(const TableView& table, const LookupBackend& backend,
                                           std::chrono::microseconds budget) {
  const Clock::time_point end = Clock::now() + budget;
  Trials trials(table, backend);
  std::vector<PrefetchRound> rounds;
  trials.Nanoseconds(backend.prefetch);  // the first run loads code and page tables
  while (Clock::now() < end && rounds.size() < kMostRounds) {
    PrefetchRound round{};
    // Forwards and backwards in turns: what drifts within a round cancels out.
    const bool forwards = rounds.size() % 2 == 0;
    for (size_t i = 0; i < round.size(); ++i) {
      const size_t candidate = forwards ? i : round.size() - 1 - i;
      round[candidate] = trials.Nanoseconds(kPrefetchCandidates[candidate]);
    }
    rounds.push_back(round);
  }
  return ChoosePrefetching(rounds, backend.prefetch);
}

}  // namespace gyrfalcon
