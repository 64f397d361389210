#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "engines/onnxruntime/onnx_guard.h"
#include "ort_support.h"

namespace gyrfalcon::testing {
namespace {

using onnx::Bytes;
using onnx::FloatTensor;
using onnx::Graph;
using onnx::GraphAttribute;
using onnx::Int;
using onnx::Model;
using onnx::Node;
using onnx::Tag;
using onnx::TensorHead;
using onnx::Varint;

constexpr ErrorCode kInvalid = ErrorCode::kOnnxInvalid;
constexpr ErrorCode kUnsupported = ErrorCode::kOnnxUnsupported;

std::string WithNode(const std::string& node) {
  Graph graph;
  graph.nodes = {node};
  return Model(graph);
}

std::string WithAttribute(const std::string& attribute) {
  return WithNode(Node("Constant", {}, {"y"}, {attribute}));
}

std::string WithTensor(const std::string& tensor) {
  Graph graph;
  graph.initializers = {tensor};
  return Model(graph);
}

std::string WithType(const std::string& type) {
  Graph graph;
  graph.inputs = {Bytes(1, "x") + Bytes(2, type)};
  return Model(graph);
}

std::string External(const std::string& location) {
  return TensorHead("w", 1, {1}) + Bytes(13, Bytes(1, "location") + Bytes(2, location)) +
         Int(14, 1);
}

// Graphs inside graphs; `leaf` is the innermost.
std::string Nested(int depth, const Graph& leaf = {}) {
  std::string graph = leaf.Encode();
  for (int i = 0; i < depth; ++i) {
    Graph outer;
    outer.nodes = {Node("If", {"c"}, {"y"}, {GraphAttribute("then_branch", graph)})};
    graph = outer.Encode();
  }
  return Model(graph);
}

// Sequences of sequences of … tensors.
std::string NestedType(int depth) {
  std::string type = onnx::TensorType(1, {2});
  for (int i = 0; i < depth; ++i) type = Bytes(4, Bytes(1, type));
  return type;
}

struct Attack {
  const char* name;
  std::string bytes;
  ErrorCode code;
  const char* says;
};

std::vector<Attack> Attacks() {
  Graph sparse;
  sparse.extra = Bytes(15, "");
  Graph leaf;
  leaf.initializers = {External("deep.bin")};
  Graph foreign;
  foreign.nodes = {Node("Evil", {}, {}, {}, "com.evil")};
  const std::string ff(64, '\xff');
  const std::string good_graph = Graph{}.Encode();
  return {
      // The wire format.
      {"an empty file", "", kInvalid, "no graph"},
      {"text", "#!/bin/sh\necho hello\n", kInvalid, "received"},
      {"zeros", std::string(64, '\0'), kInvalid, "field number 0"},
      {"ones", ff, kInvalid, "64 bits"},
      {"a varint of 11 bytes", Tag(1, 0) + ff.substr(0, 10) + '\1', kInvalid, "64 bits"},
      {"a varint of 65 bits", Tag(1, 0) + ff.substr(0, 9) + '\2', kInvalid, "64 bits"},
      {"a varint without an end", Tag(1, 0) + '\x80', kInvalid, "ends early"},
      {"a tag of 40 bits", Varint(uint64_t{1} << 40) + '\0', kInvalid, "29 bits"},
      {"a group", Tag(1, 3) + Tag(1, 4), kInvalid, "group"},
      {"an end of a group", Tag(1, 4), kInvalid, "group"},
      {"wire type 6", Tag(1, 6), kInvalid, "wire type"},
      {"wire type 7", Tag(1, 7), kInvalid, "wire type"},
      {"half a 32-bit field", Tag(99, 5) + "ab", kInvalid, "longer"},
      {"half a 64-bit field", Tag(99, 1) + "abcdef", kInvalid, "longer"},
      {"a length past the end", Tag(2, 2) + Varint(100) + "short", kInvalid, "longer"},
      {"a length of 2^63", Tag(2, 2) + Varint(uint64_t{1} << 63), kInvalid, "longer"},
      {"a length of 2^64 - 1", Tag(2, 2) + Varint(~uint64_t{0}), kInvalid, "longer"},
      {"a node longer than its graph", Model(Tag(1, 2) + Varint(50) + "xx"), kInvalid, "longer"},
      {"no graph", Int(1, 8) + Bytes(8, Bytes(1, "") + Int(2, 17)), kInvalid, "no graph"},
      {"a graph that is a number", Int(7, 1), kInvalid, "wrong type"},
      {"two graphs", Model(good_graph, Bytes(7, good_graph)), kInvalid, "twice"},
      {"a node that is a number", Model(Int(1, 3)), kInvalid, "wrong type"},
      {"an initializer that is 32 bits", Model(Tag(5, 5) + "abcd"), kInvalid, "wrong type"},
      {"a domain that is a number", WithNode(Bytes(4, "Add") + Int(7, 1)), kInvalid, "wrong type"},
      // External data.
      {"external data", WithTensor(External("weights.bin")), kUnsupported, "external data"},
      {"external data with an absolute path", WithTensor(External("/etc/passwd")), kUnsupported,
       "external data"},
      {"external data that climbs", WithTensor(External("../../secret")), kUnsupported,
       "external data"},
      {"external data at an address", WithTensor(External("*/_ORT_MEM_ADDR_/*")), kUnsupported,
       "external data"},
      {"a location alone", WithTensor(TensorHead("w", 1, {0}) + Int(14, 1)), kUnsupported,
       "external data"},
      {"an unknown location", WithTensor(TensorHead("w", 1, {0}) + Int(14, 7)), kUnsupported,
       "external data"},
      {"a location of the wrong type", WithTensor(TensorHead("w", 1, {0}) + Bytes(14, "\1")),
       kInvalid, "wrong type"},
      {"an external entry alone", WithTensor(TensorHead("w", 1, {0}) + Bytes(13, "")), kUnsupported,
       "external data"},
      {"external data beside inline data", WithTensor(FloatTensor("w", {1}, {1}) + Bytes(13, "")),
       kUnsupported, "external data"},
      {"external data in an attribute",
       WithAttribute(onnx::TensorAttribute("value", External("w.bin"))), kUnsupported,
       "external data"},
      {"external data in a list of tensors",
       WithAttribute(Bytes(1, "values") + Bytes(10, External("w.bin"))), kUnsupported,
       "external data"},
      {"external data in a subgraph", Nested(3, leaf), kUnsupported, "external data"},
      // Features that are refused.
      {"a sparse initializer", Model(sparse), kUnsupported, "sparse"},
      {"a sparse attribute", WithAttribute(Bytes(1, "s") + Bytes(22, "")), kUnsupported, "sparse"},
      {"sparse attributes", WithAttribute(Bytes(1, "s") + Bytes(23, "")), kUnsupported, "sparse"},
      {"a sparse type", WithType(Bytes(8, Int(1, 1))), kUnsupported, "sparse"},
      {"an opaque type", WithType(Bytes(7, Bytes(1, "d"))), kUnsupported, "opaque"},
      {"a function", Model(good_graph, Bytes(25, Bytes(1, "F"))), kUnsupported, "function"},
      {"training information", Model(good_graph, Bytes(20, "")), kUnsupported, "training"},
      {"a segmented tensor", WithTensor(TensorHead("w", 1, {0}) + Bytes(3, "")), kUnsupported,
       "segments"},
      {"a custom domain", WithNode(Node("Op", {}, {}, {}, "com.example")), kUnsupported,
       "\"com.example\""},
      {"com.microsoft", WithNode(Node("EPContext", {}, {}, {}, "com.microsoft")), kUnsupported,
       "\"com.microsoft\""},
      {"ai.onnx.ml", WithNode(Node("TreeEnsemble", {}, {}, {}, "ai.onnx.ml")), kUnsupported,
       "\"ai.onnx.ml\""},
      {"ai.onnx with a NUL", WithNode(Node("Add", {}, {}, {}, std::string_view("ai.onnx\0x", 9))),
       kUnsupported, "domain"},
      {"a domain before the right one", WithNode(Node("Op", {}, {}, {}, "evil") + Bytes(7, "")),
       kUnsupported, "\"evil\""},
      {"a custom domain in a subgraph", Nested(2, foreign), kUnsupported, "\"com.evil\""},
      {"a subgraph five deep", Nested(5), kUnsupported, "nested more than 4"},
      {"a subgraph a hundred deep", Nested(100), kUnsupported, "nested more than 4"},
      {"types thirty deep", WithType(NestedType(30)), kUnsupported, "nested too deep"},
      // Tensors that promise more than they hold.
      {"elements without data", WithTensor(TensorHead("w", 1, {1000})), kInvalid, "more elements"},
      {"2^62 elements", WithTensor(FloatTensor("w", {int64_t{1} << 31, int64_t{1} << 31}, {1})),
       kInvalid, "more elements"},
      {"2^93 elements",
       WithTensor(FloatTensor("w", {int64_t{1} << 31, int64_t{1} << 31, int64_t{1} << 31}, {1})),
       kInvalid, "more elements"},
      {"a negative dimension", WithTensor(FloatTensor("w", {-1}, {1})), kInvalid, "negative"},
      {"packed dims", WithTensor(Bytes(1, Varint(1000) + Varint(1000)) + Int(2, 1)), kInvalid,
       "more elements"},
      {"packed dims that end early", WithTensor(Bytes(1, "\x80") + Int(2, 1)), kInvalid,
       "ends early"},
      {"dims of the wrong type", WithTensor(Tag(1, 5) + "abcd"), kInvalid, "wrong type"},
      {"an attribute of two halves",
       WithAttribute(onnx::TensorAttribute("v", FloatTensor("", {1}, {1})) +
                     Bytes(5, FloatTensor("", {1}, {1}))),
       kInvalid, "twice"},
  };
}

TEST(OnnxGuardTest, RefusesAttacks) {
  for (const Attack& attack : Attacks()) {
    SCOPED_TRACE(attack.name);
    const Status status = CheckOnnxBytes(onnx::AsBytes(attack.bytes));
    EXPECT_EQ(status.code(), attack.code) << status.message();
    EXPECT_NE(status.message().find(attack.says), std::string::npos) << status.message();
    // The engine says the same, so ONNX Runtime has not seen the bytes.
    const Status loading = Load(attack.bytes).status();
    EXPECT_EQ(loading.code(), status.code());
    EXPECT_EQ(loading.message(), status.message());
  }
}

TEST(OnnxGuardTest, AllowsTheOtherSideOfEachRule) {
  Graph domains;
  domains.nodes = {Node("Neg", {"x"}, {"y"}), Node("Neg", {"y"}, {"z"}, {}, "ai.onnx")};
  domains.inputs = {onnx::Value("x", Dtype::kF32, {2})};
  domains.outputs = {onnx::Value("z", Dtype::kF32, {2})};
  const std::pair<const char*, std::string> cases[] = {
      {"the default domain by both names", Model(domains)},
      {"an unused import of another domain",
       Model(domains.Encode(), Bytes(8, Bytes(1, "ai.onnx.ml") + Int(2, 3)))},
      {"a subgraph four deep", Nested(4)},
      {"types ten deep", WithType(NestedType(10))},
      {"an unknown field of each wire type",
       Model(domains.Encode(),
             Int(1000, 5) + Bytes(1001, "?") + Tag(1002, 1) + "12345678" + Tag(1003, 5) + "1234")},
      {"the default location", WithTensor(FloatTensor("w", {1}, {1}) + Int(14, 0))},
      {"a tensor without elements", WithTensor(TensorHead("w", 1, {0, int64_t{1} << 62}))},
      {"a scalar", WithTensor(FloatTensor("w", {}, {1}))},
      {"packed dims",
       WithTensor(Bytes(1, Varint(2) + Varint(2)) + Int(2, 1) + Bytes(9, std::string(16, '\0')))},
      {"empty strings",
       WithTensor(TensorHead("w", 8, {3}) + Bytes(6, "") + Bytes(6, "") + Bytes(6, ""))},
      {"four-bit elements",
       WithTensor(TensorHead("w", 22, {9}) + Bytes(9, std::string(5, '\x11')))},
  };
  for (const auto& [name, bytes] : cases) {
    const Status status = CheckOnnxBytes(onnx::AsBytes(bytes));
    EXPECT_TRUE(status.ok()) << name << ": " << status.message();
  }
  EXPECT_TRUE(Load(Model(domains)).ok());
}

TEST(OnnxGuardTest, EveryTruncationIsAnError) {
  const std::string model = onnx::DenseLayer(4, 3);
  ASSERT_TRUE(CheckOnnxBytes(onnx::AsBytes(model)).ok());
  for (size_t size = 0; size < model.size(); ++size) {
    // A buffer of exactly this size, so that a sanitizer sees a read past it.
    const std::vector<std::byte> cut(reinterpret_cast<const std::byte*>(model.data()),
                                     reinterpret_cast<const std::byte*>(model.data()) + size);
    EXPECT_EQ(CheckOnnxBytes(cut).code(), kInvalid) << size;
  }
}

// Whatever passes the guard is safe to load: an engine or an error.
TEST(OnnxGuardTest, ChangedBytesAreAnEngineOrAnError) {
  const std::string model = onnx::DenseLayer(2, 2);
  std::mt19937_64 random(7);
  int passed = 0;
  int loaded = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string changed = model;
    const int changes = 1 + static_cast<int>(random() % 3);
    for (int c = 0; c < changes; ++c) {
      changed[random() % changed.size()] = static_cast<char>(random());
    }
    if (!CheckOnnxBytes(onnx::AsBytes(changed)).ok()) continue;
    ++passed;
    Result<std::shared_ptr<Engine>> engine = Load(changed);
    if (engine.ok()) {
      ++loaded;
    } else {
      EXPECT_FALSE(engine.status().message().empty());
    }
  }
  EXPECT_GT(passed, 100);
  EXPECT_GT(loaded, 10);
}

// The guard alone, many times over.
TEST(OnnxGuardTest, NoInputReadsOutside) {
  const std::string model = Nested(3);
  std::mt19937_64 random(11);
  std::vector<int> codes(kErrorCodeNames.size());
  for (int i = 0; i < 200000; ++i) {
    std::vector<std::byte> bytes;
    for (const char c : model) bytes.push_back(static_cast<std::byte>(c));
    bytes.resize(random() % 4 == 0 ? random() % (bytes.size() + 1) : bytes.size());
    for (size_t c = random() % 6; c > 0 && !bytes.empty(); --c) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    }
    bytes.shrink_to_fit();
    ++codes[static_cast<size_t>(CheckOnnxBytes(bytes).code())];
  }
  EXPECT_GT(codes[static_cast<size_t>(ErrorCode::kOk)], 0);
  EXPECT_GT(codes[static_cast<size_t>(kInvalid)], 0);
  EXPECT_GT(codes[static_cast<size_t>(kUnsupported)], 0);
  EXPECT_EQ(codes[static_cast<size_t>(ErrorCode::kInternal)], 0);
}

}  // namespace
}  // namespace gyrfalcon::testing
