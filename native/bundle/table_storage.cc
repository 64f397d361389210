// Tables in memory: copied, mapped or made.
#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "bundle/allocation_guard.h"
#include "bundle/bundle.h"
#include "bundle/contained_path.h"
#include "bundle/file.h"
#include "bundle/hex.h"
#include "bundle/quote.h"
#include "bundle/safetensors.h"
#include "bundle/table_memory.h"
#include "core/limits.h"
#include "core/xxh64.h"

namespace gyrfalcon {
namespace {

using Table = std::shared_ptr<const TableStorage>;

// Read and hashed in one pass: a block is still in the second-level cache when it is hashed.
constexpr size_t kBlockBytes = size_t{256} << 10;

class CopiedTable final : public TableStorage {
 public:
  CopiedTable(TableMemory memory, int64_t rows, int64_t dim, Storage storage)
      : memory_(std::move(memory)), view_{memory_.data(), rows, dim, storage} {}

  TableView view() const override { return view_; }
  size_t bytes() const override {
    return static_cast<size_t>(view_.rows) * RowBytes(view_.storage, view_.dim);
  }
  size_t huge_page_bytes() const override { return memory_.HugePageBytes(); }
  std::byte* writable() const override { return memory_.data(); }

 private:
  TableMemory memory_;
  TableView view_;
};

class MappedTable final : public TableStorage {
 public:
  MappedTable(FileMapping mapping, int64_t rows, int64_t dim, Storage storage)
      : mapping_(std::move(mapping)), view_{mapping_.data(), rows, dim, storage} {}

  TableView view() const override { return view_; }
  size_t bytes() const override {
    return static_cast<size_t>(view_.rows) * RowBytes(view_.storage, view_.dim);
  }
  size_t huge_page_bytes() const override { return 0; }

 private:
  FileMapping mapping_;
  TableView view_;
};

// Where a table lies in a file, once header and size of the file agree.
struct TableSource {
  const File& file;
  const std::string& path;
  uint64_t offset;
  int64_t rows;
  int64_t dim;
  Storage storage;

  size_t bytes() const { return static_cast<size_t>(rows) * RowBytes(storage, dim); }
};

std::string_view SafetensorsDtype(Storage storage) {
  switch (storage) {
    case Storage::kF32:
      return "F32";
    case Storage::kF16:
      return "F16";
    case Storage::kBF16:
      return "BF16";
    case Storage::kInt8:
    case Storage::kInt4:
      break;
  }
  return "U8";
}

bool IsQuantised(Storage storage) { return storage == Storage::kInt8 || storage == Storage::kInt4; }

int64_t Columns(Storage storage, int64_t dim) {
  return IsQuantised(storage) ? static_cast<int64_t>(RowBytes(storage, dim)) : dim;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t extent : shape) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(extent);
  }
  return text + "]";
}

// Extents that a caller gives; those of a file are checked where they are read.
Status CheckExtents(int64_t rows, int64_t dim) {
  const std::string received = "for a table but received " + ShapeText({rows, dim});
  if (rows < 1 || dim < 1) {
    return Status(ErrorCode::kInvalidArgument, "expected at least 1 row and 1 element " + received);
  }
  if (rows > limits::kMaxTableRows || dim > limits::kMaxDim) {
    return Status(ErrorCode::kLimitExceeded,
                  "expected at most 2^40 rows of 16384 elements " + received);
  }
  return Status::Ok();
}

Status CheckHash(const TableSource& source, std::optional<uint64_t> expected, uint64_t received) {
  if (!expected || *expected == received) return Status::Ok();
  return Status(ErrorCode::kChecksumMismatch,
                "expected XXH64 " + Hex64(*expected) + " for the table's bytes in " +
                    Quote(source.path) + " but received " + Hex64(received));
}

// Reads the table's bytes into `out`, or through a block of its own when that is null.
Status ReadAndCheck(const TableSource& source, std::byte* out, std::optional<uint64_t> xxh64) {
  std::vector<std::byte> block(out == nullptr ? std::min(kBlockBytes, source.bytes()) : 0);
  Xxh64 hash;
  for (size_t done = 0; done < source.bytes();) {
    const std::span<std::byte> part(out == nullptr ? block.data() : out + done,
                                    std::min(kBlockBytes, source.bytes() - done));
    GYR_RETURN_IF_ERROR(ReadExactly(source.file, source.path, source.offset + done, part));
    if (xxh64) hash.Update(part);
    done += part.size();
  }
  return CheckHash(source, xxh64, hash.Digest());
}

Result<Table> CopyTable(const TableSource& source, std::optional<uint64_t> xxh64) {
  Result<TableMemory> memory = TableMemory::Allocate(source.bytes());
  if (!memory.ok()) return memory.status();
  GYR_RETURN_IF_ERROR(ReadAndCheck(source, memory->data(), xxh64));
  return Table(
      std::make_shared<CopiedTable>(std::move(*memory), source.rows, source.dim, source.storage));
}

Result<Table> MapTable(const TableSource& source, std::optional<uint64_t> xxh64) {
  if (source.offset % TableMemory::kAlignment != 0) {
    return {ErrorCode::kBundleInvalid, "expected data on a 64-byte boundary to map " +
                                           Quote(source.path) + " but received offset " +
                                           std::to_string(source.offset) + "; load it by copy"};
  }
  // Through read, not the mapping: a file that is cut meanwhile is an error here, a fault there.
  if (xxh64) GYR_RETURN_IF_ERROR(ReadAndCheck(source, nullptr, xxh64));
  Result<FileMapping> mapping =
      FileMapping::Map(source.file, source.path, source.offset, source.bytes());
  if (!mapping.ok()) return mapping.status();
  return Table(
      std::make_shared<MappedTable>(std::move(*mapping), source.rows, source.dim, source.storage));
}

