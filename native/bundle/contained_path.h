// Files of a bundle, opened so that no name and no symbolic link leads out of its directory.
#ifndef GYRFALCON_BUNDLE_CONTAINED_PATH_H_
#define GYRFALCON_BUNDLE_CONTAINED_PATH_H_

#include <string>
#include <string_view>

#include "bundle/file.h"
#include "core/status.h"

namespace gyrfalcon {

inline constexpr std::string_view kContainedPathRule =
    "a relative path of parts divided by '/', none of them empty, '.' or '..', without "
    "backslash and NUL";

// Whether `file` keeps kContainedPathRule. Says nothing about symbolic links.
bool IsContainedPath(std::string_view file);

// A bundle's file and where it was found.
struct ContainedFile {
  File file;
  std::string path;  // dir, then the real parts below it; for messages and for ContainedPath
};

// Opens the regular file `file` under `dir` for reading. Every part is opened relative to the part
// before it and symbolic links are followed here, one by one, so the file that was checked is the
// file that is read, whatever is renamed meanwhile.
//
// kPathEscape: the name breaks the rule, or a symbolic link is absolute or climbs out of `dir`.
// kBundleNotFound: `dir` is not a directory. kBundleInvalid: no such file, or not a regular one.
// kIoError: the system refused.
Result<ContainedFile> OpenContained(const std::string& dir, const std::string& file);

}  // namespace gyrfalcon

#endif  // GYRFALCON_BUNDLE_CONTAINED_PATH_H_
