// What the tests of bundle reading share: scratch directories, good bundles, edits that spoil them.
#ifndef GYRFALCON_TEST_NATIVE_BUNDLE_SUPPORT_H_
#define GYRFALCON_TEST_NATIVE_BUNDLE_SUPPORT_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "bundle/bundle.h"
#include "bundle/hex.h"
#include "core/error_code.h"
#include "core/status.h"
#include "core/xxh64.h"

namespace gyrfalcon::testing {

// A directory that vanishes with the test.
class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gyrfalcon-XXXXXX").string();
    if (mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

inline void WriteFile(const std::string& path, std::string_view bytes) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  ASSERT_TRUE(file.good()) << path;
}

inline uint64_t HashOf(std::string_view bytes) {
  Xxh64 hash;
  hash.Update(std::as_bytes(std::span(bytes.data(), bytes.size())));
  return hash.Digest();
}

// A safetensors file: length, header, data. `length` says the header's, unless `claim` is given.
inline std::string Safetensors(std::string_view header, std::string_view data, int64_t claim = -1) {
  uint64_t length = claim >= 0 ? static_cast<uint64_t>(claim) : header.size();
  std::string file;
  for (int i = 0; i < 8; ++i, length >>= 8) file.push_back(static_cast<char>(length & 255));
  return file + std::string(header) + std::string(data);
}

// Pads with spaces so that the data begins on a 64-byte boundary of the file.
inline std::string Padded(std::string header) {
  while ((header.size() + 8) % 64 != 0) header.push_back(' ');
  return header;
}

// `text` with its only `from` replaced; a test's own mistake is a failure of the test.
inline std::string Edit(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  if (at == std::string::npos || text.find(from, at + 1) != std::string::npos) {
    ADD_FAILURE() << "expected exactly one of: " << from;
    return text;
  }
  return text.replace(at, from.size(), to);
}

// A manifest that uses every feature of the format. Each line can be found by its own text.
inline std::string GoodManifest() {
  return R"({
"format": "gyrfalcon-bundle", "version": 1, "producer": "test", "name": "everything",
"source": {"file": "model.onnx", "bytes": 12345, "xxh64": "0123456789abcdef"},
"batch": null,
"symbols": {"L": 50, "K": null},
"inputs": [
{"name": "ids", "kind": "tensor", "dtype": "i32", "shape": ["batch", 6]},
{"name": "history", "kind": "tensor", "dtype": "i64", "shape": ["batch", "L"]},
{"name": "genres", "kind": "ragged", "dtype": "i32", "weights": true, "source": {"offsets": "genre_offsets", "weights": "genre_weights"}},
{"name": "tags", "kind": "ragged", "dtype": "i64", "weights": false},
{"name": "scales", "kind": "tensor", "dtype": "f32", "shape": ["batch", 2, 3]},
{"name": "dense", "kind": "tensor", "dtype": "f32", "shape": ["batch", 13]},
{"name": "temperature", "kind": "tensor", "dtype": "f64", "shape": []}
],
"tables": [
{"name": "users", "rows": 100, "dim": 8, "storage": "f32", "file": "tables/00000.safetensors", "tensor": "users.weight", "xxh64": "00000000000000aa"},
{"name": "items", "rows": 1000, "dim": 4, "storage": "int8", "file": "tables/00001.safetensors", "tensor": "items.weight", "xxh64": "00000000000000bb"}
],
"slots": [
{"name": "pooled", "shape": ["batch", 28]},
{"name": "stacked", "shape": ["batch", 3, 4]},
{"name": "sequence", "shape": ["batch", "L", 4]}
],
"bags": [
{"table": "users", "input": "ids", "pooling": "sum", "start": 0, "step": 1, "count": 1, "slot": "pooled", "offset": 0},
{"table": "users", "input": "genres", "pooling": "mean", "weights": true, "slot": "pooled", "offset": 16},
{"table": "items", "input": "tags", "pooling": "sum", "add": -3, "padding": 0, "slot": "pooled", "offset": 24},
{"table": "users", "input": "ids", "pooling": "mean", "start": 0, "step": 2, "count": 3, "add": [0, 10, 20], "padding": -1, "weights": {"input": "scales", "start": 1, "step": 2}, "slot": "pooled", "offset": 8},
{"table": "items", "input": "ids", "pooling": "none", "start": 5, "step": -2, "count": 3, "slot": "stacked", "offset": 0},
{"table": "items", "input": "history", "pooling": "none", "start": 0, "step": 1, "count": "L", "padding": 0, "slot": "sequence", "offset": 0}
],
"dense": {"file": "dense.onnx", "xxh64": "00000000000000cc", "inputs": ["dense", "pooled", "sequence", "stacked", "ids"]},
"outputs": [
{"name": "score", "dtype": "f32", "shape": ["batch", 1]},
{"name": "embedding", "dtype": "f16", "shape": [null, "K", 7]}
],
"report": [{"level": "warn", "text": "one Gather stayed in the graph"}]
})";
}

// Fails unless `result` is an error of that code whose message holds `text`.
template <typename T>
void ExpectError(const Result<T>& result, ErrorCode code, std::string_view text = "") {
  ASSERT_FALSE(result.ok()) << "expected " << ErrorCodeName(code) << " but received success";
  EXPECT_EQ(ErrorCodeName(result.status().code()), ErrorCodeName(code))
      << result.status().message();
  EXPECT_NE(result.status().message().find(text), std::string::npos)
      << "expected \"" << text << "\" in: " << result.status().message();
}

}  // namespace gyrfalcon::testing

#endif  // GYRFALCON_TEST_NATIVE_BUNDLE_SUPPORT_H_
