#include "core/lookup_threads.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>

#include "backends/lookup_parts.h"
#include "core/row_helpers.h"

namespace gyrfalcon {
namespace {

// Of random reads by one thread, about.
constexpr int64_t kNanosecondsPerLine = 8;
// Some 15 microseconds: below that a helper costs more than it gives.
constexpr int64_t kAloneLines = 2048;
// A part begins without prefetched rows: shorter ones would feel it.
constexpr int64_t kPartLines = 1024;
// Helpers wake late and cores are shared, so threads take parts as they come.
constexpr int64_t kPartsPerThread = 8;

class Team {
 public:
  Team(const LookupBackend& backend, const LookupRequest& request, int64_t lines, int64_t parts)
      : backend_(backend), request_(request), lines_(lines), parts_(parts) {}

  static void Work(void* self, int /*thread*/) { static_cast<Team*>(self)->TakeParts(); }

  void Report(LookupReport* report) {
    report->zeroed += zeroed_.load(std::memory_order_relaxed);
    if (failed_part_.load(std::memory_order_relaxed) == parts_) return;
    const int64_t zeroed = report->zeroed;
    *report = failure_;
    report->zeroed = zeroed;
  }

 private:
  // Parts are taken in walk order: when one fails, those before it are done or under way.
  void TakeParts() {
    for (;;) {
      const int64_t part = next_part_.fetch_add(1, std::memory_order_relaxed);
      if (part >= failed_part_.load(std::memory_order_relaxed)) return;
      const LookupCut begin = Cut(part);
      LookupReport report;
      backend_.run(LookupPart(request_, begin, Cut(part + 1)), &report);
      if (report.zeroed != 0) zeroed_.fetch_add(report.zeroed, std::memory_order_relaxed);
      if (!report.failed) continue;
      report.group += begin.group;
      const std::lock_guard lock(mutex_);
      if (part >= failed_part_.load(std::memory_order_relaxed)) return;
      failed_part_.store(part, std::memory_order_relaxed);
      failure_ = report;
      return;
    }
  }

  LookupCut Cut(int64_t part) const {
    // Not lines * part / parts, which could overflow.
    return CutLookup(request_, part == parts_ ? INT64_MAX : lines_ / parts_ * part);
  }

  const LookupBackend& backend_;
  const LookupRequest& request_;
  const int64_t lines_;
  const int64_t parts_;
  std::atomic<int64_t> next_part_{0};
  std::atomic<int64_t> failed_part_{parts_};
  std::atomic<int64_t> zeroed_{0};
  std::mutex mutex_;
  LookupReport failure_;
};

}  // namespace

void PrepareLookupThreads(int threads) {
  if (threads > 1) StartHelpers(threads - 1);
}

void RunLookup(const LookupBackend& backend, const LookupRequest& request, int threads,
               LookupReport* report) {
  const int64_t lines = threads > 1 ? LookupLines(request) : 0;
  if (lines < kAloneLines) {
    backend.run(request, report);
    return;
  }
  const int64_t parts =
      std::clamp<int64_t>(lines / kPartLines, 2, int64_t{threads} * kPartsPerThread);
  Team team(backend, request, lines, parts);
  RunWithHelpers({&Team::Work, &team}, threads - 1, lines * kNanosecondsPerLine);
  team.Report(report);
}

}  // namespace gyrfalcon
