// Memory for tables: anonymous on huge pages, or a mapped file.
#ifndef GYRFALCON_BUNDLE_TABLE_MEMORY_H_
#define GYRFALCON_BUNDLE_TABLE_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "bundle/file.h"
#include "core/status.h"

namespace gyrfalcon {

// Owns uninitialised, writable memory. From kHugePageBytes on it is an anonymous mapping that
// starts on a huge-page boundary, asks for huge pages, and has an inaccessible page on either side;
// smaller memory comes from the heap, 64-byte aligned. Move-only.
class TableMemory {
 public:
  static constexpr size_t kHugePageBytes = size_t{2} << 20;
  static constexpr size_t kAlignment = 64;

  // kOutOfMemory, also when it is more than the machine has: an overcommitting system would grant
  // it and kill the process later. Precondition: bytes > 0.
  static Result<TableMemory> Allocate(size_t bytes);

  TableMemory() = default;
  TableMemory(TableMemory&& other) noexcept { Swap(other); }
  TableMemory& operator=(TableMemory&& other) noexcept {
    Swap(other);
    return *this;
  }
  TableMemory(const TableMemory&) = delete;
  TableMemory& operator=(const TableMemory&) = delete;
  ~TableMemory();

  std::byte* data() const { return data_; }

  // Bytes that lie on huge pages at this moment. 0 where the system does not tell.
  size_t HugePageBytes() const;

 private:
  void Swap(TableMemory& other) {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(reservation_, other.reservation_);
    std::swap(reserved_, other.reserved_);
  }

  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
  void* reservation_ = nullptr;  // what munmap gets; null for heap memory
  size_t reserved_ = 0;
};

// Owns a read-only mapping of a part of a file. Move-only.
class FileMapping {
 public:
  // Maps [offset, offset + bytes), which the caller has compared with the file's size.
  static Result<FileMapping> Map(const File& file, const std::string& path, uint64_t offset,
                                 size_t bytes);

  FileMapping() = default;
  FileMapping(FileMapping&& other) noexcept { Swap(other); }
  FileMapping& operator=(FileMapping&& other) noexcept {
    Swap(other);
    return *this;
  }
  FileMapping(const FileMapping&) = delete;
  FileMapping& operator=(const FileMapping&) = delete;
  ~FileMapping();

  const std::byte* data() const { return data_; }

 private:
  void Swap(FileMapping& other) {
    std::swap(data_, other.data_);
    std::swap(mapping_, other.mapping_);
    std::swap(mapped_, other.mapped_);
  }

  const std::byte* data_ = nullptr;
  void* mapping_ = nullptr;
  size_t mapped_ = 0;
};

}  // namespace gyrfalcon

#endif  // GYRFALCON_BUNDLE_TABLE_MEMORY_H_
