// Decides once a process how lookups prefetch: what GYRFALCON_PREFETCH says, what an
// earlier process found out on this CPU, what a short trial on a loaded table shows, or the
// backend's own choice.
#ifndef GYRFALCON_CORE_PREFETCH_SETUP_H_
#define GYRFALCON_CORE_PREFETCH_SETUP_H_

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "backends/lookup.h"

namespace gyrfalcon {

enum class PrefetchSource : uint8_t { kDefault, kEnvironment, kCached, kTuned };

std::string_view PrefetchSourceName(PrefetchSource source);

// What a decision depends on besides the table.
struct PrefetchSurroundings {
  std::string setting;  // GYRFALCON_PREFETCH: what ParsePrefetch reads, "off", or anything else
  bool tune = true;     // false in CI, whose machines are busy and alike to nobody's
  std::string cache_directory;  // empty: nothing is kept
  std::string cpu;
  std::chrono::microseconds budget{20000};  // of the trial; 2.5 ms chose by noise
};

PrefetchSurroundings ReadPrefetchSurroundings();

class PrefetchSetup {
 public:
  explicit PrefetchSetup(PrefetchSurroundings surroundings)
      : surroundings_(std::move(surroundings)) {}

  // The process's own.
  static PrefetchSetup& Shared();

  // Call after a table came into memory: reads at most one small file, and once a process may try
  // lookups on the table for the budget. Nothing when another thread is deciding.
  void Consider(const TableView& table, const LookupBackend& backend);

  PrefetchSource source() const;

 private:
  void Set(Prefetching prefetch, PrefetchSource source);

  const PrefetchSurroundings surroundings_;
  mutable std::mutex mutex_;
  bool looked_ = false;  // at setting and cache
  bool decided_ = false;
  PrefetchSource source_ = PrefetchSource::kDefault;
};

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_PREFETCH_SETUP_H_
