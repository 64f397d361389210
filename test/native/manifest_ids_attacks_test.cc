// Named attacks on what a manifest says about computed ids: map, padding, length.
#include <gtest/gtest.h>

#include <string>

#include "bundle/bundle.h"
#include "bundle_support.h"

namespace gyrfalcon {
namespace {

using testing::Edit;
using testing::ExpectError;
using testing::GoodManifest;

constexpr ErrorCode kInvalid = ErrorCode::kBundleInvalid;
constexpr ErrorCode kLimit = ErrorCode::kLimitExceeded;

// `keys` go into a bag on a tensor input.
void AttackKeys(const char* name, const std::string& keys, ErrorCode code, const char* message) {
  SCOPED_TRACE(name);
  const std::string tensor = R"("start": 5, )" + keys;
  ExpectError(ParseManifest(Edit(GoodManifest(), R"("start": 5)", tensor)), code, message);
}

TEST(ManifestAttacks, OnComputedIds) {
  const auto step = [](const std::string& text) { return R"("map": [)" + text + "]"; };
  const auto steps = [](int n) {
    std::string text = R"({"op": "abs"})";
    for (int i = 1; i < n; ++i) text += R"(, {"op": "abs"})";
    return R"("map": [)" + text + "]";
  };
  const char* const at = "bags[4].map";
  const char* const first = "bags[4].map[0]";
  EXPECT_TRUE(
      ParseManifest(Edit(GoodManifest(), R"("start": 5)", R"("start": 5, )" + steps(16))).ok());
  EXPECT_TRUE(ParseManifest(Edit(GoodManifest(), R"("start": 5)", R"("start": -1)")).ok());
  ExpectError(ParseManifest(Edit(GoodManifest(), R"("start": 5)", R"("start": -7)")), kInvalid,
              "bags[4]");
  AttackKeys("17 steps", steps(17), kLimit, at);
  AttackKeys("map is an object", R"("map": {})", kInvalid, at);
  AttackKeys("step is text", step(R"("abs")"), kInvalid, first);
  AttackKeys("step without op", step("{}"), kInvalid, first);
  AttackKeys("op is a number", step(R"({"op": 1})"), kInvalid, first);
  AttackKeys("unknown op", step(R"({"op": "xor", "value": 1})"), kInvalid, first);
  AttackKeys("abs with a value", step(R"({"op": "abs", "value": 1})"), kInvalid, first);
  AttackKeys("add without value", step(R"({"op": "add"})"), kInvalid, first);
  AttackKeys("add of a fraction", step(R"({"op": "add", "value": 0.5})"), kInvalid, first);
  AttackKeys("add of 2^53 + 2", step(R"({"op": "add", "value": 9007199254740994})"), kInvalid,
             first);
  AttackKeys("mod by 0", step(R"({"op": "mod", "by": 0})"), kInvalid, first);
  AttackKeys("rem by -1", step(R"({"op": "rem", "by": -1})"), kInvalid, first);
  AttackKeys("div by 0", step(R"({"op": "div", "by": 0})"), kInvalid, first);
  AttackKeys("floordiv by 0", step(R"({"op": "floordiv", "by": 0})"), kInvalid, first);
  AttackKeys("mod with value", step(R"({"op": "mod", "value": 3})"), kInvalid, first);
  AttackKeys("clamp of nothing", step(R"({"op": "clamp"})"), kInvalid, first);
  AttackKeys("clamp to nothing", step(R"({"op": "clamp", "min": 3, "max": 2})"), kInvalid, first);
  AttackKeys("replace without if", step(R"({"op": "replace", "value": 3, "with": 2})"), kInvalid,
             first);
  AttackKeys("replace by text", step(R"({"op": "replace", "if": "like", "value": 3, "with": 2})"),
             kInvalid, first);
  AttackKeys("replace at a place of text",
             step(R"({"op": "replace", "if": "eq", "value": 3, "with": 2, "place": "i"})"),
             kInvalid, "bags[4].map[0].place");
  AttackKeys("mul with a place", step(R"({"op": "mul", "value": 3, "place": 1})"), kInvalid, first);
  AttackKeys("sum without zeros", step(R"({"op": "sum", "before": 0, "step": 1})"), kInvalid,
             first);
  AttackKeys("sum of step 0", step(R"({"op": "sum", "before": 0, "step": 0, "zeros": true})"),
             kInvalid, "bags[4].map[0].step");
  AttackKeys("sum from before the row",
             step(R"({"op": "sum", "before": 1048576, "step": 1, "zeros": true})"), kInvalid,
             first);
  AttackKeys("paddingOf without padding", R"("paddingOf": "id")", kInvalid, "bags[4].paddingOf");
  AttackKeys("paddingOf something", R"("padding": 0, "paddingOf": "row")", kInvalid,
             "bags[4].paddingOf");
  AttackKeys("length is a number", R"("length": 3)", kInvalid, "bags[4].length");
  AttackKeys("length without element", R"("length": {"input": "ids"})", kInvalid, "bags[4].length");
  AttackKeys("length of an unknown input", R"("length": {"input": "none", "element": 0})", kInvalid,
             "bags[4].length.input");
  AttackKeys("length of a ragged input", R"("length": {"input": "tags", "element": 0})", kInvalid,
             "bags[4].length.input");
  AttackKeys("length without batch", R"("length": {"input": "temperature", "element": 0})",
             kInvalid, "bags[4].length.input");
  AttackKeys("length beyond the row", R"("length": {"input": "ids", "element": 6})", kInvalid,
             "bags[4].length.element");
  AttackKeys("length at -1", R"("length": {"input": "ids", "element": -1})", kInvalid,
             "bags[4].length.element");
  AttackKeys("length from -1", R"("length": {"input": "ids", "element": 0, "from": -1})", kInvalid,
             "bags[4].length.from");
  SCOPED_TRACE("length of a ragged bag");
  const std::string ragged = R"("add": -3, "length": {"input": "ids", "element": 0})";
  ExpectError(ParseManifest(Edit(GoodManifest(), R"("add": -3)", ragged)), kInvalid,
              "bags[2].length");
}

}  // namespace
}  // namespace gyrfalcon
