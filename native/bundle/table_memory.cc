#include "bundle/table_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>

namespace gyrfalcon {
namespace {

size_t PageBytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

size_t PhysicalBytes() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  return pages > 0 ? static_cast<size_t>(pages) * PageBytes() : std::numeric_limits<size_t>::max();
}

uintptr_t AlignUp(uintptr_t value, size_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

Status OutOfMemory(size_t bytes) {
  return Status(ErrorCode::kOutOfMemory, "expected memory for a table of " + std::to_string(bytes) +
                                             " bytes but received none");
}

}  // namespace

Result<TableMemory> TableMemory::Allocate(size_t bytes) {
  TableMemory memory;
  memory.bytes_ = bytes;
  if (bytes < kHugePageBytes) {
    // aligned_alloc wants a multiple of the alignment.
    memory.data_ =
        static_cast<std::byte*>(std::aligned_alloc(kAlignment, AlignUp(bytes, kAlignment)));
    if (memory.data_ == nullptr) return OutOfMemory(bytes);
    return memory;
  }
  if (bytes > PhysicalBytes()) return OutOfMemory(bytes);
  // Reserved without access first: what stays so around the table keeps neighbouring mappings from
  // merging with it (which would spoil HugePageBytes) and turns overruns into faults.
  const size_t usable = AlignUp(bytes, kHugePageBytes);
  const size_t reserved = usable + 2 * kHugePageBytes;
  void* reservation = mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (reservation == MAP_FAILED) return OutOfMemory(bytes);
  memory.reservation_ = reservation;
  memory.reserved_ = reserved;
  const auto begin = reinterpret_cast<uintptr_t>(reservation);
  const size_t skip = AlignUp(begin + PageBytes(), kHugePageBytes) - begin;
  memory.data_ = static_cast<std::byte*>(reservation) + skip;
  if (mprotect(memory.data_, usable, PROT_READ | PROT_WRITE) != 0) return OutOfMemory(bytes);
#ifdef MADV_HUGEPAGE
  // Refused where the kernel has no huge pages: the table then lies on small ones.
  (void)madvise(memory.data_, usable, MADV_HUGEPAGE);
#endif
  return memory;
}

TableMemory::~TableMemory() {
  if (reservation_ != nullptr) {
    munmap(reservation_, reserved_);
  } else {
    std::free(data_);
  }
}

// smaps lists each mapping as a line "begin-end perms ..." and lines of the form
// "AnonHugePages:  2048 kB".
size_t TableMemory::HugePageBytes() const {
  if (reservation_ == nullptr) return 0;
  std::ifstream smaps("/proc/self/smaps");
  const auto begin = reinterpret_cast<uintptr_t>(data_);
  const uintptr_t end = begin + bytes_;
  bool inside = false;
  size_t total = 0;
  for (std::string line; std::getline(smaps, line);) {
    uintptr_t from = 0;
    uintptr_t to = 0;
    size_t kilobytes = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2) {
      inside = from < end && to > begin;
    } else if (inside && std::sscanf(line.c_str(), "AnonHugePages: %zu kB", &kilobytes) == 1) {
      total += kilobytes * 1024;
    }
  }
  return std::min(total, bytes_);
}

Result<FileMapping> FileMapping::Map(const File& file, const std::string& path, uint64_t offset,
                                     size_t bytes) {
  const size_t skip = offset % PageBytes();
  FileMapping mapping;
  void* address = mmap(nullptr, bytes + skip, PROT_READ, MAP_PRIVATE, file.fd(),
                       static_cast<off_t>(offset - skip));
  if (address == MAP_FAILED) {
    if (errno == ENOMEM) return OutOfMemory(bytes);
    return IoError("mapping", path, errno);
  }
  mapping.mapping_ = address;
  mapping.mapped_ = bytes + skip;
  mapping.data_ = static_cast<const std::byte*>(address) + skip;
#ifdef MADV_RANDOM
  // Lookups touch single rows: reading ahead would evict rows that are in use.
  (void)madvise(address, bytes + skip, MADV_RANDOM);
#endif
  return mapping;
}

FileMapping::~FileMapping() {
  if (mapping_ != nullptr) munmap(mapping_, mapped_);
}

}  // namespace gyrfalcon
