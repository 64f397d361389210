#include "cusim/driver/fatbin.h"

#include <cstdint>
#include <cstring>

namespace cusim {
namespace {

constexpr uint32_t kMagic = 0xba55ed50;
constexpr uint16_t kPtx = 1;

struct FileHeader {
  uint32_t magic;
  uint16_t version;
  uint16_t header_bytes;
  uint64_t bytes;  // behind the header
};

// The begin of each entry.
struct EntryHeader {
  uint16_t kind;
  uint16_t version;
  uint32_t header_bytes;
  uint64_t bytes;  // behind the header
  uint32_t compressed_bytes;
  uint32_t options;
  uint16_t minor;
  uint16_t major;
  uint32_t capability;
};

}  // namespace

CUresult FindPtx(const void* image, int capability, std::string_view* ptx) {
  const auto* at = static_cast<const char*>(image);
  FileHeader file{};
  std::memcpy(&file.magic, at, sizeof(file.magic));
  if (file.magic != kMagic) {
    const std::string_view text(at);
    if (text.find(".version") == std::string_view::npos) return CUDA_ERROR_INVALID_IMAGE;
    *ptx = text;
    return CUDA_SUCCESS;
  }
  std::memcpy(&file, at, sizeof(file));
  at += file.header_bytes;
  const char* const end = at + file.bytes;
  int best = -1;
  while (end - at >= static_cast<std::ptrdiff_t>(sizeof(EntryHeader))) {
    EntryHeader entry{};
    std::memcpy(&entry, at, sizeof(entry));
    const auto room = static_cast<uint64_t>(end - at);
    if (entry.header_bytes < sizeof(entry) || entry.header_bytes > room ||
        entry.bytes > room - entry.header_bytes) {
      return CUDA_ERROR_INVALID_IMAGE;
    }
    const std::string_view payload(at + entry.header_bytes, entry.bytes);
    at += entry.header_bytes + entry.bytes;
    const auto of = static_cast<int>(entry.capability);
    if (entry.kind != kPtx || entry.compressed_bytes != 0 || of > capability || of <= best) continue;
    best = of;
    *ptx = payload.substr(0, payload.find('\0'));
  }
  return best < 0 ? CUDA_ERROR_NO_BINARY_FOR_GPU : CUDA_SUCCESS;
}

}  // namespace cusim
