// The files of a bundle that are read whole: the manifest and the dense graph.
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "bundle/allocation_guard.h"
#include "bundle/bundle.h"
#include "bundle/contained_path.h"
#include "bundle/file.h"
#include "bundle/hex.h"
#include "bundle/quote.h"
#include "core/limits.h"
#include "core/xxh64.h"

namespace gyrfalcon {
namespace {

// Reads a file of at most `max_bytes` into a container of bytes or chars.
template <typename Bytes>
Status ReadWhole(const ContainedFile& opened, size_t max_bytes, Bytes* bytes) {
  const Result<uint64_t> size = FileSize(opened.file, opened.path);
  if (!size.ok()) return size.status();
  if (size.value() > max_bytes) {
    return Status(ErrorCode::kLimitExceeded, "expected at most " + std::to_string(max_bytes) +
                                                 " bytes for " + Quote(opened.path) +
                                                 " but received " + std::to_string(size.value()));
  }
  bytes->resize(static_cast<size_t>(size.value()));
  return ReadExactly(opened.file, opened.path, 0, std::as_writable_bytes(std::span(*bytes)));
}

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::symlink_status(path, error).type() !=
         std::filesystem::file_type::not_found;
}

Result<ModelSpec> ReadManifestFile(const std::string& dir) {
  const Result<ContainedFile> opened = OpenContained(dir, "model.json");
  if (!opened.ok()) {
    if (opened.status().code() != ErrorCode::kBundleInvalid || Exists(dir + "/model.json")) {
      return opened.status();
    }
    return {ErrorCode::kBundleNotFound,
            "expected a bundle at " + Quote(dir) + " but received a directory without model.json"};
  }
  std::string text;
  GYR_RETURN_IF_ERROR(ReadWhole(opened.value(), limits::kMaxManifestBytes, &text));
  return ParseManifest(text);
}

Result<std::vector<std::byte>> ReadChecked(const std::string& dir, const std::string& file,
                                           uint64_t xxh64, size_t max_bytes) {
  const Result<ContainedFile> opened = OpenContained(dir, file);
  if (!opened.ok()) return opened.status();
  std::vector<std::byte> bytes;
  GYR_RETURN_IF_ERROR(ReadWhole(opened.value(), max_bytes, &bytes));
  Xxh64 hash;
  hash.Update(bytes);
  if (hash.Digest() != xxh64) {
    return {ErrorCode::kChecksumMismatch, "expected XXH64 " + Hex64(xxh64) + " for " + Quote(file) +
                                              " but received " + Hex64(hash.Digest())};
  }
  return bytes;
}

}  // namespace

Result<ModelSpec> ReadManifest(const std::string& dir) {
  return GuardAllocation([&] { return ReadManifestFile(dir); });
}

Result<std::vector<std::byte>> ReadBundleFile(const std::string& dir, const std::string& file,
                                              uint64_t xxh64, size_t max_bytes) {
  return GuardAllocation([&] { return ReadChecked(dir, file, xxh64, max_bytes); });
}

}  // namespace gyrfalcon
