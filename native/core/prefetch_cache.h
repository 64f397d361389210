// How lookups prefetch, as it was tuned, kept between processes in the user's cache directory: one
// small file for each CPU and instruction set. Its content is trusted with nothing but speed.
#ifndef GYRFALCON_CORE_PREFETCH_CACHE_H_
#define GYRFALCON_CORE_PREFETCH_CACHE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "backends/lookup.h"

namespace gyrfalcon {

// XDG_CACHE_HOME or HOME/.cache, and gyrfalcon in it; empty when neither is an absolute path.
std::string PrefetchCacheDirectory();

// The file of `key`, any text without a line feed that names CPU and instruction set.
std::string PrefetchCacheFile(const std::string& directory, const std::string& key);

// What the file holds, one of kPrefetchCandidates. Nothing when there is no file, when it is
// not a regular one of this user's, or has not exactly the bytes that WritePrefetchCache writes.
std::optional<Prefetching> ReadPrefetchCache(const std::string& directory, const std::string& key);

// Writes the file anew, complete or not at all, and makes the directory. False when that failed.
bool WritePrefetchCache(const std::string& directory, const std::string& key, Prefetching prefetch);

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_PREFETCH_CACHE_H_
