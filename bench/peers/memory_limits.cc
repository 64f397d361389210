// What this machine's memory can do: random reads of 64-byte lines, of rows of several lines, and
// sequential reads, on huge pages, with the given number of threads. Prints one JSON line.
// Or, of a table in a file that is mapped, the rows of given ids (int32) in their order.
//   c++ -O3 -std=c++20 -pthread memory_limits.cc && ./a.out THREADS MEBIBYTES
//   ./a.out THREADS FILE OFFSET ROW_BYTES IDS_FILE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <thread>
#include <vector>

namespace {

constexpr size_t kLine = 64;
constexpr size_t kAhead = 64;  // lines under way; more gained nothing where this was tried
constexpr size_t kReads = size_t{1} << 22;
constexpr size_t kRowReads = size_t{1} << 20;
// int8 and int4 rows of 64 and 128 numbers, f32 rows of 64 and 128.
constexpr size_t kRowBytes[] = {68, 72, 136, 256, 512};

struct Region {
  const uint64_t* words;
  size_t lines;
};

uint64_t Next(uint64_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

// One word of every line is read; the line comes as a whole.
uint64_t ReadRandom(Region region, uint64_t seed) {
  uint64_t ring[kAhead];
  uint64_t state = seed;
  for (uint64_t& line : ring) line = Next(&state) % region.lines;
  uint64_t sum = 0;
  for (size_t i = 0; i < kReads; ++i) {
    uint64_t& slot = ring[i % kAhead];
    sum += region.words[slot * (kLine / 8)];
    slot = static_cast<uint64_t>((static_cast<unsigned __int128>(Next(&state)) * region.lines) >> 64);
    // Into the second-level cache: it has more lines under way than the first.
    __builtin_prefetch(region.words + slot * (kLine / 8), 0, 2);
  }
  return sum;
}

// How rows are prefetched before they are read.
struct Ahead {
  int hint;  // __builtin_prefetch's locality; negative: not at all
  size_t lines;
};

constexpr Ahead kAheads[] = {{-1, 0}, {3, 64}, {3, 128}, {2, 384}, {2, 768}};

// The rows of `ids`, each of `bytes`, side by side as tables have them: some rows ahead are
// prefetched, and one word of each line is read. That is all a lookup has to do, but for what it
// does with the row.
template <Ahead kAhead, size_t kBytes>
uint64_t ReadRows(const unsigned char* base, const int32_t* ids, size_t count) {
  const size_t ahead = std::min(count, kAhead.lines * kLine / (kBytes + kLine / 2));
  uint64_t sum = 0;
  for (size_t i = 0; i < count; ++i) {
    if constexpr (kAhead.hint >= 0) {
      const size_t next = i + ahead < count ? i + ahead : i;
      const unsigned char* const row = base + static_cast<size_t>(ids[next]) * kBytes;
#pragma GCC unroll 16
      for (size_t b = 0; b < kBytes - 1; b += kLine) __builtin_prefetch(row + b, 0, kAhead.hint);
      if (kBytes % kLine != 0) __builtin_prefetch(row + kBytes - 1, 0, kAhead.hint);
    }
    const unsigned char* const row = base + static_cast<size_t>(ids[i]) * kBytes;
#pragma GCC unroll 16
    for (size_t b = 0; b < kBytes - 1; b += kLine) sum += row[b];
    if (kBytes % kLine != 0) sum += row[kBytes - 1];
  }
  return sum;
}

uint64_t ReadSequential(Region region, size_t from, size_t to) {
  uint64_t sums[8] = {};
  for (size_t line = from; line < to; ++line) {
    for (size_t word = 0; word < 8; ++word) sums[word] += region.words[line * 8 + word];
  }
  uint64_t sum = 0;
  for (const uint64_t one : sums) sum += one;
  return sum;
}

// What each repeat took, the shortest first.
template <typename Work>
std::vector<double> Times(size_t threads, int repeats, Work work) {
  std::vector<uint64_t> results(threads);
  std::vector<double> times;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> running;
    for (size_t t = 0; t < threads; ++t) {
      running.emplace_back([&, t] { results[t] += work(t); });
    }
    for (std::thread& thread : running) thread.join();
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    times.push_back(time.count());
  }
  volatile uint64_t kept = 0;
  for (const uint64_t one : results) kept = kept + one;
  std::sort(times.begin(), times.end());
  return times;
}

template <typename Work>
double Seconds(size_t threads, Work work) {
  return Times(threads, 5, work).front();
}

// Seconds for a row, prefetched as is best here. The middle one of the repeats counts, as it does
// for lookups; each thread reads the `share` ids of its own.
template <size_t kBytes, size_t kAt = 0>
double RowSeconds(size_t threads, const unsigned char* base, const int32_t* ids, size_t share) {
  constexpr int kRepeats = 5;
  const double mine = Times(threads, kRepeats, [&](size_t t) {
    return ReadRows<kAheads[kAt], kBytes>(base, ids + share * t, share);
  })[kRepeats / 2] / static_cast<double>(share * threads);
  if constexpr (kAt + 1 == std::size(kAheads)) {
    return mine;
  } else {
    return std::min(mine, RowSeconds<kBytes, kAt + 1>(threads, base, ids, share));
  }
}

// The same for rows of kRowBytes[kSize] and so on; 0 where none has so many bytes.
template <size_t kSize = 0>
double SecondsOfRow(size_t bytes, size_t threads, const unsigned char* base, const int32_t* ids,
                    size_t share) {
  if (bytes == kRowBytes[kSize]) return RowSeconds<kRowBytes[kSize]>(threads, base, ids, share);
  if constexpr (kSize + 1 == std::size(kRowBytes)) {
    return 0.0;
  } else {
    return SecondsOfRow<kSize + 1>(bytes, threads, base, ids, share);
  }
}

double RandomRowSeconds(size_t threads, Region region, size_t bytes) {
  const size_t rows = region.lines * kLine / bytes;
  std::vector<int32_t> ids(kRowReads * threads);
  uint64_t state = 0x9e3779b97f4a7c15;
  for (int32_t& id : ids) {
    id = static_cast<int32_t>((static_cast<unsigned __int128>(Next(&state)) * rows) >> 64);
  }
  return SecondsOfRow(bytes, threads, reinterpret_cast<const unsigned char*>(region.words), ids.data(),
                      kRowReads);
}

const unsigned char* MapFile(const char* path, size_t* bytes) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  struct stat about = {};
  if (file < 0 || fstat(file, &about) != 0) return nullptr;
  *bytes = static_cast<size_t>(about.st_size);
  void* const mapped = mmap(nullptr, *bytes, PROT_READ, MAP_PRIVATE, file, 0);
  close(file);
  if (mapped == MAP_FAILED) return nullptr;
  // As lookups map tables: a fault reads its own page.
  madvise(mapped, *bytes, MADV_RANDOM);
  return static_cast<const unsigned char*>(mapped);
}

