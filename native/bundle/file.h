// A file descriptor and whole reads through it.
#ifndef GYRFALCON_BUNDLE_FILE_H_
#define GYRFALCON_BUNDLE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "core/status.h"

namespace gyrfalcon {

// Owns a descriptor. Move-only.
class File {
 public:
  File() = default;
  explicit File(int fd) : fd_(fd) {}
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  int fd() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// kIoError "<what> failed for <path>: <the system's reason>", from an errno value.
Status IoError(const std::string& what, const std::string& path, int error);

// Opens a regular file of the caller's own choosing for reading; symbolic links are followed.
// kIoError, also when it is not a regular file.
Result<File> OpenRegular(const std::string& path);

// Size of a file in bytes.
Result<uint64_t> FileSize(const File& file, const std::string& path);

// Fills `out` from `offset` on. kIoError when the file ends before that.
Status ReadExactly(const File& file, const std::string& path, uint64_t offset,
                   std::span<std::byte> out);

}  // namespace gyrfalcon

#endif  // GYRFALCON_BUNDLE_FILE_H_
