// Named attacks on fused.json, each one edit away from a good graph, each with its code and the
// place that the message has to name; and on the file of its weights.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bundle_support.h"
#include "engines/fused/fused_engine.h"
#include "engines/fused/graph_reader.h"
#include "engines/fused/pair_tiles.h"
#include "engines/fused/shapes.h"

namespace gyrfalcon::fused {
namespace {

using gyrfalcon::testing::Edit;
using gyrfalcon::testing::ExpectError;
using gyrfalcon::testing::HashOf;
using gyrfalcon::testing::Padded;
using gyrfalcon::testing::Safetensors;
using gyrfalcon::testing::TempDir;
using gyrfalcon::testing::WriteFile;

constexpr ErrorCode kInvalid = ErrorCode::kBundleInvalid;
constexpr ErrorCode kLimit = ErrorCode::kLimitExceeded;

// Every operator and every key. Values: inputs 0 … 3, constants 4 … 9, nodes from 10 on.
std::string GoodGraph() {
  return R"({
"format": "gyrfalcon-fused", "version": 1,
"inputs": [
{"name": "x", "dtype": "f32", "shape": ["batch", 4]},
{"name": "h", "dtype": "i64", "shape": ["batch", "L", 4]},
{"name": "m", "dtype": "bool", "shape": ["batch", 1]},
{"name": "s", "dtype": "f32", "shape": [4]}
],
"constants": [
{"name": "w", "shape": [4, 3]},
{"name": "b", "shape": [3]},
{"name": "g", "shape": [4]},
{"name": "one", "shape": [1]},
{"name": "k", "shape": [4, 4]},
{"name": "scalar", "shape": []}
],
"nodes": [
{"op": "linear", "in": [0, 4], "bias": 5, "act": {"fn": "relu"}, "mul": 2, "add": 5, "post": {"fn": "prelu", "slope": 7}},
{"op": "matmul", "in": [1, 8], "ta": false, "tb": true, "scale": 0.5},
{"op": "reshape", "in": [0], "shape": [1, -1]},
{"op": "pairwise_dot", "in": [1, 12], "pairs": [0, 1, 3, 3]},
{"op": "unary", "in": [0], "act": {"fn": "dice", "scale": 6, "shift": 6, "alpha": 6}},
{"op": "binary", "in": [0, 14], "fn": "max", "act": {"fn": "clip", "min": 0, "max": 6}},
{"op": "where", "in": [2, 15, 3]},
{"op": "reduce", "in": [11], "fn": "logsumexp", "axes": [0, 1], "keep": false},
{"op": "softmax", "in": [11], "axis": 0, "log": true},
{"op": "layer_norm", "in": [18], "axes": 1, "eps": 0.00001, "gamma": 6, "beta": 6, "rms": false},
{"op": "concat", "in": [16, 3, 10], "axis": 0},
{"op": "slice", "in": [20], "axis": 0, "start": -1, "step": -2, "size": 5},
{"op": "gather", "in": [20], "axis": 0, "indices": [10, 0, 0]},
{"op": "transpose", "in": [19], "perm": [1, 0]},
{"op": "expand", "in": [17], "shape": [2, 3]},
{"op": "iota", "in": [], "size": "L"},
{"op": "binary", "in": [25, 23], "fn": "lt"},
{"op": "reduce", "in": [26], "fn": "sum", "axes": [0], "keep": true}
],
"outputs": [
{"name": "y", "value": 27, "shape": ["batch", "L"]},
{"name": "z", "value": 21, "shape": ["batch", 5]}
]
})";
}

const std::vector<SymbolSpec>& Symbols() {
  static const std::vector<SymbolSpec> symbols = {{"L", 5}, {"K", 0}};
  return symbols;
}

// As a model is loaded, with L of 5, and a context made.
Status Load(const std::string& text) {
  Result<LoadedGraph> graph = ParseGraph(text, Symbols());
  if (!graph.ok()) return graph.status();
  std::vector<std::vector<float>> constants;
  for (GraphConstant& constant : graph->graph.constants) {
    size_t elements = 1;
    for (const int64_t extent : constant.shape) elements *= static_cast<size_t>(extent);
    constant.data = constants.emplace_back(elements, 0.5f).data();
  }
  return CreateFusedEngine(std::move(graph).value(), {}).status();
}

void ExpectRefused(const std::string& text, ErrorCode code, std::string_view message) {
  const Status status = Load(text);
  EXPECT_EQ(ErrorCodeName(status.code()), ErrorCodeName(code)) << status.message();
  EXPECT_NE(status.message().find(message), std::string::npos) << status.message();
}

