#include "core/prefetch_text.h"

#include <charconv>

namespace gyrfalcon {
namespace {

constexpr int64_t kMostLines = 4096;

}  // namespace

std::string_view PrefetchOrderName(PrefetchOrder order) {
  switch (order) {
    case PrefetchOrder::kSteady:
      return "steady";
    case PrefetchOrder::kNear:
      return "near";
    case PrefetchOrder::kMixed:
      return "mixed";
    case PrefetchOrder::kBursts:
      break;
  }
  return "bursts";
}

std::string PrefetchText(Prefetching prefetch) {
  return std::to_string(prefetch.lines) + ':' + std::string(PrefetchOrderName(prefetch.order));
}

std::optional<Prefetching> ParsePrefetch(std::string_view text, PrefetchOrder otherwise) {
  Prefetching prefetch{0, otherwise};
  const char* const end = text.data() + text.size();
  const auto [after, error] = std::from_chars(text.data(), end, prefetch.lines);
  if (error != std::errc() || prefetch.lines < 0 || prefetch.lines > kMostLines) {
    return std::nullopt;
  }
  if (after == end) return prefetch;
  const std::string_view behind(after, static_cast<size_t>(end - after));
  for (const PrefetchOrder order : {PrefetchOrder::kBursts, PrefetchOrder::kSteady,
                                    PrefetchOrder::kNear, PrefetchOrder::kMixed}) {
    prefetch.order = order;
    if (behind.front() == ':' && behind.substr(1) == PrefetchOrderName(order)) return prefetch;
  }
  return std::nullopt;
}

}  // namespace gyrfalcon
