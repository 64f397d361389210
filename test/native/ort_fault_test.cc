// The engine over a table whose functions fail when they are told to.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "allocation_counter.h"
#include "engines/onnxruntime/ort_api.h"
#include "engines/onnxruntime/ort_library.h"
#include "ort_support.h"

namespace gyrfalcon::testing {
namespace {

constexpr size_t kSlots = 412;  // of API version 24
constexpr const char* kInjected = "injected failure";

struct Faults {
  std::array<const void*, kSlots> table{};
  const void* const* real = nullptr;
  int calls = 0;               // of functions that can fail
  int fail_at = -1;            // the call that fails
  bool forever = false;        // and all after it
  bool fake_runs = false;      // runs do nothing
  bool moved_outputs = false;  // outputs say that they lie elsewhere
  int runs = 0;

  bool FailsNow() {
    const int call = calls++;
    return fail_at >= 0 && (forever ? call >= fail_at : call == fail_at);
  }
};

Faults faults;

template <typename Function>
struct Stub;

template <typename... Arguments>
struct Stub<ort::OrtStatus*(Arguments...)> {
  template <auto kSlot>
  static ort::OrtStatus* Call(Arguments... arguments) {
    const ort::Api real(faults.real);
    const bool fails = faults.FailsNow();
    if (kSlot.index == ort::kRunWithBinding.index) {
      ++faults.runs;
      if (faults.fake_runs) return nullptr;
    }
    if (fails) return real[ort::kCreateStatus](ort::kFail, kInjected);
    if constexpr (kSlot.index == ort::kGetTensorMutableData.index) {
      void** const data = std::get<1>(std::tuple(arguments...));
      ort::OrtStatus* const status = real[kSlot](arguments...);
      if (faults.moved_outputs) *data = &faults;
      return status;
    }
    return real[kSlot](arguments...);
  }
};

template <auto kSlot, typename Function>
void Install(ort::Slot<Function>) {
  faults.table[kSlot.index] = reinterpret_cast<const void*>(&Stub<Function>::template Call<kSlot>);
}

template <auto... kFailing>
void InstallAll() {
  (Install<kFailing>(kFailing), ...);
}

// The table that the opened library uses.
const void* const* RealTable() {
  void* handle = dlopen(OrtPath().c_str(), RTLD_NOW | RTLD_LOCAL);
  auto* base = reinterpret_cast<ort::GetApiBaseFunction*>(dlsym(handle, "OrtGetApiBase"));
  return base()->get_api(ort::kApiVersion);
}

// The opened library, with the table above.
std::shared_ptr<OrtLibrary> FaultyLibrary() {
  const std::shared_ptr<OrtLibrary> library = OpenForTest();
  if (library == nullptr) return nullptr;
  faults = Faults();
  faults.real = RealTable();
  std::copy_n(faults.real, kSlots, faults.table.begin());
  InstallAll<
      ort::kCreateSession, ort::kCreateSessionFromArray, ort::kRun, ort::kCreateSessionOptions,
      ort::kSetSessionExecutionMode, ort::kDisableMemPattern, ort::kEnableCpuMemArena,
      ort::kSetSessionLogSeverityLevel, ort::kSetSessionGraphOptimizationLevel,
      ort::kSetIntraOpNumThreads, ort::kSetInterOpNumThreads, ort::kAddSessionConfigEntry,
      ort::kSessionGetInputCount, ort::kSessionGetOutputCount, ort::kSessionGetInputTypeInfo,
      ort::kSessionGetOutputTypeInfo, ort::kSessionGetInputName, ort::kSessionGetOutputName,
      ort::kCreateRunOptions, ort::kRunOptionsSetRunLogSeverityLevel,
      ort::kCreateTensorWithDataAsOrtValue, ort::kGetTensorMutableData,
      ort::kCastTypeInfoToTensorInfo, ort::kGetOnnxTypeFromTypeInfo, ort::kGetTensorElementType,
      ort::kGetDimensionsCount, ort::kGetDimensions, ort::kGetSymbolicDimensions,
      ort::kGetTensorTypeAndShape, ort::kRunWithBinding, ort::kCreateIoBinding, ort::kBindInput,
      ort::kBindOutput, ort::kGetBoundOutputValues>();
  return std::make_shared<OrtLibrary>(ort::Api(faults.table.data()), library->env(), library->cpu(),
                                      library->allocator(), library->version());
}

// Everything an engine does, once; the first error, or OK with the scores checked.
Status UseEverything(const std::shared_ptr<OrtLibrary>& library) {
  const std::string model = onnx::DenseLayer(2, 3);
  Result<std::shared_ptr<Engine>> engine =
      CreateOrtEngine(library, onnx::AsBytes(model), EngineOptions{});
  if (!engine.ok()) return engine.status();
  std::vector<float> x = {1, 2, 3, 4};
  std::vector<float> y(6, -1);
  auto once = (*engine)->RunOnce({Bind("x", {kRows, 2}, &x)}, 2);
  if (!once.ok()) return once.status();
  EXPECT_EQ((*once)[0].dims, (std::vector<int64_t>{2, 3}));
  auto context = (*engine)->CreateContext({Bind("x", {kRows, 2}, &x)}, {Bind("y", {kRows, 3}, &y)});
  if (!context.ok()) return context.status();
  for (const int64_t rows : {1, 2, 1}) {
    std::fill(y.begin(), y.end(), -1.f);
    GYR_RETURN_IF_ERROR((*context)->Run(rows));
    std::vector<float> expected = DenseLayerReference(x, rows, 2, 3);
    expected.resize(6, -1);
    EXPECT_EQ(y, expected);
  }
  return Status::Ok();
}

TEST(OrtFaultTest, EveryFailureOfTheLibraryIsAnError) {
  const std::shared_ptr<OrtLibrary> library = FaultyLibrary();
  ASSERT_NE(library, nullptr);
  ASSERT_TRUE(UseEverything(library).ok());
  const int calls = faults.calls;
  EXPECT_GT(calls, 50);
  for (const bool forever : {false, true}) {
    for (int call = 0; call < calls; ++call) {
      faults.calls = 0;
      faults.fail_at = call;
      faults.forever = forever;
      const Status status = UseEverything(library);
      EXPECT_EQ(status.code(), ErrorCode::kEngineFailed) << "call " << call;
      EXPECT_NE(status.message().find(kInjected), std::string::npos) << status.message();
    }
    faults.fail_at = -1;
    EXPECT_TRUE(UseEverything(library).ok());
  }
}

TEST(OrtFaultTest, AContextRecoversFromAnyFailureOfARun) {
  const std::shared_ptr<OrtLibrary> library = FaultyLibrary();
  ASSERT_NE(library, nullptr);
  const std::string model = onnx::DenseLayer(2, 3);
  auto engine = CreateOrtEngine(library, onnx::AsBytes(model), EngineOptions{});
  ASSERT_TRUE(engine.ok());
  std::vector<float> x = {1, 2, 3, 4};
  std::vector<float> y(6, -1);
  auto context = (*engine)->CreateContext({Bind("x", {kRows, 2}, &x)}, {Bind("y", {kRows, 3}, &y)});
  ASSERT_TRUE(context.ok());
  bool failed = true;
  for (int call = 0; failed; ++call) {
    for (const int64_t rows : {1, 2}) {
      faults.calls = 0;
      faults.fail_at = call;
      failed = !(*context)->Run(rows).ok();
      faults.fail_at = -1;
      std::fill(y.begin(), y.end(), -1.f);
      ASSERT_TRUE((*context)->Run(rows).ok()) << call;
      std::vector<float> expected = DenseLayerReference(x, rows, 2, 3);
      expected.resize(6, -1);
      EXPECT_EQ(y, expected) << call;
    }
    ASSERT_LT(call, 100);
  }
}

// Old scores in the batch must not pass for new ones.
TEST(OrtFaultTest, OutputsElsewhereAreAnError) {
  const std::shared_ptr<OrtLibrary> library = FaultyLibrary();
  ASSERT_NE(library, nullptr);
  const std::string model = onnx::DenseLayer(2, 3);
  auto engine = CreateOrtEngine(library, onnx::AsBytes(model), EngineOptions{});
  ASSERT_TRUE(engine.ok());
  std::vector<float> x = {1, 2};
  std::vector<float> y(3, -1);
  auto context = (*engine)->CreateContext({Bind("x", {kRows, 2}, &x)}, {Bind("y", {kRows, 3}, &y)});
  ASSERT_TRUE(context.ok());
  faults.moved_outputs = true;
  for (int i = 0; i < 2; ++i) {
    const Status status = (*context)->Run(1);
    EXPECT_EQ(status.code(), ErrorCode::kEngineFailed);
    EXPECT_NE(status.message().find("\"y\" in the bound memory"), std::string::npos);
  }
  faults.moved_outputs = false;
  EXPECT_TRUE((*context)->Run(1).ok());
}

TEST(OrtFaultTest, AFailedRunIsBoundAnew) {
  const std::shared_ptr<OrtLibrary> library = FaultyLibrary();
  ASSERT_NE(library, nullptr);
  const std::string model = onnx::DenseLayer(2, 3);
  auto engine = CreateOrtEngine(library, onnx::AsBytes(model), EngineOptions{});
  ASSERT_TRUE(engine.ok());
  std::vector<float> x = {1, 2};
  std::vector<float> y(3, -1);
  auto context = (*engine)->CreateContext({Bind("x", {kRows, 2}, &x)}, {Bind("y", {kRows, 3}, &y)});
  ASSERT_TRUE(context.ok());
  ASSERT_TRUE((*context)->Run(1).ok());
  faults.calls = 0;
  faults.fail_at = 0;  // the run itself: the rows are bound
  EXPECT_FALSE((*context)->Run(1).ok());
  EXPECT_EQ(faults.calls, 1);
  faults.fail_at = -1;
  faults.calls = 0;
  ASSERT_TRUE((*context)->Run(1).ok());
  EXPECT_GT(faults.calls, 1);
  EXPECT_EQ(y, DenseLayerReference(x, 1, 2, 3));
}

// A row count that is bound already is one call of the library and no allocation of ours.
TEST(OrtFaultTest, TheSteadyStateIsOneCall) {
  const std::shared_ptr<OrtLibrary> library = FaultyLibrary();
  ASSERT_NE(library, nullptr);
  const std::string model = onnx::DenseLayer(2, 3);
  auto engine = CreateOrtEngine(library, onnx::AsBytes(model), EngineOptions{});
  ASSERT_TRUE(engine.ok());
  std::vector<float> x(2 * 16, 1);
  std::vector<float> y(3 * 16, -1);
  auto context = (*engine)->CreateContext({Bind("x", {kRows, 2}, &x)}, {Bind("y", {kRows, 3}, &y)});
  ASSERT_TRUE(context.ok());
  for (int64_t rows = 1; rows <= 8; ++rows) ASSERT_TRUE((*context)->Run(rows).ok());

  faults.fake_runs = true;
  faults.calls = 0;
  faults.runs = 0;
  const AllocationCounter counter;
  bool ok = true;
  for (int i = 0; i < 100; ++i) ok = ok && (*context)->Run(1 + i % 8).ok();
  const size_t allocated = counter.count();
  EXPECT_TRUE(ok);
  EXPECT_EQ(faults.runs, 100);
  EXPECT_EQ(faults.calls, 100);
  EXPECT_EQ(allocated, 0u);

  // The counters count: a ninth size has to be bound, in place of the oldest.
  faults.fake_runs = false;
  faults.calls = 0;
  ASSERT_TRUE((*context)->Run(9).ok());
  EXPECT_GT(faults.calls, 4);
  faults.calls = 0;
  ASSERT_TRUE((*context)->Run(8).ok());
  EXPECT_EQ(faults.calls, 1);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_TRUE(AllocationCounter::Works());
#endif
}

}  // namespace
}  // namespace gyrfalcon::testing
