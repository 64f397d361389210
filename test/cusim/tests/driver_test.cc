// The simulated driver by itself: small programs, and everything that it is to notice.
#include <cuda.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "driver_support.h"

namespace gyrfalcon::testing {
namespace {

TEST_F(DriverTest, ALaunchReadsWhatWasCopiedBeforeIt) {
  for (const char* order : kOrders) {
    sim.order(order);
    const Numbers in = Pinned(7);
    const Numbers out = Pinned(0);
    const CUdeviceptr from = Device();
    const CUdeviceptr to = Device();
    EXPECT_EQ(cu.cuMemcpyHtoDAsync(from, in.host, kBytes, a), CUDA_SUCCESS);
    EXPECT_EQ(AddOne(from, to, a), CUDA_SUCCESS);
    EXPECT_EQ(cu.cuMemcpyDtoHAsync(out.host, to, kBytes, a), CUDA_SUCCESS);
    EXPECT_EQ(cu.cuStreamSynchronize(a), CUDA_SUCCESS);
    EXPECT_EQ(out.host[0], 8u) << order;
    EXPECT_EQ(out.host[kNumbers - 1], 8u) << order;
    EXPECT_EQ(sim.misuses(), 0) << order << ' ' << sim.LastMisuse();
  }
}

TEST_F(DriverTest, LateWorkSeesWhatTheHostWroteMeanwhile) {
  const Numbers in = Pinned(1);
  const Numbers out = Pinned(0);
  const CUdeviceptr to = Device();
  for (const bool late : {true, false}) {
    sim.order(late ? "late" : "prompt");
    in.host[0] = 1;
    EXPECT_EQ(cu.cuMemcpyHtoDAsync(to, in.host, kBytes, a), CUDA_SUCCESS);
    EXPECT_EQ(cu.cuStreamQuery(a), late ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS);
    in.host[0] = 2;  // the bug
    EXPECT_EQ(cu.cuMemcpyDtoHAsync(out.host, to, kBytes, a), CUDA_SUCCESS);
    EXPECT_EQ(cu.cuStreamSynchronize(a), CUDA_SUCCESS);
    EXPECT_EQ(out.host[0], late ? 2u : 1u);
  }
}

TEST_F(DriverTest, MemoryThatIsNotPinnedIsCopiedAtOnce) {
  std::array<uint32_t, kNumbers> in{};
  in[0] = 3;
  const Numbers out = Pinned(0);
  const CUdeviceptr to = Device();
  EXPECT_EQ(cu.cuMemcpyHtoDAsync(to, in.data(), kBytes, a), CUDA_SUCCESS);
  in[0] = 4;
  EXPECT_EQ(cu.cuMemcpyDtoHAsync(out.host, to, kBytes, a), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuStreamSynchronize(a), CUDA_SUCCESS);
  EXPECT_EQ(out.host[0], 3u);
  EXPECT_EQ(cu.cuMemcpyDtoHAsync(in.data(), to, kBytes, a), CUDA_ERROR_NOT_SUPPORTED);
}

// Two streams: the copy on one, the launch that needs it on the other.
bool Noticed(DriverTest* test, const std::string& order, bool waits) {
  test->sim.order(order.c_str());
  const Numbers in = test->Pinned(7);
  const CUdeviceptr from = test->Device();
  const CUdeviceptr to = test->Device();
  const CUevent event = test->Event();
  EXPECT_EQ(test->cu.cuMemcpyHtoDAsync(from, in.host, kBytes, test->a), CUDA_SUCCESS);
  EXPECT_EQ(test->cu.cuEventRecord(event, test->a), CUDA_SUCCESS);
  if (waits) {
    EXPECT_EQ(test->cu.cuStreamWaitEvent(test->b, event, 0), CUDA_SUCCESS);
  }
  static_cast<void>(test->AddOne(from, to, test->b));
  static_cast<void>(test->cu.cuStreamSynchronize(test->b));
  static_cast<void>(test->cu.cuStreamSynchronize(test->a));
  const bool noticed = test->sim.misuses() > 0;
  if (noticed) {
    EXPECT_NE(test->sim.LastMisuse().find("was never written"), std::string::npos);
    EXPECT_EQ(test->cu.cuStreamSynchronize(test->a), CUDA_ERROR_ILLEGAL_ADDRESS);
  }
  test->sim.reset();
  return noticed;
}

TEST_F(DriverTest, AMissingWaitBetweenStreamsIsNoticed) {
  EXPECT_TRUE(Noticed(this, "late", false));
  EXPECT_FALSE(Noticed(this, "prompt", false));
  int noticed = 0;
  for (int seed = 1; seed <= 20; ++seed) {
    EXPECT_FALSE(Noticed(this, std::to_string(seed), true)) << seed;
    noticed += Noticed(this, std::to_string(seed), false) ? 1 : 0;
  }
  EXPECT_GT(noticed, 3);
  EXPECT_LT(noticed, 20);
}

TEST_F(DriverTest, AnEventStandsForWhatWasEnqueuedBeforeIt) {
  const Numbers in = Pinned(7);
  const CUdeviceptr to = Device();
  const CUevent event = Event();
  EXPECT_EQ(cu.cuEventQuery(event), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuMemcpyHtoDAsync(to, in.host, kBytes, a), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuEventRecord(event, a), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuMemcpyHtoDAsync(to, in.host, kBytes, a), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuEventQuery(event), CUDA_ERROR_NOT_READY);
  EXPECT_EQ(cu.cuEventSynchronize(event), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuEventQuery(event), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuStreamQuery(a), CUDA_ERROR_NOT_READY);
  EXPECT_EQ(cu.cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuStreamQuery(a), CUDA_SUCCESS);
}

TEST_F(DriverTest, BytesThatWereNeverWrittenStayThatThroughCopies) {
  const Numbers out = Pinned(0);
  const CUdeviceptr from = Device();
  const CUdeviceptr to = Device();
  EXPECT_EQ(cu.cuMemsetD8Async(from, 1, kBytes - 4, a), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuMemcpyDtoDAsync(to, from, kBytes, a), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuMemcpyDtoHAsync(out.host, to, kBytes - 4, a), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuStreamSynchronize(a), CUDA_SUCCESS);
  EXPECT_EQ(out.host[0], 0x01010101u);
  EXPECT_EQ(cu.cuMemcpyDtoHAsync(out.host, to, kBytes, a), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuStreamSynchronize(a), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_NE(sim.LastMisuse().find("was never written"), std::string::npos) << sim.LastMisuse();
  sim.reset();
  EXPECT_EQ(cu.cuMemcpyDtoDAsync(from, to, kBytes, a), CUDA_SUCCESS);
  EXPECT_EQ(AddOne(from, to, a), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuStreamSynchronize(a), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_NE(sim.LastMisuse().find("kernel add_one"), std::string::npos) << sim.LastMisuse();
}

TEST_F(DriverTest, AFailureOfWorkIsReturnedByEveryCallAfterIt) {
  const CUdeviceptr to = Device();
  EXPECT_EQ(AddOne(to + 1, to, a), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuStreamSynchronize(a), CUDA_ERROR_MISALIGNED_ADDRESS);
  CUdeviceptr more = 0;
  EXPECT_EQ(cu.cuMemAlloc(&more, 4), CUDA_ERROR_MISALIGNED_ADDRESS);
  EXPECT_EQ(cu.cuStreamSynchronize(b), CUDA_ERROR_MISALIGNED_ADDRESS);
  // What is given back is given back, and not twice by who asks again.
  const int before = sim.live();
  const int misuses = sim.misuses();
  const CUdeviceptr freed = memory.back();
  memory.pop_back();
  EXPECT_EQ(cu.cuMemFree(freed), CUDA_ERROR_MISALIGNED_ADDRESS);
  EXPECT_EQ(cu.cuMemFree(freed), CUDA_ERROR_MISALIGNED_ADDRESS);
  EXPECT_EQ(sim.live(), before - 1);
  EXPECT_EQ(sim.misuses(), misuses);
  sim.reset();
  EXPECT_EQ(cu.cuStreamSynchronize(a), CUDA_SUCCESS);
  sim.fail_work(2, CUDA_ERROR_LAUNCH_FAILED);
  const Numbers in = Pinned(1);
  const CUdeviceptr other = Device();
  EXPECT_EQ(cu.cuMemcpyHtoDAsync(other, in.host, kBytes, a), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuStreamSynchronize(a), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuMemcpyHtoDAsync(other, in.host, kBytes, a), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuStreamSynchronize(a), CUDA_ERROR_LAUNCH_FAILED);
}

TEST_F(DriverTest, MemoryThatIsFreedUnderWorkIsNoticed) {
  const Numbers in = Pinned(1);
  const CUdeviceptr to = Device();
  EXPECT_EQ(cu.cuMemcpyHtoDAsync(to, in.host, kBytes, a), CUDA_SUCCESS);
  memory.pop_back();
  EXPECT_EQ(cu.cuMemFree(to), CUDA_SUCCESS);
  EXPECT_NE(sim.LastMisuse().find("freed under work"), std::string::npos) << sim.LastMisuse();
  EXPECT_EQ(cu.cuStreamSynchronize(a), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_NE(sim.LastMisuse().find("freed memory"), std::string::npos) << sim.LastMisuse();
  sim.reset();
  const CUdeviceptr target = Device();
  EXPECT_EQ(cu.cuMemcpyHtoDAsync(target, in.host, kBytes, a), CUDA_SUCCESS);
  pinned.pop_back();
  EXPECT_EQ(cu.cuMemFreeHost(in.host), CUDA_SUCCESS);
  EXPECT_EQ(sim.misuses(), 1);
  EXPECT_EQ(cu.cuStreamSynchronize(a), CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_F(DriverTest, HandlesThatWereGivenBackAreKnown) {
  CUevent event = nullptr;
  EXPECT_EQ(cu.cuEventCreate(&event, CU_EVENT_DEFAULT), CUDA_SUCCESS);
  EXPECT_NE(sim.Leaks().find("event (number"), std::string::npos) << sim.Leaks();
  EXPECT_EQ(cu.cuEventDestroy(event), CUDA_SUCCESS);
  EXPECT_EQ(sim.Leaks().find("event (number"), std::string::npos) << sim.Leaks();
  EXPECT_EQ(cu.cuEventDestroy(event), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_NE(sim.LastMisuse().find("given back before"), std::string::npos) << sim.LastMisuse();
  EXPECT_EQ(cu.cuEventRecord(reinterpret_cast<CUevent>(a), a), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(sim.misuses(), 2);
  CUcontext popped = nullptr;
  EXPECT_EQ(cu.cuCtxPopCurrent(&popped), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuStreamSynchronize(a), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(cu.cuCtxPushCurrent(popped), CUDA_SUCCESS);
}

TEST_F(DriverTest, ACapturedGraphRunsInAnyOrderThatItsEdgesAllow) {
  const Numbers in = Pinned(1);
  const Numbers out = Pinned(0);
  const CUdeviceptr first = Device();
  const CUdeviceptr second = Device();
  const CUdeviceptr third = Device();
  const CUevent fork = Event();
  const CUevent join = Event();
  // in to first; then first to second on `a` beside first to third on `b`; third to out.
  EXPECT_EQ(cu.cuStreamBeginCapture(a, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuMemcpyHtoDAsync(first, in.host, kBytes, a), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuEventRecord(fork, a), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuStreamWaitEvent(b, fork, 0), CUDA_SUCCESS);
  EXPECT_EQ(AddOne(first, second, a), CUDA_SUCCESS);
  EXPECT_EQ(AddOne(first, third, b), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuEventRecord(join, b), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuStreamWaitEvent(a, join, 0), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuMemcpyDtoHAsync(out.host, third, kBytes, a), CUDA_SUCCESS);
  const CUgraphExec exec = EndCapture(a);
  ASSERT_NE(exec, nullptr);
  EXPECT_EQ(out.host[0], 0u);  // nothing of it has run
  for (const char* order : kOrders) {
    sim.order(order);
    in.host[0] += 1;
    EXPECT_EQ(cu.cuGraphLaunch(exec, b), CUDA_SUCCESS);
    EXPECT_EQ(cu.cuStreamSynchronize(b), CUDA_SUCCESS) << sim.LastMisuse();
    EXPECT_EQ(out.host[0], in.host[0] + 1);
  }
  sim.order("late");
  EXPECT_EQ(cu.cuGraphLaunch(exec, a), CUDA_SUCCESS);
  EXPECT_EQ(sim.misuses(), 0);
  EXPECT_EQ(cu.cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_NE(sim.LastMisuse().find("while it runs"), std::string::npos) << sim.LastMisuse();
  EXPECT_EQ(cu.cuStreamSynchronize(a), CUDA_SUCCESS);
}

TEST_F(DriverTest, TheRulesOfCaptures) {
  const Numbers in = Pinned(1);
  const CUdeviceptr to = Device();
  CUgraph graph = nullptr;
  const auto begin = [&](CUstream stream) {
    EXPECT_EQ(cu.cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), CUDA_SUCCESS);
  };
  EXPECT_EQ(cu.cuStreamEndCapture(a, &graph), CUDA_ERROR_ILLEGAL_STATE);
  // A wait, and memory that is allocated by the thread that captures, end the capture.
  begin(a);
  EXPECT_EQ(cu.cuStreamBeginCapture(a, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_ERROR_ILLEGAL_STATE);
  EXPECT_EQ(cu.cuStreamSynchronize(a), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(cu.cuMemcpyHtoDAsync(to, in.host, kBytes, a), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  EXPECT_EQ(cu.cuStreamEndCapture(a, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  EXPECT_EQ(graph, nullptr);
  begin(a);
  CUdeviceptr more = 0;
  EXPECT_EQ(cu.cuMemAlloc(&more, 4), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(cu.cuStreamEndCapture(a, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  EXPECT_EQ(sim.misuses(), 2);
  // Another thread may.
  begin(a);
  CUcontext context = nullptr;
  EXPECT_EQ(cu.cuCtxGetCurrent(&context), CUDA_SUCCESS);
  std::thread([&] {
    EXPECT_EQ(cu.cuCtxPushCurrent(context), CUDA_SUCCESS);
    EXPECT_EQ(cu.cuMemAlloc(&more, 4), CUDA_SUCCESS);
    EXPECT_EQ(cu.cuMemFree(more), CUDA_SUCCESS);
    CUgraph stolen = nullptr;
    EXPECT_EQ(cu.cuStreamEndCapture(a, &stolen), CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
  }).join();
  // A stream that forks and does not come back; one that is of no capture.
  const CUevent event = Event();
  EXPECT_EQ(cu.cuEventRecord(event, b), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuStreamWaitEvent(a, event, 0), CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
  EXPECT_EQ(cu.cuEventRecord(event, a), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuStreamWaitEvent(b, event, 0), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuMemcpyHtoDAsync(to, in.host, kBytes, b), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuStreamEndCapture(b, &graph), CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
  EXPECT_EQ(cu.cuStreamEndCapture(a, &graph), CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
  EXPECT_EQ(cu.cuStreamSynchronize(b), CUDA_SUCCESS);
}

TEST_F(DriverTest, LaunchesThatNoDeviceTakes) {
  const CUdeviceptr to = Device();
  const auto launch = [&](unsigned grid, unsigned block, unsigned shared) {
    CUdeviceptr at = to;
    void* arguments[] = {&at, &at};
    return cu.cuLaunchKernel(function, grid, 1, 1, block, 1, 1, shared, a, arguments, nullptr);
  };
  EXPECT_EQ(launch(0, 32, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(launch(1, 1025, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(launch(1, 32, 49153), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(launch(1, 1024, 0), CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
}

TEST_F(DriverTest, WhatALaunchMovesIsCounted) {
  const Numbers in = Pinned(1);
  const CUdeviceptr from = Device();
  const CUdeviceptr to = Device();
  EXPECT_EQ(cu.cuMemcpyHtoDAsync(from, in.host, kBytes, a), CUDA_SUCCESS);
  std::array<uint64_t, 8> before{};
  std::array<uint64_t, 8> after{};
  sim.totals(before.data());
  EXPECT_EQ(AddOne(from, to, a), CUDA_SUCCESS);
  EXPECT_EQ(cu.cuStreamSynchronize(a), CUDA_SUCCESS);
  sim.totals(after.data());
  EXPECT_EQ(after[0] - before[0], 1u);           // launches
  EXPECT_EQ(after[2] - before[2], 2u);           // load requests: two warps
  EXPECT_EQ(after[4] - before[4], kBytes / 32);  // sectors
  EXPECT_EQ(after[7] - before[7], kBytes);       // bytes stored
}

TEST_F(DriverTest, FunctionsOfNewerDriversAreNotFound) {
  void* found = nullptr;
  EXPECT_EQ(get_proc_address("cuGraphInstantiateWithFlags", &found, 11040, 0), CUDA_SUCCESS);
  EXPECT_NE(found, nullptr);
  EXPECT_EQ(get_proc_address("cuGraphInstantiateWithFlags", &found, 11030, 0),
            CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(get_proc_address("cuNothing", &found, 12000, 0), CUDA_ERROR_NOT_FOUND);
}

TEST_F(DriverTest, ImagesThatAreNoModules) {
  CUmodule none = nullptr;
  EXPECT_EQ(cu.cuModuleLoadData(&none, "hello"), CUDA_ERROR_INVALID_IMAGE);
  EXPECT_EQ(cu.cuModuleLoadData(&none, ".version 7.4\n.target sm_75\n.nonsense"),
            CUDA_ERROR_INVALID_PTX);
}

}  // namespace
}  // namespace gyrfalcon::testing