Result<Table> Load(const TableSource& source, std::optional<uint64_t> xxh64,
                   TableResidency residency) {
  return residency == TableResidency::kMap ? MapTable(source, xxh64) : CopyTable(source, xxh64);
}

// The elements of a row, from the number of columns; 0 when there is no such row.
int64_t DeriveDim(Storage storage, int64_t columns, int64_t dim) {
  if (dim != 0) return Columns(storage, dim) == columns ? dim : 0;
  if (storage == Storage::kInt8) return std::max<int64_t>(columns - 8, 0);
  if (storage == Storage::kInt4) return std::max<int64_t>(2 * (columns - 4), 0);
  return columns;
}

Result<Table> LoadBundleTable(const std::string& dir, const TableSpec& spec,
                              const LoadTableOptions& options) {
  GYR_RETURN_IF_ERROR(CheckExtents(spec.rows, spec.dim));
  const Result<ContainedFile> opened = OpenContained(dir, spec.file);
  if (!opened.ok()) return opened.status();
  const ContainedFile& file = opened.value();
  const Result<SafetensorsHeader> header = ReadSafetensorsHeader(file.file, file.path);
  if (!header.ok()) return header.status();
  const SafetensorsTensor* tensor = header.value().Find(spec.tensor);
  if (tensor == nullptr) {
    return {ErrorCode::kBundleInvalid, "expected the tensor " + Quote(spec.tensor) + " in " +
                                           Quote(file.path) + " but received none"};
  }
  const std::vector<int64_t> shape = {spec.rows, Columns(spec.storage, spec.dim)};
  if (tensor->dtype != SafetensorsDtype(spec.storage) || tensor->shape != shape) {
    return {ErrorCode::kBundleInvalid, "expected " + std::string(SafetensorsDtype(spec.storage)) +
                                           " " + ShapeText(shape) + " for table " +
                                           Quote(spec.name) + " but received " + tensor->dtype +
                                           " " + ShapeText(tensor->shape)};
  }
  const TableSource source{file.file, file.path, header.value().data_offset + tensor->begin,
                           spec.rows, spec.dim,  spec.storage};
  return Load(source, options.verify_checksum ? std::optional(spec.xxh64) : std::nullopt,
              options.residency);
}

Result<Table> LoadTensor(const std::string& path, const std::string& tensor, Storage storage,
                         int64_t dim, const LoadTableOptions& options) {
  if (dim < 0 || dim > limits::kMaxDim) {
    return {ErrorCode::kInvalidArgument, "expected 0 ... " + std::to_string(limits::kMaxDim) +
                                             " for dim but received " + std::to_string(dim)};
  }
  const Result<File> file = OpenRegular(path);
  if (!file.ok()) return file.status();
  const Result<SafetensorsHeader> header = ReadSafetensorsHeader(file.value(), path);
  if (!header.ok()) return header.status();
  const SafetensorsTensor* found = header.value().Find(tensor);
  if (found == nullptr) {
    return {ErrorCode::kInvalidArgument,
            "expected the name of a tensor in " + Quote(path) + " but received " + Quote(tensor)};
  }
  if (found->dtype != SafetensorsDtype(storage)) {
    return {ErrorCode::kDtypeMismatch, "expected " + std::string(SafetensorsDtype(storage)) +
                                           " for tensor " + Quote(tensor) + " but received " +
                                           found->dtype};
  }
  const int64_t rows = found->shape.size() == 2 ? found->shape[0] : 0;
  const int64_t row_dim = found->shape.size() == 2 ? DeriveDim(storage, found->shape[1], dim) : 0;
  if (rows < 1 || row_dim < 1) {
    return {ErrorCode::kShapeMismatch,
            "expected [rows, " + (dim == 0 ? "row" : std::to_string(Columns(storage, dim))) +
                "] for tensor " + Quote(tensor) + " stored as " +
                std::string(StorageName(storage)) + " but received " + ShapeText(found->shape)};
  }
  if (rows > limits::kMaxTableRows || row_dim > limits::kMaxDim) {
    return {ErrorCode::kLimitExceeded, "expected at most 2^40 rows of 16384 elements for tensor " +
                                           Quote(tensor) + " but received " +
                                           ShapeText(found->shape)};
  }
  const TableSource source{file.value(), path,    header.value().data_offset + found->begin,
                           rows,         row_dim, storage};
  return Load(source, std::nullopt, options.residency);
}

}  // namespace

Result<Table> LoadTable(const std::string& dir, const TableSpec& spec,
                        const LoadTableOptions& options) {
  return GuardAllocation([&] { return LoadBundleTable(dir, spec, options); });
}

Result<Table> LoadSafetensorsTable(const std::string& path, const std::string& tensor,
                                   Storage storage, int64_t dim, const LoadTableOptions& options) {
  return GuardAllocation([&] { return LoadTensor(path, tensor, storage, dim, options); });
}

Result<Table> MakeTable(int64_t rows, int64_t dim, Storage storage,
                        const std::function<void(std::byte*)>& fill) {
  GYR_RETURN_IF_ERROR(CheckExtents(rows, dim));
  return GuardAllocation([&]() -> Result<Table> {
    Result<TableMemory> memory =
        TableMemory::Allocate(static_cast<size_t>(rows) * RowBytes(storage, dim));
    if (!memory.ok()) return memory.status();
    fill(memory->data());
    return Table(std::make_shared<CopiedTable>(std::move(*memory), rows, dim, storage));
  });
}

}  // namespace gyrfalcon
