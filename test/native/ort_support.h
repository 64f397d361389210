// The library under test and memory for its bindings.
#ifndef GYRFALCON_TEST_NATIVE_ORT_SUPPORT_H_
#define GYRFALCON_TEST_NATIVE_ORT_SUPPORT_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/dtype.h"
#include "engines/onnxruntime/ort_engine.h"
#include "onnx_builder.h"

namespace gyrfalcon::testing {

// GYRFALCON_ORT_LIBRARY, else the library of the installed onnxruntime-node.
inline std::string OrtPath() {
  if (const char* path = std::getenv("GYRFALCON_ORT_LIBRARY"); path != nullptr) return path;
#if defined(__aarch64__)
  const char* arch = "arm64";
#else
  const char* arch = "x64";
#endif
  return std::string(GYRFALCON_SOURCE_DIR) + "/node_modules/onnxruntime-node/bin/napi-v6/linux/" +
         arch + "/libonnxruntime.so.1";
}

// Null, with a failure recorded, when the library cannot be opened.
inline std::shared_ptr<OrtLibrary> OpenForTest() {
  Result<std::shared_ptr<OrtLibrary>> library = OpenOrtLibrary(OrtPath());
  EXPECT_TRUE(library.ok()) << library.status().message();
  return library.ok() ? *library : nullptr;
}

inline Result<std::shared_ptr<Engine>> Load(const std::string& model, int threads = 1) {
  std::shared_ptr<OrtLibrary> library = OpenForTest();
  if (library == nullptr) return Status(ErrorCode::kEngineUnavailable, "no library");
  return CreateOrtEngine(std::move(library), onnx::AsBytes(model), EngineOptions{threads});
}

// Null, with a failure recorded, when the model does not load.
inline std::shared_ptr<Engine> MustLoad(const std::string& model, int threads = 1) {
  Result<std::shared_ptr<Engine>> engine = Load(model, threads);
  EXPECT_TRUE(engine.ok()) << engine.status().message();
  return engine.ok() ? *engine : nullptr;
}

template <typename T>
constexpr Dtype kDtypeOf = Dtype::kF32;
template <>
inline constexpr Dtype kDtypeOf<double> = Dtype::kF64;
template <>
inline constexpr Dtype kDtypeOf<int8_t> = Dtype::kI8;
template <>
inline constexpr Dtype kDtypeOf<uint8_t> = Dtype::kU8;
template <>
inline constexpr Dtype kDtypeOf<int16_t> = Dtype::kI16;
template <>
inline constexpr Dtype kDtypeOf<uint16_t> = Dtype::kU16;
template <>
inline constexpr Dtype kDtypeOf<int32_t> = Dtype::kI32;
template <>
inline constexpr Dtype kDtypeOf<int64_t> = Dtype::kI64;

// A binding over a vector, which must not move afterwards.
template <typename T>
EngineBinding Bind(std::string name, std::vector<int64_t> dims, std::vector<T>* values) {
  return {std::move(name), kDtypeOf<T>, std::move(dims), values->data(),
          values->size() * sizeof(T)};
}

inline constexpr int64_t kRows = EngineBinding::kRows;

// What onnx::DenseLayer computes, in double precision.
inline std::vector<float> DenseLayerReference(const std::vector<float>& x, int64_t rows, int64_t in,
                                              int64_t out) {
  std::vector<float> y;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < out; ++j) {
      double sum = static_cast<double>(j - 1);
      for (int64_t i = 0; i < in; ++i) {
        sum += static_cast<double>(x[static_cast<size_t>(r * in + i)]) *
               (0.5 * static_cast<double>(i + 1) - static_cast<double>(j));
      }
      y.push_back(static_cast<float>(sum > 0 ? sum : 0));
    }
  }
  return y;
}

}  // namespace gyrfalcon::testing

#endif  // GYRFALCON_TEST_NATIVE_ORT_SUPPORT_H_
