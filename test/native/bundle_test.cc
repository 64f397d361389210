// Whole bundles from disk: the manifest, the dense graph, and what is missing or spoilt.
#include "bundle/bundle.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "bundle_support.h"
#include "core/limits.h"

namespace gyrfalcon {
namespace {

using testing::ExpectError;
using testing::GoodManifest;
using testing::HashOf;
using testing::TempDir;
using testing::WriteFile;

TEST(Bundle, ManifestIsReadFromItsDirectory) {
  const TempDir dir;
  WriteFile(dir / "model.json", GoodManifest());
  const auto spec = ReadManifest(dir.path());
  ASSERT_TRUE(spec.ok()) << spec.status().message();
  EXPECT_EQ(spec.value().name, "everything");
  EXPECT_TRUE(ReadManifest(dir.path() + "/").ok());
}

TEST(Bundle, ThatIsNotThereIsNotFound) {
  const TempDir dir;
  ExpectError(ReadManifest(dir / "none"), ErrorCode::kBundleNotFound, "none");
  ExpectError(ReadManifest(dir.path()), ErrorCode::kBundleNotFound, "model.json");
  ExpectError(ReadManifest(""), ErrorCode::kBundleNotFound);
  WriteFile(dir / "file", "x");
  ExpectError(ReadManifest(dir / "file"), ErrorCode::kBundleNotFound);
}

TEST(Bundle, WhoseManifestIsNoFileIsInvalid) {
  const TempDir dir;
  std::filesystem::create_directory(dir / "model.json");
  ExpectError(ReadManifest(dir.path()), ErrorCode::kBundleInvalid, "model.json");
}

TEST(Bundle, WhoseManifestIsALinkOutsideEscapes) {
  const TempDir dir;
  WriteFile(dir / "outside.json", GoodManifest());
  std::filesystem::create_directory(dir / "bundle");
  std::filesystem::create_symlink("../outside.json", dir / "bundle/model.json");
  ExpectError(ReadManifest(dir / "bundle"), ErrorCode::kPathEscape, "model.json");
}

TEST(Bundle, WhoseManifestIsTooLargeIsOverTheLimit) {
  const TempDir dir;
  WriteFile(dir / "model.json", GoodManifest());
  std::filesystem::resize_file(dir / "model.json", limits::kMaxManifestBytes + 1);
  ExpectError(ReadManifest(dir.path()), ErrorCode::kLimitExceeded, "model.json");
  std::filesystem::resize_file(dir / "model.json", uintmax_t{1} << 40);
  ExpectError(ReadManifest(dir.path()), ErrorCode::kLimitExceeded, "model.json");
}

TEST(Bundle, WhoseManifestIsEmptyOrTextIsInvalid) {
  const TempDir dir;
  for (const std::string_view text : {"", " ", "hello", "[]", "null", "{}", "\xFF\xFE"}) {
    WriteFile(dir / "model.json", text);
    ExpectError(ReadManifest(dir.path()), ErrorCode::kBundleInvalid);
  }
}

TEST(Bundle, FilesAreReadWholeAndChecked) {
  const TempDir dir;
  const std::string bytes("\0dense\xFF graph", 13);
  WriteFile(dir / "dense.onnx", bytes);
  const auto read = ReadBundleFile(dir.path(), "dense.onnx", HashOf(bytes), bytes.size());
  ASSERT_TRUE(read.ok()) << read.status().message();
  ASSERT_EQ(read.value().size(), bytes.size());
  EXPECT_EQ(std::memcmp(read.value().data(), bytes.data(), bytes.size()), 0);

  ExpectError(ReadBundleFile(dir.path(), "dense.onnx", HashOf(bytes) + 1, 100),
              ErrorCode::kChecksumMismatch, "dense.onnx");
  ExpectError(ReadBundleFile(dir.path(), "dense.onnx", HashOf(bytes), bytes.size() - 1),
              ErrorCode::kLimitExceeded, "dense.onnx");
  ExpectError(ReadBundleFile(dir.path(), "other.onnx", 0, 100), ErrorCode::kBundleInvalid,
              "other.onnx");
  ExpectError(ReadBundleFile(dir / "none", "dense.onnx", 0, 100), ErrorCode::kBundleNotFound);
}

TEST(Bundle, AnEmptyFileHasAChecksumToo) {
  const TempDir dir;
  WriteFile(dir / "empty", "");
  const auto read = ReadBundleFile(dir.path(), "empty", 0xEF46DB3751D8E999, 0);
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_TRUE(read.value().empty());
}

TEST(Bundle, FilesTruncatedAnywhereFailTheirChecksum) {
  const TempDir dir;
  std::string bytes(300, 'x');
  const uint64_t hash = HashOf(bytes);
  WriteFile(dir / "dense.onnx", bytes);
  for (size_t size = bytes.size(); size-- > 0;) {
    std::filesystem::resize_file(dir / "dense.onnx", size);
    ExpectError(ReadBundleFile(dir.path(), "dense.onnx", hash, 1000), ErrorCode::kChecksumMismatch);
  }
}

}  // namespace
}  // namespace gyrfalcon
