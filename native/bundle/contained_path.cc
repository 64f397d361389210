#include "bundle/contained_path.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <deque>
#include <utility>
#include <vector>

#include "bundle/allocation_guard.h"
#include "bundle/bundle.h"
#include "bundle/quote.h"

namespace gyrfalcon {
namespace {

// As many as Linux follows itself; ends cycles.
constexpr int kMaxLinks = 40;

std::vector<std::string> Split(std::string_view path) {
  std::vector<std::string> parts;
  while (true) {
    const size_t slash = path.find('/');
    parts.emplace_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    path.remove_prefix(slash + 1);
  }
}

// Walks from a directory down, one part at a time. ".." (which only links may hold) goes back to
// the directory that was opened on the way down, never to what the file system calls the parent.
class Walk {
 public:
  Walk(const std::string& dir, const std::string& file) : dir_(dir), file_(file) {
    for (std::string& part : Split(file)) pending_.push_back(std::move(part));
  }

  Result<ContainedFile> Run() {
    File root(open(dir_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root.valid()) {
      if (errno != ENOENT && errno != ENOTDIR) return IoError("opening", dir_, errno);
      return {ErrorCode::kBundleNotFound,
              "expected a bundle directory at " + Quote(dir_) + " but received none"};
    }
    levels_.push_back({std::move(root), ""});
    while (true) {
      if (pending_.empty()) return NotRegular();
      const std::string part = std::move(pending_.front());
      pending_.pop_front();
      if (part.empty() || part == ".") continue;
      if (part == "..") {
        if (levels_.size() == 1) return Escape();
        levels_.pop_back();
        continue;
      }
      Result<bool> linked = FollowLink(part);
      if (!linked.ok()) return linked.status();
      if (*linked) continue;
      if (pending_.empty()) return OpenLast(part);
      GYR_RETURN_IF_ERROR(Descend(part));
    }
  }

 private:
  struct Level {
    File directory;
    std::string name;
  };

  // Queues the parts of the symbolic link `part` ahead of the others. False when it is not a link.
  Result<bool> FollowLink(const std::string& part) {
    std::array<char, PATH_MAX> target;
    const ssize_t length =
        readlinkat(levels_.back().directory.fd(), part.c_str(), target.data(), target.size());
    if (length < 0) {
      if (errno == EINVAL) return false;
      return Missing(errno);
    }
    if (static_cast<size_t>(length) == target.size()) return Missing(ENAMETOOLONG);
    if (++links_ > kMaxLinks) return Missing(ELOOP);
    const std::string_view text(target.data(), static_cast<size_t>(length));
    if (text.starts_with('/')) return Escape();
    std::vector<std::string> parts = Split(text);
    while (!parts.empty()) {
      pending_.push_front(std::move(parts.back()));
      parts.pop_back();
    }
    return true;
  }

  // O_NOFOLLOW: should the part have become a link since FollowLink looked, this fails.
  Status Descend(const std::string& part) {
    File next(openat(levels_.back().directory.fd(), part.c_str(),
                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next.valid()) return Missing(errno);
    levels_.push_back({std::move(next), part});
    return Status::Ok();
  }

  Result<ContainedFile> OpenLast(const std::string& part) {
    // O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
    File file(openat(levels_.back().directory.fd(), part.c_str(),
                     O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file.valid()) return Missing(errno);
    struct stat info {};
    if (fstat(file.fd(), &info) != 0) return Missing(errno);
    if (!S_ISREG(info.st_mode)) return NotRegular();
    std::string path = dir_;
    for (const Level& level : levels_) {
      if (!level.name.empty()) path += "/" + level.name;
    }
    return ContainedFile{std::move(file), path + "/" + part};
  }

  Status Escape() const {
    return Status(ErrorCode::kPathEscape, "expected a path that stays inside the bundle for " +
                                              Quote(file_) +
                                              " but received a symbolic link that leaves it");
  }

  Status NotRegular() const {
    return Status(ErrorCode::kBundleInvalid,
                  "expected a regular file for " + Quote(file_) + " but received something else");
  }

  Status Missing(int error) const {
    if (error == ENOENT || error == ENOTDIR || error == ELOOP || error == ENAMETOOLONG) {
      return Status(ErrorCode::kBundleInvalid,
                    "expected the file " + Quote(file_) + " in the bundle but received none");
    }
    return IoError("opening", dir_ + "/" + file_, error);
  }

  const std::string& dir_;
  const std::string& file_;
  std::deque<std::string> pending_;
  std::vector<Level> levels_;  // the bundle's directory first
  int links_ = 0;
};

}  // namespace

bool IsContainedPath(std::string_view file) {
  if (file.find('\\') != std::string_view::npos || file.find('\0') != std::string_view::npos) {
    return false;
  }
  for (const std::string& part : Split(file)) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return true;
}

Result<ContainedFile> OpenContained(const std::string& dir, const std::string& file) {
  if (!IsContainedPath(file)) {
    return {ErrorCode::kPathEscape,
            "expected " + std::string(kContainedPathRule) + " but received " + Quote(file)};
  }
  return Walk(dir, file).Run();
}

Result<std::string> ContainedPath(const std::string& dir, const std::string& file) {
  return GuardAllocation([&]() -> Result<std::string> {
    Result<ContainedFile> opened = OpenContained(dir, file);
    if (!opened.ok()) return opened.status();
    return std::move(opened->path);
  });
}

}  // namespace gyrfalcon
