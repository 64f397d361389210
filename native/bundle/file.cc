#include "bundle/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "bundle/quote.h"

namespace gyrfalcon {
namespace {

// Some systems refuse a read of more than INT_MAX bytes.
constexpr size_t kMaxReadBytes = size_t{1} << 30;

}  // namespace

File::~File() {
  if (fd_ >= 0) close(fd_);
}

Status IoError(const std::string& what, const std::string& path, int error) {
  return Status(ErrorCode::kIoError, what + " failed for " + Quote(path) + ": " +
                                         std::generic_category().message(error));
}

Result<File> OpenRegular(const std::string& path) {
  // O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
  File file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) return IoError("opening", path, errno);
  struct stat info {};
  if (fstat(file.fd(), &info) != 0) return IoError("examining", path, errno);
  if (!S_ISREG(info.st_mode)) {
    return {ErrorCode::kIoError,
            "expected a regular file for " + Quote(path) + " but received something else"};
  }
  return file;
}

Result<uint64_t> FileSize(const File& file, const std::string& path) {
  struct stat info {};
  if (fstat(file.fd(), &info) != 0) return IoError("examining", path, errno);
  return static_cast<uint64_t>(info.st_size);
}

Status ReadExactly(const File& file, const std::string& path, uint64_t offset,
                   std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t got = pread(file.fd(), out.data(), std::min(out.size(), kMaxReadBytes),
                              static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return IoError("reading", path, errno);
    if (got == 0) {
      return Status(ErrorCode::kIoError, "expected " + std::to_string(out.size()) +
                                             " more bytes at offset " + std::to_string(offset) +
                                             " of " + Quote(path) +
                                             " but received the end of the file");
    }
    out = out.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return Status::Ok();
}

}  // namespace gyrfalcon
