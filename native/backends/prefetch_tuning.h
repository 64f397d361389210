// How this machine's rows are best prefetched, by trying it on a table.
#ifndef GYRFALCON_BACKENDS_PREFETCH_TUNING_H_
#define GYRFALCON_BACKENDS_PREFETCH_TUNING_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "backends/lookup.h"

namespace gyrfalcon {

// What is tried.
inline constexpr std::array<Prefetching, 8> kPrefetchCandidates{{
    {64, PrefetchOrder::kBursts},
    {192, PrefetchOrder::kBursts},
    {384, PrefetchOrder::kBursts},
    {128, PrefetchOrder::kSteady},
    {384, PrefetchOrder::kSteady},
    {768, PrefetchOrder::kSteady},
    {128, PrefetchOrder::kNear},
    {192, PrefetchOrder::kMixed},
}};

// Nanoseconds of one round of lookups for each candidate.
using PrefetchRound = std::array<int64_t, kPrefetchCandidates.size()>;

// The candidate with the least median, or `own` when that is less than 5 % worse (and a candidate).
// Nothing with fewer than seven rounds: they would show the machine's other work.
std::optional<Prefetching> ChoosePrefetching(const std::vector<PrefetchRound>& rounds,
                                             Prefetching own);

// Whether random rows of a table come from memory: larger than any cache of this machine.
bool CanTunePrefetch(const TableView& table);

// Looks up random rows of `table`, at most 63 rounds, for `budget`; a round begins before it ends
// and takes some 0.6 ms. Nothing when the rounds were too few. Precondition: the table's rows are
// in memory, of whatever values.
std::optional<Prefetching> TunePrefetching(const TableView& table, const LookupBackend& backend,
                                           std::chrono::microseconds budget);

}  // namespace gyrfalcon

#endif  // GYRFALCON_BACKENDS_PREFETCH_TUNING_H_
