#include "core/prefetch_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>

#include "backends/prefetch_tuning.h"
#include "bundle/file.h"
#include "bundle/hex.h"
#include "core/prefetch_text.h"
#include "core/xxh64.h"

namespace gyrfalcon {
namespace {

std::string Absolute(const char* variable) {
  const char* const text = std::getenv(variable);
  return text != nullptr && *text == '/' ? text : "";
}

// All that a file may hold.
std::string Content(const std::string& key, Prefetching prefetch) {
  return "gyrfalcon prefetch 3\n" + key + "\n" + PrefetchText(prefetch) + "\n";
}

// Nothing when the file is anything but a regular one of this user's.
std::optional<std::string> ReadSmallFile(const std::string& path) {
  const File file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (!file.valid()) return std::nullopt;
  struct stat info {};
  if (fstat(file.fd(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_uid != geteuid()) {
    return std::nullopt;
  }
  std::array<char, 1024> text{};
  const ssize_t size = pread(file.fd(), text.data(), text.size(), 0);
  if (size < 0) return std::nullopt;
  return std::string(text.data(), static_cast<size_t>(size));
}

bool WriteAll(const File& file, std::string_view text) {
  return write(file.fd(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

}  // namespace

std::string PrefetchCacheDirectory() {
  std::string base = Absolute("XDG_CACHE_HOME");
  if (base.empty()) {
    base = Absolute("HOME");
    if (base.empty()) return {};
    base += "/.cache";
  }
  return base + "/gyrfalcon";
}

std::string PrefetchCacheFile(const std::string& directory, const std::string& key) {
  Xxh64 hash;
  hash.Update(std::as_bytes(std::span(key)));
  return directory + "/prefetch-" + Hex64(hash.Digest());
}

std::optional<Prefetching> ReadPrefetchCache(const std::string& directory, const std::string& key) {
  if (directory.empty()) return std::nullopt;
  const std::optional<std::string> text = ReadSmallFile(PrefetchCacheFile(directory, key));
  if (!text) return std::nullopt;
  for (const Prefetching& candidate : kPrefetchCandidates) {
    if (*text == Content(key, candidate)) return candidate;
  }
  return std::nullopt;
}

bool WritePrefetchCache(const std::string& directory, const std::string& key,
                        Prefetching prefetch) {
  if (directory.empty()) return false;
  // Not the home directory itself, which need not exist. Those that are there fail, and the open
  // below judges.
  mkdir(directory.substr(0, directory.rfind('/')).c_str(), 0700);
  mkdir(directory.c_str(), 0700);
  static std::atomic<unsigned> counter{0};
  const std::string path = PrefetchCacheFile(directory, key);
  const std::string temporary =
      path + "." + std::to_string(getpid()) + "." + std::to_string(counter.fetch_add(1));
  {
    const File file(
        open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file.valid()) return false;
    if (!WriteAll(file, Content(key, prefetch))) {
      unlink(temporary.c_str());
      return false;
    }
  }
  if (rename(temporary.c_str(), path.c_str()) == 0) return true;
  unlink(temporary.c_str());
  return false;
}

}  // namespace gyrfalcon
