#include "core/prefetch_setup.h"

#include <cstdlib>
#include <optional>
#include <utility>

#include "backends/cpu/dispatch.h"
#include "backends/prefetch_tuning.h"
#include "core/prefetch_cache.h"
#include "core/prefetch_text.h"

namespace gyrfalcon {
namespace {

std::string Variable(const char* name) {
  const char* const text = std::getenv(name);
  return text == nullptr ? "" : text;
}

}  // namespace

std::string_view PrefetchSourceName(PrefetchSource source) {
  switch (source) {
    case PrefetchSource::kEnvironment:
      return "environment";
    case PrefetchSource::kCached:
      return "cached";
    case PrefetchSource::kTuned:
      return "tuned";
    case PrefetchSource::kDefault:
      break;
  }
  return "default";
}

PrefetchSurroundings ReadPrefetchSurroundings() {
  PrefetchSurroundings surroundings;
  surroundings.setting = Variable("GYRFALCON_PREFETCH");
  const std::string ci = Variable("CI");
  surroundings.tune = ci.empty() || ci == "false" || ci == "0";
  surroundings.cache_directory = PrefetchCacheDirectory();
  surroundings.cpu = CpuIdentity();
  return surroundings;
}

PrefetchSetup& PrefetchSetup::Shared() {
  // Never destroyed: a loading thread may ask while the process runs its exit handlers.
  static auto* const setup = new PrefetchSetup(ReadPrefetchSurroundings());
  return *setup;
}

void PrefetchSetup::Set(Prefetching prefetch, PrefetchSource source) {
  SetPrefetching(prefetch);
  source_ = source;
  decided_ = true;
}

void PrefetchSetup::Consider(const TableView& table, const LookupBackend& backend) {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock() || decided_) return;
  const std::string key = surroundings_.cpu + " " + std::string(backend.name);
  if (!looked_) {
    looked_ = true;
    if (const auto prefetch = ParsePrefetch(surroundings_.setting, backend.prefetch.order)) {
      Set(*prefetch, PrefetchSource::kEnvironment);
      return;
    }
    decided_ = surroundings_.setting == "off" || !surroundings_.tune || backend.prefetch.lines == 0;
    if (decided_) return;
    if (const auto prefetch = ReadPrefetchCache(surroundings_.cache_directory, key)) {
      Set(*prefetch, PrefetchSource::kCached);
      return;
    }
  }
  if (!CanTunePrefetch(table)) return;
  decided_ = true;  // tried once, whatever comes of it
  const auto prefetch = TunePrefetching(table, backend, surroundings_.budget);
  if (!prefetch) return;
  Set(*prefetch, PrefetchSource::kTuned);
  WritePrefetchCache(surroundings_.cache_directory, key, *prefetch);
}

PrefetchSource PrefetchSetup::source() const {
  const std::lock_guard lock(mutex_);
  return source_;
}

}  // namespace gyrfalcon