struct Attack {
  const char* name;
  const char* from;  // occurs once in the good graph
  const char* to;
  ErrorCode code;
  const char* message;  // part of it
};

void RunAttacks(const std::vector<Attack>& attacks) {
  for (const Attack& attack : attacks) {
    SCOPED_TRACE(attack.name);
    ExpectRefused(Edit(GoodGraph(), attack.from, attack.to), attack.code, attack.message);
  }
}

TEST(FusedAttacks, TheGraphItselfIsGood) {
  const Status status = Load(GoodGraph());
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST(FusedAttacks, OnTheTopLevel) {
  RunAttacks({
      {"other format", R"("gyrfalcon-fused")", R"("gyrfalcon-bundle")", kInvalid, "format"},
      {"format is a number", R"("gyrfalcon-fused")", "1", kInvalid, "format"},
      {"version 2", R"("version": 1)", R"("version": 2)", ErrorCode::kBundleVersion, "version"},
      {"version 1.0", R"("version": 1)", R"("version": 1.0)", kInvalid, "version"},
      {"version missing", R"("version": 1,)", "", kInvalid, "version"},
      {"version twice", R"("version": 1)", R"("version": 1, "version": 1)", kInvalid, "duplicate"},
      {"unknown key", R"("version": 1)", R"("version": 1, "extra": 1)", kInvalid, "extra"},
      {"text after the end", "5]}\n]\n}", "5]}\n]\n} 1", kInvalid, "byte"},
      {"a comment", R"("version": 1,)", "\"version\": 1, // one\n", kInvalid, "byte"},
      {"33 levels", R"("version": 1)",
       R"("version": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]])", kLimit,
       "32 levels"},
  });
  for (const char* const text :
       {"", "[]", "null", "{", "{\"format\":\"gyrfalcon-fused\"}", "\xff"}) {
    EXPECT_EQ(Load(text).code(), kInvalid) << text;
  }
  ExpectRefused(std::string((16u << 20) + 1, ' '), kLimit, "bytes");
}

TEST(FusedAttacks, OnInputsAndConstants) {
  RunAttacks({
      {"inputs are an object", "\"inputs\": [\n{\"name\": \"x\"",
       "\"inputs\": {}, \"a\": [\n{\"name\": \"x\"", kInvalid, "a"},
      {"an input is a name", R"({"name": "s", "dtype": "f32", "shape": [4]})", R"("s")", kInvalid,
       "inputs[3]"},
      {"a name is empty", R"("name": "s")", R"("name": "")", kInvalid, "inputs[3].name"},
      {"a name is a number", R"("name": "s")", R"("name": 5)", kInvalid, "inputs[3].name"},
      {"a name twice", R"("name": "s")", R"("name": "x")", kInvalid, "inputs[3].name"},
      {"no dtype", R"("name": "s", "dtype": "f32")", R"("name": "s")", kInvalid, "inputs[3]"},
      {"f64", R"("dtype": "i64")", R"("dtype": "f64")", kInvalid, "inputs[1].dtype"},
      {"f16", R"("dtype": "i64")", R"("dtype": "f16")", kInvalid, "inputs[1].dtype"},
      {"another dtype", R"("dtype": "i64")", R"("dtype": "I64")", kInvalid, "inputs[1].dtype"},
      {"batch behind", R"(["batch", "L", 4])", R"(["L", "batch", 4])", kInvalid,
       "inputs[1].shape[1]"},
      {"extent 0", R"(["batch", "L", 4])", R"(["batch", "L", 0])", kInvalid, "inputs[1].shape[2]"},
      {"extent -1", R"(["batch", "L", 4])", R"(["batch", "L", -1])", kInvalid,
       "inputs[1].shape[2]"},
      {"extent 4.0", R"(["batch", "L", 4])", R"(["batch", "L", 4.0])", kInvalid,
       "inputs[1].shape[2]"},
      {"extent null", R"(["batch", "L", 4])", R"(["batch", "L", null])", kInvalid,
       "inputs[1].shape[2]"},
      {"extent of 2^28 + 1", R"(["batch", "L", 4])", R"(["batch", "L", 268435457])", kLimit,
       "inputs[1]"},
      {"extent of 2^63", R"(["batch", "L", 4])", R"(["batch", "L", 9223372036854775808])", kLimit,
       "inputs[1].shape[2]"},
      {"extents whose product is 2^84", R"(["batch", "L", 4])",
       R"(["batch", 268435456, 268435456, 268435456])", kLimit, "inputs[1]"},
      {"a symbol that is none", R"(["batch", "L", 4])", R"(["batch", "M", 4])", kInvalid,
       "inputs[1].shape[1]"},
      {"nine dimensions", R"(["batch", "L", 4])", R"(["batch", "L", 4, 1, 1, 1, 1, 1, 1])", kLimit,
       "inputs[1].shape"},
      {"eight without a batch",
       R"("shape": [4]})"
       "\n],",
       R"("shape": [4,1,1,1,1,1,1,1]})"
       "\n],",
       kLimit, "inputs[3].shape"},
      {"a constant's name twice", R"("name": "g")", R"("name": "b")", kInvalid,
       "constants[2].name"},
      {"a constant over batch", R"("name": "k", "shape": [4, 4])",
       R"("name": "k", "shape": ["batch", 4])", kInvalid, "constants[4].shape[0]"},
      {"a constant over a symbol", R"("name": "k", "shape": [4, 4])",
       R"("name": "k", "shape": ["L", 4])", kInvalid, "constants[4].shape[0]"},
      {"a constant of 0", R"("name": "k", "shape": [4, 4])", R"("name": "k", "shape": [4, 0])",
       kInvalid, "constants[4].shape[1]"},
      {"a constant of 2^56", R"("name": "k", "shape": [4, 4])",
       R"("name": "k", "shape": [268435456, 268435456])", kLimit, "constants[4].shape"},
      {"a constant of 2^28 + 4", R"("name": "k", "shape": [4, 4])",
       R"("name": "k", "shape": [67108865, 4])", kLimit, "constants[4].shape"},
      {"eight dimensions", R"("name": "k", "shape": [4, 4])",
       R"("name": "k", "shape": [4,4,1,1,1,1,1,1])", kLimit, "constants[4].shape"},
      {"a dtype", R"("name": "k", )", R"("name": "k", "dtype": "f32", )", kInvalid, "dtype"},
  });
}

TEST(FusedAttacks, OnOperands) {
  RunAttacks({
      {"its own number", R"("in": [2, 15, 3])", R"("in": [2, 16, 3])", kInvalid, "nodes[6].in[1]"},
      {"a later number", R"("in": [2, 15, 3])", R"("in": [2, 27, 3])", kInvalid, "nodes[6].in[1]"},
      {"-1", R"("in": [2, 15, 3])", R"("in": [2, -1, 3])", kInvalid, "nodes[6].in[1]"},
      {"2^32", R"("in": [2, 15, 3])", R"("in": [2, 4294967296, 3])", kInvalid, "nodes[6].in[1]"},
      {"2^64", R"("in": [2, 15, 3])", R"("in": [2, 18446744073709551616, 3])", kInvalid,
       "nodes[6].in[1]"},
      {"1.5", R"("in": [2, 15, 3])", R"("in": [2, 1.5, 3])", kInvalid, "nodes[6].in[1]"},
      {"a name", R"("in": [2, 15, 3])", R"("in": [2, "x", 3])", kInvalid, "nodes[6].in[1]"},
      {"too few", R"("in": [2, 15, 3])", R"("in": [2, 15])", kInvalid, "nodes[6].in"},
      {"too many", R"("in": [2, 15, 3])", R"("in": [2, 15, 3, 3])", kInvalid, "nodes[6].in"},
      {"not an array", R"("in": [2, 15, 3])", R"("in": 2)", kInvalid, "nodes[6].in"},
      {"missing", R"("in": [2, 15, 3])", R"("out": [2, 15, 3])", kInvalid, "nodes[6]"},
      {"operands of an iota", R"("op": "iota", "in": [])", R"("op": "iota", "in": [0])", kInvalid,
       "nodes[15].in"},
      {"one operand of a concat", R"("in": [16, 3, 10])", R"("in": [16])", kInvalid,
       "nodes[10].in"},
      {"an output before its node", R"("value": 27)", R"("value": 28)", kInvalid,
       "outputs[0].value"},
      {"an output of -1", R"("value": 27)", R"("value": -1)", kInvalid, "outputs[0].value"},
      {"an output that is shared", R"("value": 21, "shape": ["batch", 5])",
       R"("value": 3, "shape": ["batch", 4])", kInvalid, "outputs[1]"},
      {"an output of another size", R"(["batch", 5])", R"(["batch", 6])", kInvalid, "outputs[1]"},
      {"an output whose size overflows to another", R"(["batch", 5])",
       R"(["batch", 5, 268435456, 268435456, 256])", kLimit, "outputs[1]"},
      {"an output without rows", R"(["batch", 5])", R"([5])", kInvalid, "outputs[1].shape"},
      {"an output of free size", R"(["batch", 5])", R"(["batch", null])", kInvalid,
       "outputs[1].shape"},
      {"an output's name twice", R"("name": "z")", R"("name": "y")", kInvalid, "outputs[1].name"},
      {"an output over a symbol of no input", R"(["batch", "L"]})", R"(["batch", "K"]})", kInvalid,
       "symbols"},
  });
}

TEST(FusedAttacks, OnProducts) {
  RunAttacks({
      {"weights that are no constant", R"("in": [0, 4])", R"("in": [0, 3])", kInvalid,
       "nodes[0].in[1]"},
      {"weights of one dimension", R"("in": [0, 4])", R"("in": [0, 6])", kInvalid,
       "nodes[0].in[1]"},
      {"K of another extent", R"("in": [0, 4])", R"("in": [5, 4])", kInvalid, "nodes[0]"},
      {"a scalar operand", R"("in": [0, 4])", R"("in": [9, 4])", kInvalid, "nodes[0]"},
      {"bias of another extent", R"("bias": 5)", R"("bias": 6)", kInvalid, "nodes[0]"},
      {"bias that is a matrix", R"("bias": 5)", R"("bias": 4)", kInvalid, "nodes[0].bias"},
      {"bias that is an input", R"("bias": 5)", R"("bias": 3)", kInvalid, "nodes[0].bias"},
      {"bias of -1", R"("bias": 5)", R"("bias": -1)", kInvalid, "nodes[0].bias"},
      {"mul of itself", R"("mul": 2)", R"("mul": 10)", kInvalid, "nodes[0].mul"},
      {"mul of another shape", R"("mul": 2)", R"("mul": 0)", kInvalid, "nodes[0]"},
      {"add of another shape", R"("add": 5)", R"("add": 1)", kInvalid, "nodes[0]"},
      {"slope of another extent", R"("slope": 7)", R"("slope": 6)", kInvalid, "nodes[0]"},
      {"slope that is an input", R"("slope": 7)", R"("slope": 3)", kInvalid, "nodes[0].post.slope"},
      {"an act is a name", R"("act": {"fn": "relu"})", R"("act": "relu")", kInvalid,
       "nodes[0].act"},
      {"an act with more keys", R"("act": {"fn": "relu"})", R"("act": {"fn": "relu", "alpha": 1})",
       kInvalid, "nodes[0].act"},
      {"an act without a name", R"("act": {"fn": "relu"})", R"("act": {})", kInvalid,
       "nodes[0].act"},
      {"matrices that do not fit", R"("tb": true)", R"("ta": true)", kInvalid, "duplicate"},
      {"matrices that do not fit, transposed", R"("ta": false)", R"("ta": true)", kInvalid,
       "nodes[1]"},
      {"ta is a number", R"("ta": false)", R"("ta": 0)", kInvalid, "nodes[1].ta"},
      {"a vector in a product", R"("in": [1, 8])", R"("in": [0, 8])", kInvalid, "nodes[1]"},
      {"scale is infinite", R"("scale": 0.5)", R"("scale": 1e39)", kInvalid, "nodes[1].scale"},
      {"scale is NaN", R"("scale": 0.5)", R"("scale": NaN)", kInvalid, "byte"},
      {"scale is text", R"("scale": 0.5)", R"("scale": "0.5")", kInvalid, "nodes[1].scale"},
      {"a pair out of range", "[0, 1, 3, 3]", "[0, 1, 3, 6]", kInvalid, "nodes[3]"},
      {"a pair of -1", "[0, 1, 3, 3]", "[0, 1, 3, -1]", kInvalid, "nodes[3].pairs[3]"},
      {"a pair of 2^31", "[0, 1, 3, 3]", "[0, 1, 3, 2147483648]", kLimit, "nodes[3].pairs[3]"},
      {"half a pair", "[0, 1, 3, 3]", "[0, 1, 3]", kInvalid, "nodes[3].pairs"},
      {"no pairs", "[0, 1, 3, 3]", "[]", kInvalid, "nodes[3].pairs"},
      {"pairs of vectors", R"("in": [1, 12])", R"("in": [0, 12])", kInvalid, "nodes[3]"},
  });
}

TEST(FusedAttacks, OnOperatorsThatCompute) {
  RunAttacks({
      {"another operator", R"("op": "softmax")", R"("op": "Softmax")", kInvalid, "nodes[8].op"},
      {"an operator is a number", R"("op": "softmax")", R"("op": 1)", kInvalid, "nodes[8].op"},
      {"a key of another operator", R"("axis": 0, "log": true)", R"("axis": 0, "keep": true)",
       kInvalid, "nodes[8].keep"},
      {"dice of another extent", R"("shift": 6)", R"("shift": 7)", kInvalid, "nodes[4]"},
      {"dice without a scale", R"("scale": 6, )", "", kInvalid, "nodes[4].act"},
      {"shapes that do not broadcast", R"("in": [0, 14])", R"("in": [0, 5])", kInvalid, "nodes[5]"},
      {"another function", R"("fn": "max")", R"("fn": "mod")", kInvalid, "nodes[5].fn"},
      {"clip at null", R"("min": 0)", R"("min": null)", kInvalid, "nodes[5].act.min"},
      {"clip above f32", R"("max": 6)", R"("max": 3.5e38)", kInvalid, "nodes[5].act.max"},
      {"an axis too far", R"("axes": [0, 1])", R"("axes": [0, 2])", kInvalid, "nodes[7]"},
      {"an axis twice", R"("axes": [0, 1])", R"("axes": [0, 0])", kInvalid, "nodes[7].axes[1]"},
      {"axes that descend", R"("axes": [0, 1])", R"("axes": [1, 0])", kInvalid, "nodes[7].axes[1]"},
      {"a negative axis", R"("axes": [0, 1])", R"("axes": [-1])", kInvalid, "nodes[7].axes[0]"},
      {"keep is null", R"("keep": false)", R"("keep": null)", kInvalid, "nodes[7].keep"},
      {"softmax over axis 2", R"("axis": 0, "log": true)", R"("axis": 2, "log": true)", kInvalid,
       "nodes[8]"},
      {"softmax over axis 7", R"("axis": 0, "log": true)", R"("axis": 7, "log": true)", kLimit,
       "nodes[8].axis"},
      {"norm over no axes", R"("axes": 1)", R"("axes": 0)", kInvalid, "nodes[9].axes"},
      {"norm over three axes", R"("axes": 1)", R"("axes": 3)", kInvalid, "nodes[9]"},
      {"gamma of another extent", R"("gamma": 6)", R"("gamma": 5)", kInvalid, "nodes[9]"},
      {"beta of two dimensions", R"("beta": 6)", R"("beta": 8)", kInvalid, "nodes[9].beta"},
      {"eps is text", R"("eps": 0.00001)", R"("eps": "0")", kInvalid, "nodes[9].eps"},
  });
}

TEST(FusedAttacks, OnOperatorsThatMove) {
  RunAttacks({
      {"concat of other shapes", R"("in": [16, 3, 10])", R"("in": [16, 3, 11])", kInvalid,
       "nodes[10]"},
      {"concat over axis 1", R"("in": [16, 3, 10], "axis": 0)", R"("in": [16, 3, 10], "axis": 1)",
       kInvalid, "nodes[10]"},
      {"slice before the start", R"("size": 5)", R"("size": 7)", kInvalid, "nodes[11]"},
      {"slice from too far back", R"("start": -1,)", R"("start": -12,)", kInvalid, "nodes[11]"},
      {"slice from the end", R"("start": -1,)", R"("start": 11,)", kInvalid, "nodes[11]"},
      {"slice of none", R"("size": 5)", R"("size": 0)", kInvalid, "nodes[11].size"},
      {"slice of step 0", R"("step": -2)", R"("step": 0)", kInvalid, "nodes[11].step"},
      {"slice that overflows downwards", R"("step": -2)", R"("step": -9007199254740991)", kInvalid,
       "nodes[11]"},
      {"slice of -2^63", R"("step": -2)", R"("step": -9223372036854775808)", kInvalid, "nodes[11]"},
      {"slice from -2^63", R"("start": -1,)", R"("start": -9223372036854775808,)", kInvalid,
       "nodes[11]"},
      {"slice from 2^63", R"("start": -1,)", R"("start": 9223372036854775808,)", kInvalid,
       "nodes[11].start"},
      {"slice of more than a symbol", R"("size": 5)", R"("size": "K")", kInvalid, "symbols"},
      {"an index too far", "[10, 0, 0]", "[11, 0, 0]", kInvalid, "nodes[12]"},
      {"a negative index", "[10, 0, 0]", "[-1, 0, 0]", kInvalid, "nodes[12].indices[0]"},
      {"no indices", "[10, 0, 0]", "[]", kInvalid, "nodes[12].indices"},
      {"a permutation of one axis", R"("perm": [1, 0])", R"("perm": [0])", kInvalid, "nodes[13]"},
      {"a permutation with an axis twice", R"("perm": [1, 0])", R"("perm": [1, 1])", kInvalid,
       "nodes[13].perm[1]"},
      {"a permutation of another axis", R"("perm": [1, 0])", R"("perm": [1, 2])", kInvalid,
       "nodes[13]"},
      {"reshape to more", R"("shape": [1, -1])", R"("shape": [5, -1])", kInvalid, "nodes[2]"},
      {"reshape with two free extents", R"("shape": [1, -1])", R"("shape": [-1, -1])", kInvalid,
       "nodes[2].shape[1]"},
      {"reshape to 0", R"("shape": [1, -1])", R"("shape": [0, -1])", kInvalid, "nodes[2].shape[0]"},
      {"reshape over 2^64", R"("shape": [1, -1])", R"("shape": [268435456, 268435456, 256, 4])",
       kInvalid, "nodes[2]"},
      {"reshape to eight dimensions", R"("shape": [1, -1])", R"("shape": [1,1,1,1,1,1,1,-1])",
       kLimit, "nodes[2].shape"},
      {"expand over 2^64", R"("shape": [2, 3])", R"("shape": [268435456, 268435456, 256])", kLimit,
       "nodes[14]"},
      {"expand to less", R"("in": [17], "shape": [2, 3])", R"("in": [0], "shape": [2])", kInvalid,
       "nodes[14]"},
      {"expand to -1", R"("shape": [2, 3])", R"("shape": [-1, 3])", kInvalid, "nodes[14].shape[0]"},
      {"iota of 2^28 + 1", R"("size": "L")", R"("size": 268435457)", kLimit, "nodes[15].size"},
      {"iota of -5", R"("size": "L")", R"("size": -5)", kInvalid, "nodes[15].size"},
  });
}

// A graph over x [batch, "K"] alone; K has no default: sizes are those of what is bound.
std::string OverK(const std::string& nodes, const std::string& output) {
  return R"({"format":"gyrfalcon-fused","version":1,"inputs":[{"name":"x","dtype":"f32",)"
         R"("shape":["batch","K"]}],"constants":[],"nodes":[)" +
         nodes + R"(],"outputs":[)" + output + "]}";
}

Status Bind(const std::string& text, int64_t size, int64_t output_size, bool once = false) {
  Result<LoadedGraph> graph = ParseGraph(text, Symbols());
  if (!graph.ok()) return graph.status();
  Result<std::shared_ptr<Engine>> engine = CreateFusedEngine(std::move(graph).value(), {});
  if (!engine.ok()) return engine.status();
  std::vector<float> memory(64);
  EngineBinding x;
  x.name = "x";
  x.dims = {EngineBinding::kRows, size};
  x.data = memory.data();
  x.bytes = memory.size() * sizeof(float);
  if (once) return (*engine)->RunOnce({x}, 0).status();
  EngineBinding y = x;
  y.name = "y";
  y.dims = {EngineBinding::kRows, output_size};
  Result<std::unique_ptr<EngineContext>> context = (*engine)->CreateContext({x}, {y});
  if (!context.ok()) return context.status();
  return (*context)->Run(0);
}

constexpr const char* kSum = R"({"op":"reduce","in":[1],"fn":"sum","axes":[0],"keep":true})";
constexpr const char* kOne = R"({"name":"y","value":2,"shape":["batch",1]})";

TEST(FusedAttacks, SizesOfSymbolsAreCheckedWhenTheyAreBound) {
  const std::string text = OverK(
      R"({"op":"expand","in":[0],"shape":[4,"K"]},{"op":"reduce","in":[1],"fn":"sum","axes":[0,1],)"
      R"("keep":false})",
      R"({"name":"y","value":2,"shape":["batch",1]})");
  EXPECT_TRUE(Bind(text, 8, 1).ok());
  for (const int64_t size : {int64_t{67108865}, int64_t{1} << 40, INT64_MAX}) {
    EXPECT_EQ(Bind(text, size, 1).code(), kLimit) << size;
    EXPECT_EQ(Bind(text, size, 1, true).code(), kLimit) << size;
  }
  for (const int64_t size : {int64_t{0}, int64_t{-2}, INT64_MIN}) {
    EXPECT_EQ(Bind(text, size, 1).code(), ErrorCode::kShapeMismatch) << size;
  }
  EXPECT_EQ(Bind(text, 8, 2).code(), ErrorCode::kShapeMismatch);
}

TEST(FusedAttacks, SmallFilesThatAskForTerabytesAreRefusedBeforeAnythingIsAllocated) {
  // A value of 1 GiB a row, alive together with 40 others.
  std::string nodes = R"({"op":"expand","in":[0],"shape":[268435456]})";
  std::string sums;
  for (int i = 2; i <= 40; ++i) {
    nodes += R"(,{"op":"unary","in":[1],"act":{"fn":"relu"}})";
    sums += (i == 2 ? "" : ",") + std::to_string(i);
  }
  nodes += R"(,{"op":"where","in":[2,3,4]})";
  std::string chain;
  int last = 41;
  for (int i = 5; i <= 40; ++i, ++last) {
    nodes += R"(,{"op":"binary","in":[)" + std::to_string(last) + "," + std::to_string(i) +
             R"(],"fn":"add"})";
  }
  nodes += R"(,{"op":"reduce","in":[)" + std::to_string(last) +
           R"(],"fn":"sum","axes":[0],"keep":true})";
  const Status many = Bind(OverK(nodes, R"({"name":"y","value":)" + std::to_string(last + 1) +
                                            R"(,"shape":["batch",1]})"),
                           1, 1);
  EXPECT_EQ(many.code(), kLimit) << many.message();
  EXPECT_NE(many.message().find("16 GiB"), std::string::npos) << many.message();
  // Shared values that are computed when a context is made: 2^16 · 2^28 floats.
  std::string shared = R"({"op":"iota","in":[],"size":268435456})";
  for (int i = 1; i < 20; ++i) shared += R"(,{"op":"iota","in":[],"size":268435456})";
  shared += R"(,{"op":"concat","in":[1,2],"axis":0})";
  EXPECT_EQ(Bind(OverK(shared, kOne), 1, 1).code(), kLimit);
  // Rows of a stack of matrices, each with a pointer.
  std::string stack;
  for (int i = 0; i < 60000; ++i) stack += i == 0 ? "1" : ",1";
  const Status pairs =
      Bind(OverK(R"({"op":"expand","in":[0],"shape":[67108864,"K"]},{"op":"pairwise_dot","in":[)" +
                     stack + R"(],"pairs":[0,1]})",
                 kOne),
           1, 1);
  EXPECT_EQ(pairs.code(), kLimit) << pairs.message();
}

TEST(FusedAttacks, ListsAndCountsHaveLimits) {
  const auto repeated = [](const std::string& text, size_t count) {
    std::string all;
    all.reserve((text.size() + 1) * count);
    for (size_t i = 0; i < count; ++i) all += (i == 0 ? "" : ",") + text;
    return all;
  };
  const std::string relu = R"({"op":"unary","in":[0],"act":{"fn":"relu"}})";
  const std::string y = R"({"name":"y","value":65536,"shape":["batch","K"]})";
  EXPECT_TRUE(ParseGraph(OverK(repeated(relu, 65536), y), Symbols()).ok());
  ExpectError(ParseGraph(OverK(repeated(relu, 65537), y), Symbols()), kLimit, "nodes");
  const auto gather = [&](size_t count) {
    return ParseGraph(
        OverK(R"({"op":"gather","in":[0],"axis":0,"indices":[)" + repeated("0", count) + "]}",
              R"({"name":"y","value":1,"shape":["batch"]})"),
        Symbols());
  };
  EXPECT_TRUE(gather(size_t{1} << 20).ok());
  ExpectError(gather((size_t{1} << 20) + 1), kLimit, "nodes[0].indices");
  std::string constants;
  for (int i = 0; i <= 65536; ++i) {
    constants +=
        (i == 0 ? "" : ",") + std::string(R"({"name":"c)") + std::to_string(i) + R"(","shape":[]})";
  }
  ExpectError(ParseGraph(Edit(OverK(relu, R"({"name":"y","value":1,"shape":["batch","K"]})"),
                              R"("constants":[])", R"("constants":[)" + constants + "]"),
                         Symbols()),
              kLimit, "constants");
}

// Pairs and operands that come again and again cost what they are long, not its square.
TEST(FusedAttacks, RepeatedPairsAndOperandsArePlannedInOrder) {
  const std::vector<int32_t> pairs(size_t{1} << 20, 0);
  const std::vector<PairTile> tiles = MakePairTiles(pairs);
  ASSERT_EQ(tiles.size(), pairs.size() / 2);
  EXPECT_EQ(tiles.front().place[0], 0);
  EXPECT_EQ(tiles.back().place[0], static_cast<int32_t>(pairs.size() / 2 - 1));
  std::string nodes;
  std::string operands;
  for (int i = 1; i <= 20000; ++i) {
    nodes += R"({"op":"unary","in":[0],"act":{"fn":"relu"}},)";
    operands += (i == 1 ? "" : ",") + std::to_string(i);
  }
  nodes += R"({"op":"concat","in":[)" + operands + "," + operands + R"(],"axis":0},)";
  nodes += R"({"op":"reduce","in":[20001],"fn":"sum","axes":[0],"keep":true})";
  const Status status =
      Bind(OverK(nodes, R"({"name":"y","value":20002,"shape":["batch",1]})"), 3, 1);
  EXPECT_TRUE(status.ok()) << status.message();
}

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

// What is bound to a context, wrong in every way.
TEST(FusedAttacks, OnBindings) {
  Result<LoadedGraph> graph =
      ParseGraph(OverK(R"({"op":"unary","in":[0],"act":{"fn":"relu"}},)" + std::string(kSum), kOne),
                 Symbols());
  ASSERT_TRUE(graph.ok());
  Result<std::shared_ptr<Engine>> engine = CreateFusedEngine(std::move(graph).value(), {});
  ASSERT_TRUE(engine.ok());
  std::vector<float> memory(64);
  EngineBinding x;
  x.name = "x";
  x.dims = {EngineBinding::kRows, 4};
  x.data = memory.data();
  x.bytes = 32 * sizeof(float);
  EngineBinding y = x;
  y.name = "y";
  y.dims = {EngineBinding::kRows, 1};
  y.data = memory.data() + 32;
  const auto with = [&](auto change) {
    EngineBinding a = x;
    EngineBinding b = y;
    change(&a, &b);
    return (*engine)->CreateContext({a}, {b}).status().code();
  };
  using B = EngineBinding*;
  EXPECT_EQ(with([](B, B) {}), ErrorCode::kOk);
  EXPECT_EQ(with([](B a, B) { a->name = "X"; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(with([](B, B b) { b->name = "x"; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(with([](B a, B) { a->dtype = Dtype::kI32; }), ErrorCode::kDtypeMismatch);
  EXPECT_EQ(with([](B, B b) { b->dtype = Dtype::kF16; }), ErrorCode::kDtypeMismatch);
  EXPECT_EQ(with([](B a, B) { a->dims = {4}; }), ErrorCode::kShapeMismatch);
  EXPECT_EQ(with([](B a, B) {
              a->dims = {EngineBinding::kRows, 4, 1};
            }),
            ErrorCode::kShapeMismatch);
  EXPECT_EQ(with([](B a, B) { a->dims = {}; }), ErrorCode::kShapeMismatch);
  EXPECT_EQ(with([](B a, B) { a->dims = {-2, 4}; }), ErrorCode::kShapeMismatch);
  EXPECT_EQ(with([](B a, B) { a->dims = {9, 4}; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(with([](B a, B) { a->dims = {INT64_MAX, 4}; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(with([](B, B b) { b->dims = {EngineBinding::kRows, 2}; }), ErrorCode::kShapeMismatch);
  EXPECT_EQ(with([](B a, B) { a->data = nullptr; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(with([](B, B b) { b->data = static_cast<char*>(b->data) + 1; }),
            ErrorCode::kInvalidArgument);
  auto context = (*engine)->CreateContext({x}, {y});
  ASSERT_TRUE(context.ok());
  EXPECT_TRUE((*context)->Run(8).ok());
  EXPECT_EQ((*context)->Run(9).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ((*context)->Run(INT64_MAX).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ((*context)->Run(INT64_MIN).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ((*engine)->RunOnce({x}, int64_t{1} << 31).status().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ((*engine)->RunOnce({x}, -1).status().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ((*engine)->RunOnce({x}, 9).status().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ((*engine)->RunOnce({}, 1).status().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ((*engine)->CreateContext({x, x}, {y}).status().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ((*engine)->CreateContext({x}, {}).status().code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace gyrfalcon::fused
