// How far ahead this machine's rows are best prefetched, by trying it on a table.
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

// The distances that are tried, in 64-byte lines.
inline constexpr std::array<int64_t, 5> kPrefetchCandidates{64, 96, 128, 192, 384};

// Nanoseconds of one round of lookups for each candidate.
using PrefetchRound = std::array<int64_t, kPrefetchCandidates.size()>;

// The candidate with the least median, or `own` when that is less than 3 % worse (and a candidate).
// Nothing with fewer than seven rounds: they would show the machine's other work.
std::optional<int64_t> ChoosePrefetchLines(const std::vector<PrefetchRound>& rounds, int64_t own);

// Whether random rows of a table come from memory: larger than any cache of this machine.
bool CanTunePrefetch(const TableView& table);

// Looks up random rows of `table`, at most 63 rounds, for `budget`; a round begins before it ends
// and takes some 0.15 ms. Nothing when the rounds were too few. Precondition: the table's rows are
// in memory, of whatever values.
std::optional<int64_t> TunePrefetchLines(const TableView& table, const LookupBackend& backend,
                                         std::chrono::microseconds budget);

}  // namespace gyrfalcon

#endif  // GYRFALCON_BACKENDS_PREFETCH_TUNING_H_
