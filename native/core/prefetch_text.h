// How lookups prefetch, as text: "192:bursts" is 192 lines ahead, in bursts.
#ifndef GYRFALCON_CORE_PREFETCH_TEXT_H_
#define GYRFALCON_CORE_PREFETCH_TEXT_H_

#include <optional>
#include <string>
#include <string_view>

#include "backends/lookup.h"

namespace gyrfalcon {

std::string_view PrefetchOrderName(PrefetchOrder order);

// All of it.
std::string PrefetchText(Prefetching prefetch);

// Lines, 0 to 4096, and behind them an order, or else `otherwise`. Nothing for any other text.
std::optional<Prefetching> ParsePrefetch(std::string_view text, PrefetchOrder otherwise);

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_PREFETCH_TEXT_H_
