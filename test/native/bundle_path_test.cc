// No path in a bundle leaves its directory: names, symbolic links, and what is no regular file.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/bundle.h"
#include "bundle_support.h"

namespace gyrfalcon {
namespace {

namespace fs = std::filesystem;
using std::string_literals::operator""s;
using testing::ExpectError;

using testing::TempDir;
using testing::WriteFile;

constexpr ErrorCode kEscape = ErrorCode::kPathEscape;

// root/bundle with files in it, root/outside with a secret, root/bundle-2 whose name begins alike.
class BundlePath : public ::testing::Test {
 protected:
  BundlePath() : bundle_(root_ / "bundle") {
    WriteFile(bundle_ + "/file", "inside");
    WriteFile(bundle_ + "/tables/0", "table");
    WriteFile(bundle_ + "/tables/deep/er/1", "deep");
    WriteFile(root_ / "outside/secret", "secret");
    WriteFile(root_ / "bundle-2/secret", "secret");
  }

  void Link(const std::string& name, const std::string& target) {
    fs::create_symlink(target, bundle_ + "/" + name);
  }

  Result<std::string> Find(const std::string& file) { return ContainedPath(bundle_, file); }

  TempDir root_;
  std::string bundle_;
};

TEST_F(BundlePath, OfFilesInsideIsFound) {
  for (const char* file : {"file", "tables/0", "tables/deep/er/1"}) {
    const auto path = Find(file);
    ASSERT_TRUE(path.ok()) << path.status().message();
    EXPECT_EQ(path.value(), bundle_ + "/" + file);
  }
}

TEST_F(BundlePath, OfUnusualButHarmlessNamesIsFound) {
  for (const char* file : {"...", "..a", "a..", ".hidden", "a b", "tables/..x/y", "ta:ble", "~",
                           "%2e%2e", "\xC3\xA9"}) {
    WriteFile(bundle_ + "/" + file, "x");
    EXPECT_TRUE(Find(file).ok()) << file;
  }
}

TEST_F(BundlePath, NeverLeavesByName) {
  const std::vector<std::string> names = {
      "",
      ".",
      "..",
      "/",
      "//",
      "./file",
      "file/",
      "file/.",
      "file/..",
      "../outside/secret",
      "../bundle/file",
      "../bundle-2/secret",
      "tables/../file",
      "tables/../../outside/secret",
      "tables/deep/../../../outside/secret",
      "tables//0",
      "//tables/0",
      "tables/./0",
      "tables/0/",
      "/etc/passwd",
      root_ / "outside/secret",
      bundle_ + "/file",
      "..\\outside\\secret",
      "tables\\0",
      "\\file",
      "C:\\secret",
      "tables/..\\..\\outside",
      "file\0"s,
      "\0file"s,
      "file\0/../../outside/secret"s,
      "..\0"s,
      "\0"s,
      "../",
      "../../../../../../../../etc/passwd",
      "tables/..",
      "tables/deep/..",
      " /../file",
      "...//file",
      "file//",
      "/file",
  };
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    ExpectError(Find(name), kEscape);
    ExpectError(ReadBundleFile(bundle_, name, 0, 100), kEscape);
  }
}

TEST_F(BundlePath, NeverLeavesByALink) {
  fs::create_directory_symlink("..", bundle_ + "/up");
  fs::create_directory_symlink("up", bundle_ + "/up-again");
  fs::create_directory_symlink("tables/deep/../../..", bundle_ + "/long-way-up");
  Link("secret", "../outside/secret");
  Link("sibling", "../bundle-2/secret");
  Link("absolute", root_ / "outside/secret");
  Link("absolute-inside", bundle_ + "/file");
  Link("root", "/");
  Link("there-and-back", "../bundle/file");
  Link("tables/climb", "../../outside/secret");
  Link("tables/deep/climb", "../../../outside/secret");
  Link("hop", "tables/climb");
  Link("dots", "./.././outside/./secret");
  Link("slashes", "..//outside//secret");
  Link("parent", "..");
  Link("proc", "/proc/self/root/etc/passwd");
  Link("nowhere", "../does-not-exist");
  Link("dot-link", "tables/..//../outside/secret");
  for (const char* name : {"up/outside/secret",
                           "up-again/outside/secret",
                           "long-way-up/outside/secret",
                           "secret",
                           "sibling",
                           "absolute",
                           "absolute-inside",
                           "root/etc/passwd",
                           "there-and-back",
                           "tables/climb",
                           "tables/deep/climb",
                           "hop",
                           "dots",
                           "slashes",
                           "parent",
                           "proc",
                           "nowhere",
                           "up/bundle/file",
                           "dot-link",
                           "parent/outside/secret"}) {
    SCOPED_TRACE(name);
    ExpectError(Find(name), kEscape, "symbolic link");
    ExpectError(ReadBundleFile(bundle_, name, 0, 100), kEscape);
  }
}

TEST_F(BundlePath, MayUseLinksThatStayInside) {
  Link("alias", "file");
  Link("tables/back", "../file");
  Link("directory", "tables/deep");
  Link("chain", "alias");
  Link("dotted", "./tables/./deep/../0");
  Link("directory-up", "tables/deep/..");
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"alias", "file"}, {"tables/back", "file"}, {"directory/er/1", "tables/deep/er/1"},
      {"chain", "file"}, {"dotted", "tables/0"},  {"directory-up/0", "tables/0"},
  };
  for (const auto& [name, target] : cases) {
    const auto path = Find(name);
    ASSERT_TRUE(path.ok()) << name << ": " << path.status().message();
    EXPECT_EQ(path.value(), bundle_ + "/" + target);
  }
}

