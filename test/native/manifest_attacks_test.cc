// Named attacks on model.json, each one edit away from a good manifest, each with its code and the
// place that the message has to name.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "bundle_support.h"

namespace gyrfalcon {
namespace {

using testing::Edit;
using testing::ExpectError;
using testing::GoodManifest;

struct Attack {
  const char* name;
  const char* from;  // occurs once in the good manifest
  const char* to;
  ErrorCode code;
  const char* message;  // part of it
};

constexpr ErrorCode kInvalid = ErrorCode::kBundleInvalid;
constexpr ErrorCode kLimit = ErrorCode::kLimitExceeded;
constexpr ErrorCode kEscape = ErrorCode::kPathEscape;
constexpr ErrorCode kVersion = ErrorCode::kBundleVersion;

void RunAttacks(const std::vector<Attack>& attacks) {
  for (const Attack& attack : attacks) {
    SCOPED_TRACE(attack.name);
    ExpectError(ParseManifest(Edit(GoodManifest(), attack.from, attack.to)), attack.code,
                attack.message);
  }
}

TEST(ManifestAttacks, OnTheTopLevel) {
  RunAttacks({
      {"other format", R"("gyrfalcon-bundle")", R"("gyrfalcon-bundle2")", kInvalid, "format"},
      {"format is a number", R"("gyrfalcon-bundle")", "1", kInvalid, "format"},
      {"format is missing", R"("format": "gyrfalcon-bundle", )", "", kInvalid, "format"},
      {"version 2", R"("version": 1)", R"("version": 2)", kVersion, "version"},
      {"version -1", R"("version": 1)", R"("version": -1)", kVersion, "version"},
      {"version 1.0", R"("version": 1)", R"("version": 1.0)", kInvalid, "version"},
      {"version as text", R"("version": 1)", R"("version": "1")", kInvalid, "version"},
      {"version null", R"("version": 1)", R"("version": null)", kInvalid, "version"},
      {"version twice", R"("version": 1)", R"("version": 1, "version": 1)", kInvalid, "duplicate"},
      {"unknown key", R"("batch": null)", R"("batch": null, "extra": 1)", kInvalid, "extra"},
      {"__proto__ as a key", R"("batch": null)", R"("batch": null, "__proto__": {})", kInvalid,
       "__proto__"},
      {"key in capitals", R"("batch": null)", R"("Batch": null)", kInvalid, "Batch"},
      {"batch missing", R"("batch": null,)", "", kInvalid, "batch"},
      {"batch as text", R"("batch": null)", R"("batch": "4")", kInvalid, "batch"},
      {"batch with a fraction", R"("batch": null)", R"("batch": 4.5)", kInvalid, "batch"},
      {"batch with an exponent", R"("batch": null)", R"("batch": 4e0)", kInvalid, "batch"},
      {"producer is an object", R"("producer": "test")", R"("producer": {})", kInvalid, "producer"},
      {"name is null", R"("name": "everything")", R"("name": null)", kInvalid, "name"},
      {"source with a directory", R"("model.onnx")", R"("../model.onnx")", kInvalid, "source.file"},
      {"source with a backslash", R"("model.onnx")", R"("a\\model.onnx")", kInvalid, "source.file"},
      {"source is ..", R"("model.onnx")", R"("..")", kInvalid, "source.file"},
      {"source of negative size", R"("bytes": 12345)", R"("bytes": -1)", kInvalid, "source.bytes"},
      {"source of more than 2^53 bytes", R"("bytes": 12345)", R"("bytes": 9007199254740993)",
       kLimit, "source.bytes"},
      {"source without hash", R"(, "xxh64": "0123456789abcdef")", "", kInvalid, "xxh64"},
      {"source is null",
       R"("source": {"file": "model.onnx", "bytes": 12345, "xxh64": "0123456789abcdef"})",
       R"("source": null)", kInvalid, "source"},
      {"report of another level", R"("level": "warn")", R"("level": "error")", kInvalid,
       "report[0].level"},
      {"report text is a number", R"("text": "one Gather stayed in the graph")", R"("text": 1)",
       kInvalid, "report[0].text"},
      {"report is an object", R"([{"level": "warn", "text": "one Gather stayed in the graph"}])",
       "{}", kInvalid, "report"},
      {"a comment", R"("batch": null,)", "\"batch\": null, // none\n", kInvalid, "byte"},
      {"text after the end", "in the graph\"}]\n}", "in the graph\"}]\n}{}", kInvalid, "byte"},
      {"33 levels", R"("name": "everything")",
       R"("name": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]])", kLimit,
       "32 levels"},
  });
}

TEST(ManifestAttacks, OnSymbols) {
  RunAttacks({
      {"symbols is an array", R"({"L": 50, "K": null})", "[]", kInvalid, "symbols"},
      {"symbol called batch", R"("K": null)", R"("K": null, "batch": 1)", kInvalid,
       "symbols.batch"},
      {"symbol without a name", R"("K": null)", R"("K": null, "": 1)", kInvalid, "symbols"},
      {"symbol with NUL", R"("K": null)", R"("K": null, "a\u0000": 1)", kInvalid, "symbols"},
      {"symbol of size 0", R"("L": 50)", R"("L": 0)", kInvalid, "symbols.L"},
      {"symbol of size 2^28 + 1", R"("L": 50)", R"("L": 268435457)", kLimit, "symbols.L"},
      {"symbol of a text", R"("L": 50)", R"("L": "50")", kInvalid, "symbols.L"},
      {"symbol gone, still in use", R"("L": 50, )", "", kInvalid, "inputs[1].shape[1]"},
      {"symbol twice by an escape", R"("K": null)", R"("K": null, "\u004b": 1)", kInvalid,
       "duplicate"},
  });
}

TEST(ManifestAttacks, OnInputs) {
  RunAttacks({
      {"input without a name", R"("name": "temperature", )", "", kInvalid, "inputs[6]"},
      {"input named twice", R"("name": "temperature")", R"("name": "ids")", kInvalid,
       "inputs[6].name"},
      {"name with NUL", R"("temperature")", R"("temp\u0000")", kInvalid, "inputs[6].name"},
      {"name is a number", R"("temperature")", "6", kInvalid, "inputs[6].name"},
      {"input of another kind", R"("temperature", "kind": "tensor")",
       R"("temperature", "kind": "sparse")", kInvalid, "inputs[6].kind"},
      {"input is null", R"({"name": "temperature", "kind": "tensor", "dtype": "f64", "shape": []})",
       "null", kInvalid, "inputs[6]"},
      {"dtype f8", R"("f64")", R"("f8")", kInvalid, "inputs[6].dtype"},
      {"dtype in capitals", R"("f64")", R"("F64")", kInvalid, "inputs[6].dtype"},
      {"dtype is a number", R"("f64")", "11", kInvalid, "inputs[6].dtype"},
      {"shape missing", R"("f64", "shape": [])", R"("f64")", kInvalid, "shape"},
      {"shape is a number", R"("shape": []})", R"("shape": 1})", kInvalid, "inputs[6].shape"},
      {"batch second", R"(["batch", 13])", R"([13, "batch"])", kInvalid, "inputs[5].shape[1]"},
      {"batch twice", R"(["batch", 13])", R"(["batch", "batch"])", kInvalid, "inputs[5].shape[1]"},
      {"null extent in an input", R"(["batch", 13])", R"(["batch", null])", kInvalid,
       "inputs[5].shape[1]"},
      {"negative extent", R"(["batch", 13])", R"(["batch", -1])", kInvalid, "inputs[5].shape[1]"},
      {"extent with a fraction", R"(["batch", 13])", R"(["batch", 13.0])", kInvalid,
       "inputs[5].shape[1]"},
      {"extent of 2^64 + 1", R"(["batch", 13])", R"(["batch", 18446744073709551617])", kLimit,
       "inputs[5].shape[1]"},
      {"product that wraps to 0", R"(["batch", 13])", R"(["batch", 65536, 65536, 65536, 65536])",
       kLimit, "inputs[5].shape"},
      {"extent is a list", R"(["batch", 13])", R"(["batch", [13]])", kInvalid,
       "inputs[5].shape[1]"},
      {"unknown symbol", R"(["batch", 13])", R"(["batch", "M"])", kInvalid, "inputs[5].shape[1]"},
      {"nine extents", R"(["batch", 13])", R"(["batch",1,1,1,1,1,1,1,13])", kLimit,
       "inputs[5].shape"},
      {"tensor with weights", R"("f64", "shape": [])", R"("f64", "shape": [], "weights": true)",
       kInvalid, "inputs[6].weights"},
      {"ragged floats", R"("dtype": "i32", "weights": true)", R"("dtype": "f32", "weights": true)",
       kInvalid, "inputs[2].dtype"},
      {"ragged with a shape", R"("dtype": "i64", "weights": false)",
       R"("dtype": "i64", "weights": false, "shape": ["batch"])", kInvalid, "inputs[3].shape"},
      {"ragged without weights key", R"(, "weights": false)", "", kInvalid, "weights"},
      {"ragged weights is 0", R"("weights": false)", R"("weights": 0)", kInvalid,
       "inputs[3].weights"},
      {"source of another key", R"("offsets": "genre_offsets")", R"("starts": "x")", kInvalid,
       "inputs[2].source.starts"},
      {"source of offsets and lengths", R"("offsets": "genre_offsets")",
       R"("offsets": "genre_offsets", "lengths": "x")", kInvalid, "inputs[2].source"},
      {"source with an empty name", R"("genre_offsets")", R"("")", kInvalid,
       "inputs[2].source.offsets"},
  });
}

TEST(ManifestAttacks, OnTables) {
  RunAttacks({
      {"table named twice", R"("name": "items")", R"("name": "users")", kInvalid, "tables[1].name"},
      {"no rows", R"("rows": 1000)", R"("rows": 0)", kInvalid, "tables[1].rows"},
      {"negative rows", R"("rows": 1000)", R"("rows": -1000)", kInvalid, "tables[1].rows"},
      {"rows of 2^40 + 1", R"("rows": 1000)", R"("rows": 1099511627777)", kLimit, "tables[1].rows"},
      {"rows of 2^63", R"("rows": 1000)", R"("rows": 9223372036854775808)", kLimit,
       "tables[1].rows"},
      {"rows of 1e3", R"("rows": 1000)", R"("rows": 1e3)", kInvalid, "tables[1].rows"},
      {"dim 0", R"("dim": 4)", R"("dim": 0)", kInvalid, "tables[1].dim"},
      {"dim over its limit", R"("dim": 4)", R"("dim": 16385)", kLimit, "tables[1].dim"},
      {"storage int2", R"("int8")", R"("int2")", kInvalid, "tables[1].storage"},
      {"storage null", R"("int8")", "null", kInvalid, "tables[1].storage"},
      {"file climbs", R"("tables/00001.safetensors")", R"("../00001.safetensors")", kEscape,
       "tables[1].file"},
      {"file climbs inside", R"("tables/00001.safetensors")", R"("tables/../../x")", kEscape,
       "tables[1].file"},
      {"file is absolute", R"("tables/00001.safetensors")", R"("/etc/passwd")", kEscape,
       "tables[1].file"},
      {"file with NUL", R"("tables/00001.safetensors")", R"("a\u0000b")", kEscape,
       "tables[1].file"},
      {"file with a backslash", R"("tables/00001.safetensors")", R"("..\\x")", kEscape,
       "tables[1].file"},
      {"file is empty", R"("tables/00001.safetensors")", R"("")", kEscape, "tables[1].file"},
      {"file is an array", R"("tables/00001.safetensors")", R"([])", kInvalid, "tables[1].file"},
      {"tensor without a name", R"("items.weight")", R"("")", kInvalid, "tables[1].tensor"},
      {"short hash", R"("00000000000000bb")", R"("0000000000000bb")", kInvalid, "tables[1].xxh64"},
      {"hash in capitals", R"("00000000000000bb")", R"("00000000000000BB")", kInvalid,
       "tables[1].xxh64"},
      {"hash with 0x", R"("00000000000000bb")", R"("0x000000000000bb")", kInvalid,
       "tables[1].xxh64"},
      {"hash is a number", R"("00000000000000bb")", "187", kInvalid, "tables[1].xxh64"},
      {"table with an offset", R"("00000000000000bb")", R"("00000000000000bb", "offset": 8)",
       kInvalid, "tables[1].offset"},
  });
}

TEST(ManifestAttacks, OnSlots) {
  RunAttacks({
      {"slot named as an input", R"("name": "pooled")", R"("name": "ids")", kInvalid,
       "slots[0].name"},
      {"slot named twice", R"("name": "stacked")", R"("name": "pooled")", kInvalid,
       "slots[1].name"},
      {"slot without batch", R"(["batch", 3, 4])", "[3, 4]", kInvalid, "slots[1].shape"},
      {"slot of no rank", R"(["batch", 3, 4])", "[]", kInvalid, "slots[1].shape"},
      {"slot of unknown size", R"(["batch", 3, 4])", R"(["batch", null])", kInvalid,
       "slots[1].shape[1]"},
      {"slot with a dtype", R"(["batch", 3, 4])", R"(["batch", 3, 4], "dtype": "f16")", kInvalid,
       "slots[1].dtype"},
      {"slot larger than its bag", R"(["batch", 3, 4])", R"(["batch", 4, 4])", kInvalid,
       "slots[1]"},
      {"slot smaller than its bag", R"(["batch", 3, 4])", R"(["batch", 2, 4])", kInvalid,
       "bags[4]"},
      {"slot of 2^28 floats", R"(["batch", 28])", R"(["batch", 268435456])", kInvalid, "slots[0]"},
      {"slot that nobody writes", R"("slots": [)",
       R"("slots": [{"name": "empty", "shape": ["batch", 1]},)", kInvalid, "slots[0]"},
      {"symbolic slot that nobody writes", R"("slots": [)",
       R"("slots": [{"name": "empty", "shape": ["batch", "K"]},)", kInvalid, "slots[0]"},
      {"symbolic slot of another symbol", R"(["batch", "L", 4])", R"(["batch", "K", 4])", kInvalid,
       "slots[2]"},
      {"symbolic slot of another dim", R"(["batch", "L", 4])", R"(["batch", "L", 5])", kInvalid,
       "slots[2]"},
      {"symbol squared", R"(["batch", "L", 4])", R"(["batch", "L", "L", 4])", kInvalid, "slots[2]"},
      {"fixed slot of a symbolic bag", R"(["batch", "L", 4])", R"(["batch", 50, 4])", kInvalid,
       "slots[2]"},
      {"symbol in a slot of fixed bags", R"(["batch", 28])", R"(["batch", "L", 28])", kInvalid,
       "slots[0]"},
  });
}

TEST(ManifestAttacks, OnBagsAndTheirPlaces) {
  RunAttacks({
      {"unknown table", R"("table": "users", "input": "genres")",
       R"("table": "none", "input": "genres")", kInvalid, "bags[1].table"},
      {"table by number", R"("table": "users", "input": "genres")",
       R"("table": 0, "input": "genres")", kInvalid, "bags[1].table"},
      {"unknown input", R"("input": "genres")", R"("input": "none")", kInvalid, "bags[1].input"},
      {"input is a slot", R"("input": "genres")", R"("input": "pooled")", kInvalid,
       "bags[1].input"},
      {"input of halves", R"("dtype": "i64", "shape": ["batch", "L"])",
       R"("dtype": "f16", "shape": ["batch", "L"])", kInvalid, "bags[5].input"},
      {"input without batch", R"(["batch", "L"])", R"(["L"])", kInvalid, "bags[5].input"},
      {"unknown pooling", R"("input": "genres", "pooling": "mean")",
       R"("input": "genres", "pooling": "max")", kInvalid, "bags[1].pooling"},
      {"ragged and none", R"("input": "genres", "pooling": "mean")",
       R"("input": "genres", "pooling": "none")", kInvalid, "bags[1].pooling"},
      {"ragged with a count", R"("add": -3)", R"("count": 1)", kInvalid, "bags[2].count"},
      {"ragged with a start", R"("add": -3)", R"("start": 0)", kInvalid, "bags[2].start"},
      {"tensor without a step", R"("start": 5, "step": -2,)", R"("start": 5,)", kInvalid,
       "bags[4]"},
      {"step out of the row", R"("step": -2)", R"("step": -3)", kInvalid, "bags[4]"},
      {"start out of the row", R"("start": 5)", R"("start": 6)", kInvalid, "bags[4]"},
      {"start of 2^53", R"("start": 5)", R"("start": 9007199254740992)", kLimit, "bags[4].start"},
      {"step of -2^53", R"("step": -2)", R"("step": -9007199254740992)", kLimit, "bags[4].step"},
      {"count of an unknown symbol", R"("count": "L")", R"("count": "M")", kInvalid,
       "bags[5].count"},
      {"count is batch", R"("count": "L")", R"("count": "batch")", kInvalid, "bags[5].count"},
      {"count is null", R"("count": "L")", R"("count": null)", kInvalid, "bags[5].count"},
      {"count of 2^20 + 1", R"("count": "L")", R"("count": 1048577)", kLimit, "bags[5].count"},
      {"fixed count in a symbolic slot", R"("count": "L")", R"("count": 50)", kInvalid, "bags[5]"},
      {"other symbol than the slot", R"("count": "L")", R"("count": "K")", kInvalid, "slots[2]"},
      {"symbolic bag off 0", R"("slot": "sequence", "offset": 0)",
       R"("slot": "sequence", "offset": 4)", kInvalid, "bags[5]"},
      {"unknown slot", R"("slot": "sequence", "offset": 0)", R"("slot": "none", "offset": 0)",
       kInvalid, "bags[5].slot"},
      {"slot is an input", R"("slot": "sequence", "offset": 0)", R"("slot": "dense", "offset": 0)",
       kInvalid, "bags[5].slot"},
      {"negative offset", R"("slot": "stacked", "offset": 0)", R"("slot": "stacked", "offset": -4)",
       kInvalid, "bags[4].offset"},
      {"offset over 2^28", R"("slot": "stacked", "offset": 0)",
       R"("slot": "stacked", "offset": 268435457)", kLimit, "bags[4].offset"},
      {"offset that wraps", R"("slot": "stacked", "offset": 0)",
       R"("slot": "stacked", "offset": 18446744073709551612)", kLimit, "bags[4].offset"},
      {"bags overlap", R"("offset": 16)", R"("offset": 12)", kInvalid, "bags[1]"},
      {"bags at one place", R"("offset": 16)", R"("offset": 8)", kInvalid, "bags[3]"},
      {"a gap between bags", R"("offset": 16)", R"("offset": 17)", kInvalid, "slots[0]"},
      {"bag past the end", R"("offset": 24)", R"("offset": 25)", kInvalid, "slots[0]"},
      {"bag twice", R"("bags": [)",
       R"("bags": [{"table": "users", "input": "ids", "pooling": "sum", "start": 0, "step": 1, "count": 1, "slot": "pooled", "offset": 0},)",
       kInvalid, "bags[1]"},
      {"bag is a list", R"("bags": [)", R"("bags": [[],)", kInvalid, "bags[0]"},
      {"bag with an unknown key", R"("offset": 24)", R"("offset": 24, "scale": 2)", kInvalid,
       "bags[2].scale"},
  });
}

TEST(ManifestAttacks, OnAddPaddingAndWeights) {
  RunAttacks({
      {"too few adds", "[0, 10, 20]", "[0, 10]", kInvalid, "bags[3].add"},
      {"too many adds", "[0, 10, 20]", "[0, 10, 20, 30]", kInvalid, "bags[3].add"},
      {"no adds", "[0, 10, 20]", "[]", kInvalid, "bags[3].add"},
      {"add with a fraction", "[0, 10, 20]", "[0, 10, 20.5]", kInvalid, "bags[3].add[2]"},
      {"add over 2^53", "[0, 10, 20]", "[0, 10, 9007199254740993]", kInvalid, "bags[3].add[2]"},
      {"adds of a ragged input", R"("add": -3)", R"("add": [-3])", kInvalid, "bags[2].add"},
      {"adds of a symbolic count", R"("count": "L")", R"("count": "L", "add": [1])", kInvalid,
       "bags[5].add"},
      {"add is a text", R"("add": -3)", R"("add": "-3")", kInvalid, "bags[2].add"},
      {"padding null", R"("padding": -1)", R"("padding": null)", kInvalid, "bags[3].padding"},
      {"padding under -2^53", R"("padding": -1)", R"("padding": -9007199254740993)", kInvalid,
       "bags[3].padding"},
      {"ragged weights false", R"("pooling": "mean", "weights": true)",
       R"("pooling": "mean", "weights": false)", kInvalid, "bags[1].weights"},
      {"ragged weights by input", R"("pooling": "mean", "weights": true)",
       R"("pooling": "mean", "weights": {"input": "scales", "start": 0, "step": 1})", kInvalid,
       "bags[1].weights"},
      {"weights that the input lacks", R"("add": -3)", R"("weights": true)", kInvalid,
       "bags[2].weights"},
      {"tensor weights true", R"({"input": "scales", "start": 1, "step": 2})", "true", kInvalid,
       "bags[3].weights"},
      {"weights of ids", R"("input": "scales")", R"("input": "history")", kInvalid,
       "bags[3].weights.input"},
      {"weights of a ragged input", R"("input": "scales")", R"("input": "genres")", kInvalid,
       "bags[3].weights.input"},
      {"weights of f64", R"("input": "scales")", R"("input": "temperature")", kInvalid,
       "bags[3].weights.input"},
      {"weights out of the row", R"("start": 1, "step": 2)", R"("start": 2, "step": 2)", kInvalid,
       "bags[3].weights"},
      {"weights before the row", R"("start": 1, "step": 2)", R"("start": 1, "step": -1)", kInvalid,
       "bags[3].weights"},
      {"weights with a count", R"("start": 1, "step": 2)", R"("start": 1, "step": 2, "count": 3)",
       kInvalid, "bags[3].weights.count"},
  });
}

TEST(ManifestAttacks, OnDenseAndOutputs) {
  RunAttacks({
      {"dense file climbs", R"("dense.onnx")", R"("../dense.onnx")", kEscape, "dense.file"},
      {"dense file of a dot", R"("dense.onnx")", R"("./dense.onnx")", kEscape, "dense.file"},
      {"dense file is a directory", R"("dense.onnx")", R"("dense/")", kEscape, "dense.file"},
      {"dense hash short", R"("00000000000000cc")", R"("cc")", kInvalid, "dense.xxh64"},
      {"slot twice", R"("stacked", "ids"])", R"("stacked", "pooled"])", kInvalid,
       "dense.inputs[4]"},
      {"slot missing", R"("sequence", "stacked", "ids"])", R"("sequence", "ids"])", kInvalid,
       "dense.inputs"},
      {"input twice", R"("stacked", "ids"])", R"("stacked", "dense"])", kInvalid,
       "dense.inputs[4]"},
      {"unknown name", R"("stacked", "ids"])", R"("stacked", "none"])", kInvalid,
       "dense.inputs[4]"},
      {"ragged input", R"("stacked", "ids"])", R"("stacked", "tags"])", kInvalid,
       "dense.inputs[4]"},
      {"name is a number", R"("stacked", "ids"])", R"("stacked", 4])", kInvalid, "dense.inputs[4]"},
      {"more names than there are", R"("stacked", "ids"])",
       R"("stacked", "ids", "a", "b", "c", "d", "e", "f"])", kLimit, "dense.inputs"},
      {"inputs is an object", R"(["dense", "pooled", "sequence", "stacked", "ids"])", "{}",
       kInvalid, "dense.inputs"},
      {"external data", R"("dense.onnx")", R"("dense.onnx", "external": "weights")", kInvalid,
       "dense.external"},
      {"output named twice", R"("name": "embedding")", R"("name": "score")", kInvalid,
       "outputs[1].name"},
      {"output without dtype", R"("dtype": "f16", )", "", kInvalid, "dtype"},
      {"output of text", R"("dtype": "f16")", R"("dtype": "string")", kInvalid, "outputs[1].dtype"},
      {"output with batch last", R"([null, "K", 7])", R"([null, "batch"])", kInvalid,
       "outputs[1].shape[1]"},
      {"output of 2^29", R"([null, "K", 7])", R"([536870912])", kLimit, "outputs[1].shape[0]"},
      {"output of a boolean", R"([null, "K", 7])", R"([true])", kInvalid, "outputs[1].shape[0]"},
  });
}

}  // namespace
}  // namespace gyrfalcon
