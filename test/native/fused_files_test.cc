// Attacks on the file of a fused graph's weights.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "bundle_support.h"
#include "fused_attacks.h"

namespace gyrfalcon::fused {
namespace {

using gyrfalcon::testing::ExpectError;
using gyrfalcon::testing::HashOf;
using gyrfalcon::testing::Padded;
using gyrfalcon::testing::Safetensors;
using gyrfalcon::testing::TempDir;
using gyrfalcon::testing::WriteFile;
using testing::kInvalid;

class FusedFiles : public ::testing::Test {
 protected:
  static constexpr const char* kGraph =
      R"({"format":"gyrfalcon-fused","version":1,"inputs":[{"name":"x","dtype":"f32","shape":["batch",2]}],)"
      R"("constants":[{"name":"w","shape":[2,3]},{"name":"b","shape":[3]}],)"
      R"("nodes":[{"op":"linear","in":[0,1],"bias":2}],)"
      R"("outputs":[{"name":"y","value":3,"shape":["batch",3]}]})";

  void SetUp() override {
    const std::vector<float> numbers = {1, 2, 3, 4, 5, 6, 10, 20, 30};
    data_.assign(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(float));
  }

  static std::string Header(const std::string& w, const std::string& b,
                            const std::string& more = "") {
    return Padded(R"({"w":)" + w + R"(,"b":)" + b + more + "}");
  }
  static std::string Tensor(const std::string& dtype, const std::string& shape, size_t begin,
                            size_t end) {
    return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":[)" +
           std::to_string(begin) + "," + std::to_string(end) + "]}";
  }
  std::string GoodHeader() const {
    return Header(Tensor("F32", "[2,3]", 0, 24), Tensor("F32", "[3]", 24, 36));
  }

  Result<LoadedGraph> Load(const std::string& header, const std::string& data) {
    WriteFile(dir_ / "fused.json", kGraph);
    WriteFile(dir_ / "fused.safetensors", Safetensors(header, data));
    return Open(HashOf(data));
  }
  Result<LoadedGraph> Open(uint64_t hash) {
    return LoadGraph(dir_.path(), {"fused.json", HashOf(kGraph), "fused.safetensors", hash}, {});
  }

  TempDir dir_;
  std::string data_;
};

TEST_F(FusedFiles, GiveTheConstantsOnTheirOwnLines) {
  Result<LoadedGraph> loaded = Load(GoodHeader(), data_);
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  for (const GraphConstant& constant : loaded->graph.constants) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(constant.data) % 64, 0u) << constant.name;
  }
  EXPECT_EQ(loaded->graph.constants[0].data[5], 6.0f);
  EXPECT_EQ(loaded->graph.constants[1].data[2], 30.0f);
  // Tensors that the graph does not name are a part of the checksum alone.
  const std::string more(300000, '\1');
  loaded = Load(Header(Tensor("F32", "[2,3]", 0, 24), Tensor("F32", "[3]", 24, 36),
                       R"(,"more":)" + Tensor("U8", "[300000]", 36, 300036)),
                data_ + more);
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  EXPECT_EQ(loaded->graph.constants[1].data[0], 10.0f);
}

TEST_F(FusedFiles, WhoseTensorsAreNotThoseOfTheGraphAreRefused) {
  const std::string b = Tensor("F32", "[3]", 24, 36);
  ExpectError(Load(Header(Tensor("F32", "[3,2]", 0, 24), b), data_), kInvalid, "\"w\"");
  ExpectError(Load(Header(Tensor("F32", "[6]", 0, 24), b), data_), kInvalid, "\"w\"");
  ExpectError(Load(Header(Tensor("I32", "[2,3]", 0, 24), b), data_), kInvalid, "\"w\"");
  ExpectError(Load(Header(Tensor("F16", "[4,3]", 0, 24), b), data_), kInvalid, "\"w\"");
  ExpectError(
      Load(Padded(R"({"v":)" + Tensor("F32", "[2,3]", 0, 24) + R"(,"b":)" + b + "}"), data_),
      kInvalid, "\"w\"");
  // Overlap, a hole, an end behind the data, data behind the end.
  ExpectError(Load(Header(Tensor("F32", "[2,3]", 0, 24), Tensor("F32", "[3]", 20, 32)), data_),
              kInvalid);
  ExpectError(Load(Header(Tensor("F32", "[2,3]", 0, 24), Tensor("F32", "[3]", 28, 40)), data_),
              kInvalid);
  ExpectError(Load(Header(Tensor("F32", "[2,3]", 0, 24), Tensor("F32", "[3]", 24, 40)), data_),
              kInvalid);
  ExpectError(Load(GoodHeader(), data_ + "more"), kInvalid);
  ExpectError(Load(GoodHeader(), data_.substr(0, 35)), kInvalid);
  ExpectError(Load("{}", ""), kInvalid, "\"w\"");
}

