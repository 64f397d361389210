// What attacks on fused graphs have in common.
#ifndef GYRFALCON_TEST_NATIVE_FUSED_ATTACKS_H_
#define GYRFALCON_TEST_NATIVE_FUSED_ATTACKS_H_

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "engines/fused/fused_engine.h"
#include "engines/fused/graph_reader.h"

namespace gyrfalcon::fused::testing {

inline constexpr ErrorCode kInvalid = ErrorCode::kBundleInvalid;
inline constexpr ErrorCode kLimit = ErrorCode::kLimitExceeded;

inline const std::vector<SymbolSpec>& Symbols() {
  static const std::vector<SymbolSpec> symbols = {{"L", 5}, {"K", 0}};
  return symbols;
}

// As a model is loaded, with L of 5, and a context made.
inline Status Load(const std::string& text) {
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

inline void ExpectRefused(const std::string& text, ErrorCode code, std::string_view message) {
  const Status status = Load(text);
  EXPECT_EQ(ErrorCodeName(status.code()), ErrorCodeName(code)) << status.message();
  EXPECT_NE(status.message().find(message), std::string::npos) << status.message();
}

}  // namespace gyrfalcon::fused::testing

#endif  // GYRFALCON_TEST_NATIVE_FUSED_ATTACKS_H_
