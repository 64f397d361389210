#include <dlfcn.h>
#include <gtest/gtest.h>
#include <link.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "engines/onnxruntime/ort_api.h"
#include "engines/onnxruntime/ort_library.h"
#include "engines/onnxruntime/ort_status.h"
#include "ort_support.h"

namespace gyrfalcon::testing {
namespace {

using ort::Handle;
using ort::TakeStatus;

TEST(OrtVersionTest, FromOneThirtyOn) {
  for (const char* good : {"1.30", "1.30.0", "1.30.1-dev", "1.31.2", "1.100.0", "2.0.0"}) {
    EXPECT_TRUE(ort::IsSupportedVersion(good)) << good;
  }
  for (const char* bad : {"", "1", "1.", "1.29.9", "1.3", "0.99.0", "x.30.0", "1.x", "-1.30",
                          "1.-3", "99999999999.0", ".30", " 1.30"}) {
    EXPECT_FALSE(ort::IsSupportedVersion(bad)) << bad;
  }
}

TEST(OrtMessageTest, IsCleaned) {
  EXPECT_EQ(ort::CleanMessage("plain"), "plain");
  EXPECT_EQ(ort::CleanMessage("a\nb\r\n\tc\x7f\n"), "a b c");
  EXPECT_EQ(ort::CleanMessage("at 0x7ffd1234abcd: no"), "at (address): no");
  EXPECT_EQ(ort::CleanMessage("0xABCDEF"), "(address)");
  EXPECT_EQ(ort::CleanMessage("flags 0x1f"), "flags 0x1f");
  EXPECT_EQ(ort::CleanMessage("0x"), "0x");
  EXPECT_EQ(ort::CleanMessage(std::string(500, 'x')), std::string(500, 'x'));
  EXPECT_EQ(ort::CleanMessage(std::string(501, 'x')), std::string(500, 'x') + "...");
  // Cut between characters: 499 bytes, then one of two.
  EXPECT_EQ(ort::CleanMessage(std::string(499, 'x') + "\xc3\xa9"), std::string(499, 'x') + "...");
}

TEST(OrtLibraryTest, OpensOnce) {
  const std::shared_ptr<OrtLibrary> first = OpenForTest();
  ASSERT_NE(first, nullptr);
  EXPECT_TRUE(ort::IsSupportedVersion(OrtLibraryVersion(*first)));
  auto second = OpenOrtLibrary("/another/path/after/the/first.so");
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->get(), first.get());
  std::vector<std::thread> threads;
  std::array<OrtLibrary*, 4> seen{};
  for (size_t i = 0; i < seen.size(); ++i) {
    threads.emplace_back([&, i] {
      auto library = OpenOrtLibrary(OrtPath());
      if (library.ok()) seen[i] = library->get();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (OrtLibrary* library : seen) EXPECT_EQ(library, first.get());
}

// Every slot that is declared does what its name says. Those that load, describe, bind and run are
// exercised by every other test; a shifted number would call something else altogether.
TEST(OrtApiTest, StatusesRoundTrip) {
  const ort::Api api = OpenForTest()->api();
  for (const int code : {1, 2, 3, 7, 9, 10}) {
    const std::string message = "message " + std::to_string(code);
    const Handle<ort::OrtStatus> status(api, api[ort::kCreateStatus](code, message.c_str()));
    ASSERT_TRUE(status);
    EXPECT_EQ(api[ort::kGetErrorCode](status.get()), code);
    EXPECT_EQ(std::string(api[ort::kGetErrorMessage](status.get())), message);
  }
}

TEST(OrtApiTest, StatusesBecomeCodes) {
  const ort::Api api = OpenForTest()->api();
  const auto code_of = [&](int number, const char* message) {
    return TakeStatus(api, api[ort::kCreateStatus](number, message), "testing").code();
  };
  EXPECT_EQ(code_of(ort::kFail, "x"), ErrorCode::kEngineFailed);
  EXPECT_EQ(code_of(ort::kInvalidArgument, "x"), ErrorCode::kEngineFailed);
  EXPECT_EQ(code_of(ort::kRuntimeException, "x"), ErrorCode::kEngineFailed);
  EXPECT_EQ(code_of(ort::kRuntimeException, "std::bad_alloc"), ErrorCode::kOutOfMemory);
  EXPECT_EQ(code_of(ort::kFail, "Failed to allocate memory for requested buffer of size 9"),
            ErrorCode::kOutOfMemory);
  EXPECT_EQ(code_of(ort::kNoSuchFile, "x"), ErrorCode::kIoError);
  EXPECT_EQ(code_of(ort::kInvalidProtobuf, "x"), ErrorCode::kOnnxInvalid);
  EXPECT_EQ(code_of(ort::kInvalidGraph, "x"), ErrorCode::kOnnxInvalid);
  EXPECT_EQ(code_of(ort::kNoModel, "x"), ErrorCode::kOnnxInvalid);
  EXPECT_EQ(code_of(ort::kNotImplemented, "x"), ErrorCode::kOnnxUnsupported);
  EXPECT_TRUE(TakeStatus(api, nullptr, "testing").ok());
  EXPECT_EQ(TakeStatus(api, api[ort::kCreateStatus](1, "a\n0x123456789"), "testing").message(),
            "ONNX Runtime failed testing: a (address)");
}

TEST(OrtApiTest, TensorsReferToMemory) {
  const std::shared_ptr<OrtLibrary> library = OpenForTest();
  const ort::Api api = library->api();
  alignas(64) std::array<float, 6> memory{};
  const std::array<int64_t, 2> dims = {2, 3};
  Handle<ort::OrtValue> value(api);
  ASSERT_TRUE(TakeStatus(api,
                         api[ort::kCreateTensorWithDataAsOrtValue](
                             library->cpu(), memory.data(), sizeof(memory), dims.data(),
                             dims.size(), Info(Dtype::kF32).onnx, value.Out()),
                         "testing")
                  .ok());
  int is_tensor = 0;
  ASSERT_EQ(api[ort::kIsTensor](value.get(), &is_tensor), nullptr);
  EXPECT_EQ(is_tensor, 1);
  void* data = nullptr;
  ASSERT_EQ(api[ort::kGetTensorMutableData](value.get(), &data), nullptr);
  EXPECT_EQ(data, memory.data());
  Handle<ort::OrtTensorTypeAndShapeInfo> info(api);
  ASSERT_EQ(api[ort::kGetTensorTypeAndShape](value.get(), info.Out()), nullptr);
  int type = 0;
  size_t rank = 0;
  std::array<int64_t, 2> got{};
  ASSERT_EQ(api[ort::kGetTensorElementType](info.get(), &type), nullptr);
  ASSERT_EQ(api[ort::kGetDimensionsCount](info.get(), &rank), nullptr);
  ASSERT_EQ(api[ort::kGetDimensions](info.get(), got.data(), got.size()), nullptr);
  EXPECT_EQ(type, Info(Dtype::kF32).onnx);
  EXPECT_EQ(rank, 2u);
  EXPECT_EQ(got, dims);
  EXPECT_TRUE(api[ort::kTensorTypeAndShapeHasShape](info.get()));
  // Memory that is too small is refused.
  Handle<ort::OrtValue> over(api);
  EXPECT_FALSE(TakeStatus(api,
                          api[ort::kCreateTensorWithDataAsOrtValue](
                              library->cpu(), memory.data(), sizeof(memory) - 1, dims.data(),
                              dims.size(), Info(Dtype::kF32).onnx, over.Out()),
                          "testing")
                   .ok());
}

TEST(OrtApiTest, BoundOutputsAreTheBatchesOwnMemory) {
  const std::shared_ptr<OrtLibrary> library = OpenForTest();
  const ort::Api api = library->api();
  const std::string model = onnx::DenseLayer(2, 2);
  Handle<ort::OrtSessionOptions> options(api);
  ASSERT_EQ(api[ort::kCreateSessionOptions](options.Out()), nullptr);
  Handle<ort::OrtSession> session(api);
  ASSERT_EQ(api[ort::kCreateSessionFromArray](library->env(), model.data(), model.size(),
                                              options.get(), session.Out()),
            nullptr);
  alignas(64) std::array<float, 2> x = {1, 2};
  alignas(64) std::array<float, 2> y = {-1, -1};
  const std::array<int64_t, 2> dims = {1, 2};
  const auto value_over = [&](void* data, Handle<ort::OrtValue>* value) {
    return api[ort::kCreateTensorWithDataAsOrtValue](library->cpu(), data, sizeof(x), dims.data(),
                                                     2, 1, value->Out());
  };
  Handle<ort::OrtValue> in(api);
  Handle<ort::OrtValue> out(api);
  ASSERT_EQ(value_over(x.data(), &in), nullptr);
  ASSERT_EQ(value_over(y.data(), &out), nullptr);
  Handle<ort::OrtIoBinding> binding(api);
  ASSERT_EQ(api[ort::kCreateIoBinding](session.get(), binding.Out()), nullptr);
  ASSERT_EQ(api[ort::kBindInput](binding.get(), "x", in.get()), nullptr);
  ASSERT_EQ(api[ort::kBindOutput](binding.get(), "y", out.get()), nullptr);
  in.Reset();  // the binding shares ownership
  out.Reset();
  ASSERT_EQ(api[ort::kRunWithBinding](session.get(), nullptr, binding.get()), nullptr);
  ort::OrtValue** values = nullptr;
  size_t count = 0;
  ASSERT_EQ(api[ort::kGetBoundOutputValues](binding.get(), library->allocator(), &values, &count),
            nullptr);
  ASSERT_EQ(count, 1u);
  const Handle<ort::OrtValue> bound(api, values[0]);
  ASSERT_EQ(api[ort::kAllocatorFree](library->allocator(), values), nullptr);
  void* data = nullptr;
  ASSERT_EQ(api[ort::kGetTensorMutableData](bound.get(), &data), nullptr);
  EXPECT_EQ(data, y.data());
  EXPECT_NEAR(y[0], 1.5, 1e-6);  // 1 * 0.5 + 2 * 1 - 1
}

// The rest needs a process that has not opened the library yet.
class OrtProcessTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// Exits 0 when `ok`; stderr then has to be what the matcher says.
[[noreturn]] void Exit(bool ok) { std::_Exit(ok ? 0 : 1); }

bool FailsWith(const std::string& path, const char* says) {
  const Status status = OpenOrtLibrary(path).status();
  return status.code() == ErrorCode::kEngineUnavailable &&
         status.message().find(says) != std::string::npos;
}

bool DenseLayerIsRight() {
  auto library = OpenOrtLibrary(OrtPath());
  if (!library.ok()) return false;
  const std::string model = onnx::DenseLayer(2, 3);
  auto engine = CreateOrtEngine(*library, onnx::AsBytes(model), EngineOptions{});
  if (!engine.ok()) return false;
  std::vector<float> x = {1, 2};
  std::vector<float> y(3, -1);
  auto context = (*engine)->CreateContext({Bind("x", {kRows, 2}, &x)}, {Bind("y", {kRows, 3}, &y)});
  return context.ok() && (*context)->Run(1).ok() && y == DenseLayerReference(x, 1, 2, 3);
}

TEST_F(OrtProcessTest, WhatCannotBeOpenedSaysWhyAndAnotherTryMaySucceed) {
  EXPECT_EXIT(Exit(FailsWith("", "expected an absolute path") &&
                   FailsWith("libonnxruntime.so.1", "expected an absolute path") &&
                   FailsWith(std::string("/a\0b", 4), "expected an absolute path") &&
                   FailsWith("/nowhere/libonnxruntime.so.1", "/nowhere/libonnxruntime.so.1") &&
                   FailsWith("/etc/passwd", "/etc/passwd") &&
                   FailsWith("/tmp", "cannot be opened") && DenseLayerIsRight()),
              ::testing::ExitedWithCode(0), "^$");
}

// Where the system keeps its mathematics library.
std::string LibmPath() {
  void* handle = dlopen("libm.so.6", RTLD_NOW);
  link_map* map = nullptr;
  if (handle == nullptr || dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0) return "";
  return map->l_name;
}

TEST_F(OrtProcessTest, AnotherLibraryIsNotTakenForOnnxRuntime) {
  EXPECT_EXIT(Exit(FailsWith(LibmPath(), "it has no OrtGetApiBase") && DenseLayerIsRight()),
              ::testing::ExitedWithCode(0), "^$");
}

// Runs the dense layer through the library as another user of it would.
bool OthersEnvironmentWorks(const std::string& path) {
  void* handle = dlopen(path.c_str(), RTLD_LAZY | RTLD_GLOBAL);
  if (handle == nullptr) return false;
  auto* base = reinterpret_cast<ort::GetApiBaseFunction*>(dlsym(handle, "OrtGetApiBase"));
  if (base == nullptr) return false;
  const ort::Api api(base()->get_api(ort::kApiVersion));
  constexpr ort::Slot<ort::OrtStatus*(int, const char*, ort::OrtEnv**)> kCreateEnv{3};
  Handle<ort::OrtEnv> env(api);
  if (api[kCreateEnv](2, "other", env.Out()) != nullptr) return false;
  Handle<ort::OrtSessionOptions> options(api);
  Handle<ort::OrtSession> session(api);
  const std::string model = onnx::DenseLayer(2, 3);
  if (api[ort::kCreateSessionOptions](options.Out()) != nullptr) return false;
  return api[ort::kCreateSessionFromArray](env.get(), model.data(), model.size(), options.get(),
                                           session.Out()) == nullptr;
}

TEST_F(OrtProcessTest, SharesTheLibraryWithAnotherUserInEitherOrder) {
  EXPECT_EXIT(Exit(OthersEnvironmentWorks(OrtPath()) && DenseLayerIsRight()),
              ::testing::ExitedWithCode(0), "^$");
  EXPECT_EXIT(Exit(DenseLayerIsRight() && OthersEnvironmentWorks(OrtPath()) && DenseLayerIsRight()),
              ::testing::ExitedWithCode(0), "^$");
}

TEST_F(OrtProcessTest, LivesBesideAnotherCopyInEitherOrder) {
  const std::filesystem::path copy =
      std::filesystem::path(::testing::TempDir()) / "gyrfalcon-ort-copy" / "libonnxruntime.so.1";
  std::filesystem::create_directories(copy.parent_path());
  std::filesystem::copy_file(OrtPath(), copy, std::filesystem::copy_options::overwrite_existing);
  EXPECT_EXIT(Exit(OthersEnvironmentWorks(copy) && DenseLayerIsRight()),
              ::testing::ExitedWithCode(0), "^$");
  EXPECT_EXIT(Exit(DenseLayerIsRight() && OthersEnvironmentWorks(copy) && DenseLayerIsRight()),
              ::testing::ExitedWithCode(0), "^$");
  std::filesystem::remove_all(copy.parent_path());
}

// A graph that makes ONNX Runtime want to say something: a run that fails logs an error.
bool FailsQuietly() {
  onnx::Graph graph;
  graph.nodes = {onnx::Node("Gather", {"table", "id"}, {"y"})};
  graph.initializers = {onnx::FloatTensor("table", {3}, {5, 6, 7})};
  graph.inputs = {onnx::Value("id", Dtype::kI64, {"batch"})};
  graph.outputs = {onnx::Value("y", Dtype::kF32, {"batch"})};
  const std::string model = onnx::Model(graph);
  auto library = OpenOrtLibrary(OrtPath());
  if (!library.ok()) return false;
  auto engine = CreateOrtEngine(*library, onnx::AsBytes(model), EngineOptions{});
  if (!engine.ok()) return false;
  std::vector<int64_t> id = {9};
  std::vector<float> y(1, -1);
  auto context = (*engine)->CreateContext({Bind("id", {kRows}, &id)}, {Bind("y", {kRows}, &y)});
  return context.ok() && !(*context)->Run(1).ok() &&
         !(*engine)->RunOnce({Bind("id", {kRows}, &id)}, 1).ok();
}

TEST_F(OrtProcessTest, PrintsNothingWhoeverMadeTheEnvironment) {
  EXPECT_EXIT(Exit(FailsQuietly()), ::testing::ExitedWithCode(0), "^$");
  EXPECT_EXIT(
      {
        // The other user's environment, with its logger that prints, stays for good.
        auto* base = reinterpret_cast<ort::GetApiBaseFunction*>(
            dlsym(dlopen(OrtPath().c_str(), RTLD_NOW), "OrtGetApiBase"));
        const ort::Api api(base()->get_api(ort::kApiVersion));
        constexpr ort::Slot<ort::OrtStatus*(int, const char*, ort::OrtEnv**)> kCreateEnv{3};
        ort::OrtEnv* env = nullptr;
        Exit(api[kCreateEnv](2, "other", &env) == nullptr && FailsQuietly());
      },
      ::testing::ExitedWithCode(0), "^$");
}

}  // namespace
}  // namespace gyrfalcon::testing