int ReadTable(size_t threads, const char* path, size_t offset, size_t row_bytes, const char* ids_path) {
  size_t bytes = 0;
  size_t ids_bytes = 0;
  const unsigned char* const table = MapFile(path, &bytes);
  const auto* const ids = reinterpret_cast<const int32_t*>(MapFile(ids_path, &ids_bytes));
  if (table == nullptr || ids == nullptr || row_bytes == 0 || offset > bytes) return 1;
  const size_t rows = (bytes - offset) / row_bytes;
  const size_t share = ids_bytes / sizeof(int32_t) / threads;
  if (share == 0) return 1;
  for (size_t i = 0; i < share * threads; ++i) {
    if (ids[i] < 0 || static_cast<size_t>(ids[i]) >= rows) return 1;
  }
  const double seconds = SecondsOfRow(row_bytes, threads, table + offset, ids, share);
  if (seconds == 0.0) return 1;
  std::printf("{\"nanoseconds\":%.4g}\n", seconds * 1e9);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const size_t threads = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
  if (threads == 0) return 1;
  if (argc == 6) {
    return ReadTable(threads, argv[2], std::strtoull(argv[3], nullptr, 10),
                     std::strtoull(argv[4], nullptr, 10), argv[5]);
  }
  const size_t bytes = (argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 512) << 20;
  constexpr size_t kHuge = size_t{2} << 20;
  void* const mapped =
      mmap(nullptr, bytes + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return 1;
  const auto address = (reinterpret_cast<uintptr_t>(mapped) + kHuge - 1) / kHuge * kHuge;
  auto* const words = reinterpret_cast<uint64_t*>(address);
  madvise(words, bytes, MADV_HUGEPAGE);
  for (size_t i = 0; i < bytes / 8; ++i) words[i] = i;
  const Region region{words, bytes / kLine};
  const double random =
      Seconds(threads, [&](size_t t) { return ReadRandom(region, 0x9e3779b97f4a7c15 + t); });
  const double sequential = Seconds(threads, [&](size_t t) {
    return ReadSequential(region, region.lines * t / threads, region.lines * (t + 1) / threads);
  });
  std::printf("{\"threads\":%zu,\"bytes\":%zu,\"randomLine\":%.4g,\"sequential\":%.4g,\"rows\":[", threads,
              bytes, static_cast<double>(kReads * threads * kLine) / random,
              static_cast<double>(bytes) / sequential);
  const char* separator = "";
  for (const size_t row : kRowBytes) {
    std::printf("%s{\"bytes\":%zu,\"nanoseconds\":%.4g}", separator, row,
                RandomRowSeconds(threads, region, row) * 1e9);
    separator = ",";
  }
  std::printf("]}\n");
  return 0;
}