TEST_F(FusedFiles, ThatWereChangedAreRefused) {
  ASSERT_TRUE(Load(GoodHeader(), data_).ok());
  for (size_t at = 0; at < data_.size(); at += 5) {
    std::string changed = data_;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    WriteFile(dir_ / "fused.safetensors", Safetensors(GoodHeader(), changed));
    ExpectError(Open(HashOf(data_)), ErrorCode::kChecksumMismatch, "fused.safetensors");
  }
  // The right bytes for another tensor.
  const std::string swapped = Header(Tensor("F32", "[2,3]", 12, 36), Tensor("F32", "[3]", 0, 12));
  EXPECT_TRUE(Load(swapped, data_).ok()) << "the header is not a part of the checksum";
  WriteFile(dir_ / "fused.json", std::string(kGraph) + " ");
  ExpectError(Open(HashOf(data_)), ErrorCode::kChecksumMismatch, "fused.json");
}

TEST_F(FusedFiles, TruncatedAnywhereAreRefused) {
  const std::string file = Safetensors(GoodHeader(), data_);
  WriteFile(dir_ / "fused.json", kGraph);
  for (size_t size = 0; size < file.size(); size += 3) {
    WriteFile(dir_ / "fused.safetensors", file.substr(0, size));
    EXPECT_FALSE(Open(HashOf(data_)).ok()) << size;
  }
  std::filesystem::remove(dir_ / "fused.safetensors");
  ExpectError(Open(HashOf(data_)), kInvalid, "fused.safetensors");
}

TEST_F(FusedFiles, MayBeReplacedOnceTheyAreRead) {
  Result<LoadedGraph> loaded = Load(GoodHeader(), data_);
  ASSERT_TRUE(loaded.ok());
  WriteFile(dir_ / "fused.safetensors", "");  // truncated in place: nothing is mapped
  std::filesystem::remove(dir_ / "fused.json");
  Result<std::shared_ptr<Engine>> engine = CreateFusedEngine(std::move(loaded).value(), {});
  ASSERT_TRUE(engine.ok());
  std::vector<float> memory = {1.0f, -1.0f};
  EngineBinding x;
  x.name = "x";
  x.dims = {EngineBinding::kRows, 2};
  x.data = memory.data();
  x.bytes = memory.size() * sizeof(float);
  const Result<std::vector<EngineOutput>> once = (*engine)->RunOnce({x}, 1);
  ASSERT_TRUE(once.ok()) << once.status().message();
  std::vector<float> y(3);
  std::memcpy(y.data(), once.value()[0].data.data(), y.size() * sizeof(float));
  EXPECT_EQ(y, (std::vector<float>{7.0f, 17.0f, 27.0f}));
}

TEST_F(FusedFiles, OutsideOfTheBundleAreRefused) {
  ASSERT_TRUE(Load(GoodHeader(), data_).ok());
  std::filesystem::create_directory(dir_ / "inner");
  for (const char* const name :
       {"../fused.safetensors", "/etc/hostname", "..", "", "inner", "a/../../x"}) {
    const Result<LoadedGraph> escaped =
        LoadGraph(dir_ / "inner", {"fused.json", HashOf(kGraph), name, HashOf(data_)}, {});
    EXPECT_FALSE(escaped.ok()) << name;
  }
  WriteFile(dir_ / "inner/fused.json", kGraph);
  std::filesystem::create_symlink("../fused.safetensors", dir_ / "inner/w");
  ExpectError(LoadGraph(dir_ / "inner", {"fused.json", HashOf(kGraph), "w", HashOf(data_)}, {}),
              ErrorCode::kPathEscape);
}

}  // namespace
}  // namespace gyrfalcon::fused