TEST_F(BundlePath, OfTheBundleItselfMayBeALink) {
  fs::create_directory_symlink("bundle", root_ / "current");
  EXPECT_TRUE(ContainedPath(root_ / "current", "tables/0").ok());
}

TEST_F(BundlePath, EndsLinksThatNeverEnd) {
  Link("self", "self");
  Link("ping", "pong");
  Link("pong", "ping");
  Link("grow", "grow/x");
  for (const char* name : {"self", "ping", "grow", "self/file"}) {
    ExpectError(Find(name), ErrorCode::kBundleInvalid, name);
  }
  Link("l0", "file");
  for (int i = 1; i <= 40; ++i) Link("l" + std::to_string(i), "l" + std::to_string(i - 1));
  EXPECT_TRUE(Find("l39").ok());
  ExpectError(Find("l40"), ErrorCode::kBundleInvalid);
}

TEST_F(BundlePath, OfWhatIsNoRegularFileIsInvalid) {
  ASSERT_EQ(mkfifo((bundle_ + "/fifo").c_str(), 0600), 0);
  Link("to-fifo", "fifo");
  Link("here", ".");
  for (const char* name : {"tables", "fifo", "to-fifo", "here"}) {
    SCOPED_TRACE(name);
    ExpectError(Find(name), ErrorCode::kBundleInvalid, name);
  }
}

TEST_F(BundlePath, OfWhatDoesNotExistIsInvalid) {
  Link("dangling", "gone");
  for (const std::string& name : {"none"s, "none/0"s, "file/0"s, "tables/1"s, "dangling"s,
                                  std::string(256, 'n'), std::string(5000, 'n')}) {
    SCOPED_TRACE(name);
    ExpectError(Find(name), ErrorCode::kBundleInvalid);
  }
}

TEST_F(BundlePath, OfABundleThatDoesNotExistIsNotFound) {
  ExpectError(ContainedPath(root_ / "none", "file"), ErrorCode::kBundleNotFound);
  ExpectError(ContainedPath(bundle_ + "/file", "file"), ErrorCode::kBundleNotFound);
  ExpectError(ContainedPath("", "file"), ErrorCode::kBundleNotFound);
}

TEST_F(BundlePath, LeavesNoDescriptorOpen) {
  Link("up", "../outside/secret");
  const auto count = [] {
    const auto entries = fs::directory_iterator("/dev/fd");
    return std::distance(fs::begin(entries), fs::end(entries));
  };
  const auto before = count();
  for (int i = 0; i < 50; ++i) {
    (void)Find("tables/deep/er/1").ok();
    (void)Find("tables/deep/er/none").ok();
    (void)Find("up").ok();
    (void)Find("tables/deep").ok();
  }
  EXPECT_EQ(count(), before);
}

TEST_F(BundlePath, DeepLinksAreBoundedInTime) {
  // Each link doubles the number of parts: followed without a bound they would be 2^60 steps.
  fs::create_directory_symlink(".", bundle_ + "/d0");
  for (int i = 1; i <= 60; ++i) {
    const std::string below = "d" + std::to_string(i - 1);
    fs::create_directory_symlink(below + "/" + below, bundle_ + "/d" + std::to_string(i));
  }
  ExpectError(Find("d60/file"), ErrorCode::kBundleInvalid);
}

}  // namespace
}  // namespace gyrfalcon
