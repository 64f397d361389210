#include "cusim/driver/control.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "cusim/driver/driver.h"

namespace cusim {
namespace {

void CopyText(const std::string& from, char* text, size_t room) {
  if (room == 0) return;
  const size_t bytes = std::min(from.size(), room - 1);
  std::memcpy(text, from.data(), bytes);
  text[bytes] = '\0';
}

struct AtExit {
  ~AtExit() {
    const char* const path = std::getenv("CUSIM_REPORT");
    if (path == nullptr || *path == '\0') return;
    FILE* const file = std::fopen(path, "w");
    if (file == nullptr) return;
    const Driver& driver = Driver::The();
    std::fprintf(file, "%d %d\n%s", driver.Live(), driver.misuses, driver.Leaks().c_str());
    std::fclose(file);
  }
} at_exit;

}  // namespace

void SetOrder(std::string_view order) {
  Scheduler& scheduler = Driver::The().scheduler;
  if (order.empty() || order == "late") {
    scheduler.order = Order::kLate;
  } else if (order == "prompt") {
    scheduler.order = Order::kPrompt;
  } else {
    scheduler.order = Order::kSeeded;
    scheduler.random.seed(std::strtoull(std::string(order).c_str(), nullptr, 10));
  }
}

}  // namespace cusim

#define EXPORT __attribute__((visibility("default")))

using cusim::Driver;

extern "C" {

EXPORT void cusim_fail(const char* function, int nth, int error) {
  const std::lock_guard lock(Driver::The().mutex);
  Driver::The().Plan(function == nullptr ? ""
                                         : std::string(function) + ":" + std::to_string(nth) + ":" +
                                               std::to_string(error));
}
EXPORT void cusim_fail_work(int nth, int error) {
  const std::lock_guard lock(Driver::The().mutex);
  Driver::The().fail_work = nth;
  Driver::The().fail_work_error = static_cast<CUresult>(error);
}
EXPORT int cusim_calls(const char* function) {
  const std::lock_guard lock(Driver::The().mutex);
  return Driver::The().calls[function];
}
EXPORT int cusim_live() {
  const std::lock_guard lock(Driver::The().mutex);
  return Driver::The().Live();
}
EXPORT void cusim_leaks(char* text, size_t room) {
  const std::lock_guard lock(Driver::The().mutex);
  cusim::CopyText(Driver::The().Leaks(), text, room);
}
EXPORT int cusim_misuses() {
  const std::lock_guard lock(Driver::The().mutex);
  return Driver::The().misuses;
}
EXPORT void cusim_last_misuse(char* text, size_t room) {
  const std::lock_guard lock(Driver::The().mutex);
  cusim::CopyText(Driver::The().last_misuse, text, room);
}
EXPORT void cusim_order(const char* order) {
  const std::lock_guard lock(Driver::The().mutex);
  cusim::SetOrder(order);
}
EXPORT void cusim_limit(unsigned long long bytes) {
  const std::lock_guard lock(Driver::The().mutex);
  Driver::The().memory.set_limit(bytes);
}
EXPORT void cusim_totals(uint64_t totals[8]) {
  const std::lock_guard lock(Driver::The().mutex);
  const cusim::LaunchTotals& from = Driver::The().totals;
  const cusim::Counters& counters = from.counters;
  const uint64_t all[8] = {from.launches,          counters.warp_instructions,
                           counters.load_requests, counters.store_requests,
                           counters.load_sectors,  counters.store_sectors,
                           counters.load_bytes,    counters.store_bytes};
  std::copy_n(all, 8, totals);
}
EXPORT void cusim_reset() {
  const std::lock_guard lock(Driver::The().mutex);
  Driver::The().Reset();
}

}  // extern "C"
