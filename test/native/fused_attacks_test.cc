// Named attacks on fused.json, each one edit away from a good graph, each with its code and the
// place that the message has to name.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "bundle_support.h"
#include "fused_attacks.h"

namespace gyrfalcon::fused {
namespace {

using gyrfalcon::testing::Edit;
using testing::ExpectRefused;
using testing::kInvalid;
using testing::kLimit;
using testing::Load;

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

}  // namespace
}  // namespace gyrfalcon::fused
