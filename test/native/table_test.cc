// Tables in memory: copied, mapped, made; checked against what the file really has.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/bundle.h"
#include "bundle/table_memory.h"
#include "bundle_support.h"

namespace gyrfalcon {
namespace {

using testing::ExpectError;
using testing::HashOf;
using testing::Padded;
using testing::Safetensors;
using testing::TempDir;
using testing::WriteFile;
using Table = std::shared_ptr<const TableStorage>;

constexpr TableResidency kResidencies[] = {TableResidency::kCopy, TableResidency::kMap};

std::string Pattern(size_t bytes) {
  std::string text(bytes, '\0');
  uint32_t state = 1;
  for (char& c : text) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

std::string Header(const std::string& dtype, int64_t rows, int64_t columns, size_t bytes) {
  return Padded(R"({"t":{"dtype":")" + dtype + R"(","shape":[)" + std::to_string(rows) + "," +
                std::to_string(columns) + R"(],"data_offsets":[0,)" + std::to_string(bytes) +
                "]}}");
}

std::string_view BytesOf(const Table& table) {
  return {reinterpret_cast<const char*>(table->view().data), table->bytes()};
}

// A bundle's directory with one table file.
class TableFile : public ::testing::Test {
 protected:
  void Write(const std::string& dtype, int64_t rows, int64_t columns, const std::string& data) {
    WriteFile(path_, Safetensors(Header(dtype, rows, columns, data.size()), data));
  }

  static TableSpec Spec(Storage storage, int64_t rows, int64_t dim, const std::string& data) {
    TableSpec spec;
    spec.name = "table";
    spec.rows = rows;
    spec.dim = dim;
    spec.storage = storage;
    spec.file = "t.safetensors";
    spec.tensor = "t";
    spec.xxh64 = HashOf(data);
    return spec;
  }

  Result<Table> Load(const TableSpec& spec, TableResidency residency, bool verify = true) {
    return LoadTable(dir_.path(), spec, {residency, verify});
  }

  TempDir dir_;
  std::string path_ = dir_ / "t.safetensors";
};

TEST_F(TableFile, OfEveryStorageLoadsByteForByte) {
  struct Case {
    Storage storage;
    const char* dtype;
    int64_t dim;
    int64_t columns;
    size_t row_bytes;
  };
  const std::vector<Case> cases = {
      {Storage::kF32, "F32", 5, 5, 20},   {Storage::kF16, "F16", 5, 5, 10},
      {Storage::kBF16, "BF16", 5, 5, 10}, {Storage::kInt8, "U8", 5, 13, 13},
      {Storage::kInt4, "U8", 5, 7, 7},    {Storage::kInt4, "U8", 6, 7, 7},
  };
  for (const Case& c : cases) {
    const std::string data = Pattern(7 * c.row_bytes);
    Write(c.dtype, 7, c.columns, data);
    for (const TableResidency residency : kResidencies) {
      SCOPED_TRACE(StorageName(c.storage));
      const auto table = Load(Spec(c.storage, 7, c.dim, data), residency);
      ASSERT_TRUE(table.ok()) << table.status().message();
      EXPECT_EQ(BytesOf(table.value()), data);
      const TableView view = table.value()->view();
      EXPECT_EQ(view.rows, 7);
      EXPECT_EQ(view.dim, c.dim);
      EXPECT_EQ(view.storage, c.storage);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(view.data) % 64, 0u);
      EXPECT_EQ(table.value()->huge_page_bytes(), 0u);
    }
  }
}

TEST_F(TableFile, LargerThanAHugePageLoadsByteForByte) {
  const int64_t rows = (int64_t{5} << 20) / 64 + 3;
  const std::string data = Pattern(static_cast<size_t>(rows) * 64);
  Write("F32", rows, 16, data);
  for (const TableResidency residency : kResidencies) {
    const auto table = Load(Spec(Storage::kF32, rows, 16, data), residency);
    ASSERT_TRUE(table.ok()) << table.status().message();
    EXPECT_EQ(BytesOf(table.value()), data);
    EXPECT_LE(table.value()->huge_page_bytes(), table.value()->bytes());
    if (residency == TableResidency::kMap) {
      EXPECT_EQ(table.value()->huge_page_bytes(), 0u);
    } else {
      EXPECT_EQ(
          reinterpret_cast<uintptr_t>(table.value()->view().data) % TableMemory::kHugePageBytes,
          0u);
    }
  }
}

TEST_F(TableFile, WithAWrongChecksumIsRefusedUnlessToldOtherwise) {
  std::string data = Pattern(64 * 4);
  Write("F32", 4, 16, data);
  TableSpec spec = Spec(Storage::kF32, 4, 16, data);
  spec.xxh64 ^= 1;
  for (const TableResidency residency : kResidencies) {
    ExpectError(Load(spec, residency), ErrorCode::kChecksumMismatch, "t.safetensors");
    EXPECT_TRUE(Load(spec, residency, false).ok());
  }
}

TEST_F(TableFile, WithAnyBitFlippedIsRefused) {
  const std::string data = Pattern(48);
  const TableSpec spec = Spec(Storage::kF32, 3, 4, data);
  for (size_t bit = 0; bit < data.size() * 8; bit += 5) {
    std::string flipped = data;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    Write("F32", 3, 4, flipped);
    ExpectError(Load(spec, kResidencies[bit % 2]), ErrorCode::kChecksumMismatch);
  }
}

TEST_F(TableFile, ThatIsTruncatedIsAnErrorAtEveryLength) {
  const std::string data = Pattern(4096);
  Write("F32", 64, 16, data);
  const TableSpec spec = Spec(Storage::kF32, 64, 16, data);
  const auto full = std::filesystem::file_size(path_);
  const auto header = full - data.size();
  for (uintmax_t size = full - 1; size > 0;
       size -= std::min(size, size > header ? uintmax_t{64} : 1)) {
    std::filesystem::resize_file(path_, size);
    for (const TableResidency residency : kResidencies) {
      ExpectError(Load(spec, residency, false), ErrorCode::kBundleInvalid);
    }
  }
}

TEST_F(TableFile, ThatDoesNotMatchTheManifestIsInvalid) {
  const std::string data = Pattern(64 * 4);
  Write("F32", 4, 16, data);
  struct Case {
    Storage storage;
    int64_t rows;
    int64_t dim;
  };
  for (const Case& c :
       {Case{Storage::kF32, 5, 16}, Case{Storage::kF32, 3, 16}, Case{Storage::kF32, 4, 15},
        Case{Storage::kF32, 16, 4}, Case{Storage::kF16, 4, 32}, Case{Storage::kBF16, 4, 16},
        Case{Storage::kInt8, 4, 56}, Case{Storage::kInt4, 4, 120}}) {
    ExpectError(Load(Spec(c.storage, c.rows, c.dim, data), TableResidency::kCopy),
                ErrorCode::kBundleInvalid, "table");
  }
  TableSpec other_tensor = Spec(Storage::kF32, 4, 16, data);
  other_tensor.tensor = "u";
  ExpectError(Load(other_tensor, TableResidency::kCopy), ErrorCode::kBundleInvalid, "\"u\"");
  TableSpec other_file = Spec(Storage::kF32, 4, 16, data);
  other_file.file = "u.safetensors";
  ExpectError(Load(other_file, TableResidency::kCopy), ErrorCode::kBundleInvalid, "u.safetensors");
  other_file.file = "../t.safetensors";
  ExpectError(Load(other_file, TableResidency::kCopy), ErrorCode::kPathEscape);
}

TEST_F(TableFile, ThatPromisesMoreThanItHasAllocatesNothing) {
  // Manifest and header agree on 2^52 bytes; the file has 64. Were memory asked for first, the
  // answer would be OUT_OF_MEMORY.
  const int64_t rows = int64_t{1} << 38;
  const std::string header = Header("F32", rows, 4096, size_t{1} << 52);
  WriteFile(path_, Safetensors(header, std::string(64, 'x')));
  for (const TableResidency residency : kResidencies) {
    ExpectError(Load(Spec(Storage::kF32, rows, 4096, ""), residency), ErrorCode::kBundleInvalid);
  }
}

TEST_F(TableFile, LargerThanTheMachineIsOutOfMemoryWhenCopied) {
  // A sparse file of 16 TiB less its header: the size is real, the disk space is not.
  const int64_t rows = (int64_t{1} << 44) / 64 - 64;
  const uint64_t bytes = static_cast<uint64_t>(rows) * 64;
  const std::string header = Header("F32", rows, 16, bytes);
  WriteFile(path_, Safetensors(header, ""));
  std::error_code error;
  std::filesystem::resize_file(path_, 8 + header.size() + bytes, error);
  if (error) {  // the file system holds no such file: then a made table has to do
    ExpectError(MakeTable(rows, 16, Storage::kF32, [](std::byte*) {}), ErrorCode::kOutOfMemory);
    return;
  }
  ExpectError(Load(Spec(Storage::kF32, rows, 16, ""), TableResidency::kCopy, false),
              ErrorCode::kOutOfMemory);
}

TEST_F(TableFile, ReplacedByRenameLeavesTheLoadedTableAlone) {
  const std::string data = Pattern(64 * 100);
  Write("F32", 100, 16, data);
  const auto table = Load(Spec(Storage::kF32, 100, 16, data), TableResidency::kMap);
  ASSERT_TRUE(table.ok()) << table.status().message();
  WriteFile(dir_ / "new", "something else");
  std::filesystem::rename(dir_ / "new", path_);
  EXPECT_EQ(BytesOf(table.value()), data);
}

TEST_F(TableFile, OffTheBoundaryIsCopiedButNotMapped) {
  const std::string header = R"({"x":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},)"
                             R"("t":{"dtype":"F32","shape":[2,2],"data_offsets":[5,21]}})";
  const std::string data = Pattern(16);
  WriteFile(path_, Safetensors(header, "12345" + data));
  const TableSpec spec = Spec(Storage::kF32, 2, 2, data);
  const auto table = Load(spec, TableResidency::kCopy);
  ASSERT_TRUE(table.ok()) << table.status().message();
  EXPECT_EQ(BytesOf(table.value()), data);
  ExpectError(Load(spec, TableResidency::kMap), ErrorCode::kBundleInvalid, "64-byte boundary");
}

TEST_F(TableFile, OfAnyOriginLoadsAsATable) {
  const LoadTableOptions options;
  const std::string data = Pattern(12 * 3);
  Write("F32", 3, 3, data);
  const auto table = LoadSafetensorsTable(path_, "t", Storage::kF32, 0, options);
  ASSERT_TRUE(table.ok()) << table.status().message();
  EXPECT_EQ(table.value()->view().dim, 3);
  EXPECT_EQ(BytesOf(table.value()), data);
  EXPECT_TRUE(LoadSafetensorsTable(path_, "t", Storage::kF32, 3, options).ok());

  ExpectError(LoadSafetensorsTable(path_, "t", Storage::kF32, 4, options),
              ErrorCode::kShapeMismatch);
  ExpectError(LoadSafetensorsTable(path_, "t", Storage::kF16, 0, options),
              ErrorCode::kDtypeMismatch);
  ExpectError(LoadSafetensorsTable(path_, "u", Storage::kF32, 0, options),
              ErrorCode::kInvalidArgument, "\"u\"");
  ExpectError(LoadSafetensorsTable(path_, "t", Storage::kF32, -1, options),
              ErrorCode::kInvalidArgument);
  ExpectError(LoadSafetensorsTable(path_, "t", Storage::kF32, 16385, options),
              ErrorCode::kInvalidArgument);
  ExpectError(LoadSafetensorsTable(dir_ / "none", "t", Storage::kF32, 0, options),
              ErrorCode::kIoError);
  ExpectError(LoadSafetensorsTable(dir_.path(), "t", Storage::kF32, 0, options),
              ErrorCode::kIoError);
}

TEST_F(TableFile, OfQuantisedRowsTellsTheDim) {
  const LoadTableOptions options;
  const auto dim = [&](Storage storage, int64_t columns, int64_t given) -> int64_t {
    Write("U8", 2, columns, Pattern(2 * static_cast<size_t>(columns)));
    const auto table = LoadSafetensorsTable(path_, "t", storage, given, options);
    return table.ok() ? table.value()->view().dim : -1;
  };
  EXPECT_EQ(dim(Storage::kInt8, 24, 0), 16);
  EXPECT_EQ(dim(Storage::kInt8, 24, 16), 16);
  EXPECT_EQ(dim(Storage::kInt8, 24, 15), -1);
  EXPECT_EQ(dim(Storage::kInt8, 9, 0), 1);
  EXPECT_EQ(dim(Storage::kInt8, 8, 0), -1);
  EXPECT_EQ(dim(Storage::kInt4, 12, 0), 16);
  EXPECT_EQ(dim(Storage::kInt4, 12, 15), 15);
  EXPECT_EQ(dim(Storage::kInt4, 12, 14), -1);
  EXPECT_EQ(dim(Storage::kInt4, 4, 0), -1);
  EXPECT_EQ(dim(Storage::kInt4, 3, 0), -1);
}

TEST_F(TableFile, OfAnotherShapeIsAMismatch) {
  for (const char* shape : {"[]", "[4]", "[1,4]", "[2,2]", "[4,1,1]", "[2,2,1]"}) {
    WriteFile(path_, Safetensors(R"({"t":{"dtype":"F32","shape":)" + std::string(shape) +
                                     R"(,"data_offsets":[0,)" +
                                     (std::string_view(shape) == "[]" ? "4" : "16") + "]}}",
                                 Pattern(std::string_view(shape) == "[]" ? 4 : 16)));
    const auto table = LoadSafetensorsTable(path_, "t", Storage::kF32, 0, {});
    if (std::count(shape, shape + std::strlen(shape), ',') == 1) {
      EXPECT_TRUE(table.ok()) << shape;
    } else {
      ExpectError(table, ErrorCode::kShapeMismatch, shape == std::string("[]") ? "[]" : "[");
    }
  }
  for (const char* shape : {"[0,4]", "[4,0]"}) {
    WriteFile(path_, Safetensors(R"({"t":{"dtype":"F32","shape":)" + std::string(shape) +
                                     R"(,"data_offsets":[0,0]}})",
                                 ""));
    ExpectError(LoadSafetensorsTable(path_, "t", Storage::kF32, 0, {}), ErrorCode::kShapeMismatch);
  }
}

TEST_F(TableFile, WithRowsOverTheLimitIsRefused) {
  Write("U8", 1, 16384 + 8, Pattern(16384 + 8));
  EXPECT_TRUE(LoadSafetensorsTable(path_, "t", Storage::kInt8, 0, {}).ok());
  Write("U8", 1, 16384 + 9, Pattern(16384 + 9));
  ExpectError(LoadSafetensorsTable(path_, "t", Storage::kInt8, 0, {}), ErrorCode::kLimitExceeded);
}

TEST(MadeTable, HoldsWhatWasWritten) {
  for (const int64_t rows : {int64_t{1}, int64_t{10}, int64_t{40000}}) {
    const size_t bytes = static_cast<size_t>(rows) * 64;
    const std::string data = Pattern(bytes);
    int calls = 0;
    const auto table = MakeTable(rows, 16, Storage::kF32, [&](std::byte* to) {
      ++calls;
      std::memcpy(to, data.data(), bytes);
    });
    ASSERT_TRUE(table.ok()) << table.status().message();
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(BytesOf(table.value()), data);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(table.value()->view().data) % 64, 0u);
  }
}

TEST(MadeTable, HasBounds) {
  const auto fill = [](std::byte*) { FAIL() << "called for a table that cannot be"; };
  ExpectError(MakeTable(0, 1, Storage::kF32, fill), ErrorCode::kInvalidArgument);
  ExpectError(MakeTable(1, 0, Storage::kF32, fill), ErrorCode::kInvalidArgument);
  ExpectError(MakeTable(-1, 1, Storage::kF32, fill), ErrorCode::kInvalidArgument);
  ExpectError(MakeTable(INT64_MAX, INT64_MAX, Storage::kF32, fill), ErrorCode::kLimitExceeded);
  ExpectError(MakeTable(1, 16385, Storage::kF32, fill), ErrorCode::kLimitExceeded);
  ExpectError(MakeTable((int64_t{1} << 40) + 1, 1, Storage::kF32, fill), ErrorCode::kLimitExceeded);
  ExpectError(MakeTable(int64_t{1} << 40, 16384, Storage::kF32, fill), ErrorCode::kOutOfMemory);
  EXPECT_TRUE(MakeTable(1, 16384, Storage::kF32, [](std::byte*) {}).ok());
}

TEST(MadeTable, ReportsExhaustedMemoryOfItsFiller) {
  ExpectError(MakeTable(1, 1, Storage::kF32, [](std::byte*) { throw std::bad_alloc(); }),
              ErrorCode::kOutOfMemory);
}

TEST(TableMemory, OfNeighboursIsCountedApart) {
  // Huge pages of one table must not be counted for another, whatever the system grants.
  std::vector<TableMemory> tables;
  for (int i = 0; i < 4; ++i) {
    Result<TableMemory> memory = TableMemory::Allocate(TableMemory::kHugePageBytes * 2);
    ASSERT_TRUE(memory.ok());
    tables.push_back(std::move(memory).value());
  }
  std::memset(tables[0].data(), 1, TableMemory::kHugePageBytes * 2);
  EXPECT_LE(tables[0].HugePageBytes(), TableMemory::kHugePageBytes * 2);
  for (size_t i = 1; i < tables.size(); ++i) EXPECT_EQ(tables[i].HugePageBytes(), 0u);
}

TEST(TableMemory, SurvivesMoves) {
  Result<TableMemory> first = TableMemory::Allocate(100);
  Result<TableMemory> second = TableMemory::Allocate(TableMemory::kHugePageBytes);
  ASSERT_TRUE(first.ok() && second.ok());
  std::byte* const data = second->data();
  TableMemory moved = std::move(*second);
  moved = std::move(moved);
  EXPECT_EQ(moved.data(), data);
  moved.data()[TableMemory::kHugePageBytes - 1] = std::byte{1};
  *first = std::move(moved);
  EXPECT_EQ(first->data(), data);
}

}  // namespace
}  // namespace gyrfalcon
