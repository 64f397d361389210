// Small PTX programs with known answers, and what the simulator refuses.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cusim/alu.h"
#include "cusim/machine.h"

namespace cusim {
namespace {

std::string Program(const std::string& body) {
  return ".version 7.4\n.target sm_75\n.address_size 64\n"
         ".visible .entry k(.param .u64 out)\n{\n"
         ".reg .pred %p<8>;\n.reg .b32 %r<32>;\n.reg .b64 %rd<16>;\n.reg .f32 %f<16>;\n"
         ".reg .b16 %h<8>;\n.shared .align 4 .b8 shared[256];\n"
         "ld.param.u64 %rd1, [out];\nmov.u32 %r1, %tid.x;\nmul.wide.u32 %rd2, %r1, 4;\n"
         "add.s64 %rd3, %rd1, %rd2;\n" +
         body + "\nret;\n}\n";
}

struct Ran {
  LaunchResult result;
  std::vector<uint32_t> out;  // one for each thread; 0xcdcdcdcd where nothing was written
};

Ran RunProgram(const std::string& body, uint32_t threads, uint64_t seed = 1, bool adversarial = false) {
  auto parsed = ParsePtx(Program(body));
  if (const auto* error = std::get_if<ParseError>(&parsed)) {
    ADD_FAILURE() << error->line << ": " << error->message;
    return {};
  }
  const std::unique_ptr<Module> module(std::get<Module*>(parsed));
  Memory memory;
  const uint64_t out = memory.AllocateDevice(threads * 4);
  Launch launch;
  launch.kernel = &module->kernels.at("k");
  launch.block.x = threads;
  launch.seed = seed;
  launch.adversarial = adversarial;
  launch.parameters.resize(8);
  std::memcpy(launch.parameters.data(), &out, 8);
  Ran ran;
  ran.result = RunLaunch(launch, &memory);
  ran.out.resize(threads);
  std::memcpy(ran.out.data(), memory.allocations().at(out).backing, threads * 4);
  return ran;
}

std::vector<uint32_t> Results(const std::string& body, uint32_t threads) {
  const Ran ran = RunProgram(body + "\nst.global.u32 [%rd3], %r9;", threads);
  EXPECT_EQ(ran.result.fault, Fault::kNone) << ran.result.report;
  return ran.out;
}

uint32_t One(const std::string& body) { return Results(body, 1).front(); }

float AsFloat(uint32_t bits) {
  float value = 0;
  std::memcpy(&value, &bits, 4);
  return value;
}

TEST(PtxTest, Integers) {
  EXPECT_EQ(One("mov.u32 %r2, -7; mov.u32 %r3, 2; div.s32 %r9, %r2, %r3;"), uint32_t(-3));
  EXPECT_EQ(One("mov.u32 %r2, -7; mov.u32 %r3, 2; rem.s32 %r9, %r2, %r3;"), uint32_t(-1));
  EXPECT_EQ(One("mov.u32 %r2, -8; shr.s32 %r9, %r2, 1;"), uint32_t(-4));
  EXPECT_EQ(One("mov.u32 %r2, -8; shr.u32 %r9, %r2, 1;"), 0x7ffffffcu);
  EXPECT_EQ(One("mov.u32 %r2, 1; mov.u32 %r3, 32; shl.b32 %r9, %r2, %r3;"), 0u);
  EXPECT_EQ(One("mov.u32 %r2, 0xffffffff; mul.hi.u32 %r9, %r2, %r2;"), 0xfffffffeu);
  EXPECT_EQ(One("mov.u32 %r2, 3; mov.u32 %r3, 5; mad.lo.s32 %r9, %r2, %r3, -1;"), 14u);
  EXPECT_EQ(One("mov.u32 %r2, 0x80000000; mul.wide.s32 %rd4, %r2, 2; shr.u64 %rd5, %rd4, 32; "
                "cvt.u32.u64 %r9, %rd5;"),
            0xffffffffu);
  EXPECT_EQ(One("mov.u32 %r2, 0x12345678; mov.u32 %r3, 0xaabbccdd; prmt.b32 %r9, %r2, %r3, 0x7650;"),
            0xaabbcc78u);
  EXPECT_EQ(One("mov.u32 %r2, 0xf0; popc.b32 %r9, %r2;"), 4u);
  EXPECT_EQ(One("mov.u32 %r2, -5; min.s32 %r9, %r2, 3;"), uint32_t(-5));
  EXPECT_EQ(One("mov.u32 %r2, -5; min.u32 %r9, %r2, 3;"), 3u);
  EXPECT_EQ(One("mov.u32 %r2, 0x8001; bfe.u32 %r9, %r2, 15, 4;"), 1u);
  EXPECT_EQ(One("mov.u32 %r2, 0x300; cvt.u16.u32 %h1, %r2; cvt.u32.u16 %r9, %h1;"), 0x300u);
}

TEST(PtxTest, ComparisonsAndPredicates) {
  EXPECT_EQ(One("mov.u32 %r2, -1; setp.lt.u32 %p1, %r2, 1; selp.b32 %r9, 1, 2, %p1;"), 2u);
  EXPECT_EQ(One("mov.u32 %r2, -1; setp.lt.s32 %p1, %r2, 1; selp.b32 %r9, 1, 2, %p1;"), 1u);
  EXPECT_EQ(One("mov.f32 %f1, 0f7fc00000; setp.geu.f32 %p1, %f1, %f1; selp.b32 %r9, 1, 2, %p1;"), 1u);
  EXPECT_EQ(One("mov.f32 %f1, 0f7fc00000; setp.ge.f32 %p1, %f1, %f1; selp.b32 %r9, 1, 2, %p1;"), 2u);
  EXPECT_EQ(One("setp.eq.s32 %p1, 1, 1; not.pred %p2, %p1; mov.u32 %r9, 5; @%p2 mov.u32 %r9, 6; "
                "@!%p2 add.s32 %r9, %r9, 10;"),
            15u);
}

TEST(PtxTest, Floats) {
  const auto bits = [](const std::string& body) { return AsFloat(One(body + " mov.b32 %r9, %f9;")); };
  EXPECT_EQ(bits("mov.f32 %f1, 0f3f800000; add.f32 %f9, %f1, 0f40000000;"), 3.0f);
  EXPECT_EQ(bits("mov.f32 %f1, 0f40400000; rcp.rn.f32 %f9, %f1;"), 1.0f / 3.0f);
  EXPECT_EQ(bits("mov.u32 %r2, 16777217; cvt.rn.f32.s32 %f9, %r2;"), 16777216.0f);
  // One rounding: 1 + 2^-24 + 2^-47 is above the middle between 1 and the next float.
  EXPECT_EQ(bits("mov.f32 %f1, 0f3f800001; mov.f32 %f2, 0f33800000; fma.rn.f32 %f9, %f1, %f2, 0f3f800000;"),
            std::fma(1.00000011920928955f, 5.9604644775390625e-08f, 1.0f));
}

TEST(PtxTest, HalvesBothWays) {
  for (uint32_t half = 0; half < 0x10000; ++half) {
    const double value = ToReal(half, Type::kF16);
    if (std::isnan(value)) continue;
    EXPECT_EQ(FromReal(value, Type::kF16), half);
  }
  EXPECT_EQ(FromReal(65519.0, Type::kF16), 0x7bffu);  // below the middle to what would be 65536
  EXPECT_EQ(FromReal(65520.0, Type::kF16), 0x7c00u);
  EXPECT_EQ(FromReal(std::ldexp(1.0, -25), Type::kF16), 0u);  // a tie, to even
  EXPECT_EQ(FromReal(std::ldexp(1.5, -25), Type::kF16), 1u);
}

TEST(PtxTest, DivergedLanesMeetAgain) {
  const std::string body =
      "setp.lt.u32 %p1, %r1, 5;\n@%p1 bra LOW;\nmov.u32 %r9, 100;\nbra.uni END;\nLOW:\n"
      "mov.u32 %r9, 1;\nEND:\nbar.warp.sync -1;\nadd.u32 %r9, %r9, %r1;\n"
      "st.global.u32 [%rd3], %r9;";
  for (const bool adversarial : {false, true}) {
    const Ran ran = RunProgram(body, 32, 3, adversarial);
    ASSERT_EQ(ran.result.fault, Fault::kNone) << ran.result.report;
    for (uint32_t i = 0; i < 32; ++i) EXPECT_EQ(ran.out[i], (i < 5 ? 1 : 100) + i);
  }
}

TEST(PtxTest, ShufflesAndVotes) {
  // Groups of 8: lane 3 of each.
  const auto shuffled =
      Results("mul.lo.u32 %r2, %r1, 10; shfl.sync.idx.b32 %r9|%p1, %r2, 3, 0x1807, -1;", 32);
  for (uint32_t i = 0; i < 32; ++i) EXPECT_EQ(shuffled[i], (i / 8 * 8 + 3) * 10);
  const auto down = Results("shfl.sync.down.b32 %r9, %r1, 1, 31, -1;", 32);
  for (uint32_t i = 0; i < 32; ++i) EXPECT_EQ(down[i], i < 31 ? i + 1 : 31);
  const auto ballot =
      Results("and.b32 %r2, %r1, 1; setp.eq.s32 %p1, %r2, 1; vote.sync.ballot.b32 %r9, %p1, -1;", 32);
  for (const uint32_t mask : ballot) EXPECT_EQ(mask, 0xaaaaaaaau);
}

TEST(PtxTest, BarriersAndSharedMemory) {
  const std::string body =
      "mov.u32 %r2, shared; shl.b32 %r3, %r1, 2; add.u32 %r4, %r2, %r3; st.shared.u32 [%r4], %r1;\n"
      "bar.sync 0;\nxor.b32 %r5, %r3, 252; add.u32 %r6, %r2, %r5; ld.shared.u32 %r9, [%r6];\n"
      "st.global.u32 [%rd3], %r9;";
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Ran ran = RunProgram(body, 64, seed, true);
    ASSERT_EQ(ran.result.fault, Fault::kNone) << ran.result.report;
    for (uint32_t i = 0; i < 64; ++i) EXPECT_EQ(ran.out[i], 63 - i);
  }
}

TEST(PtxTest, AtomicsOfAllThreads) {
  const Ran ran = RunProgram("mov.u32 %r9, 0; setp.eq.s32 %p1, %r1, 0; @%p1 st.global.u32 [%rd1], %r9;\n"
                      "bar.sync 0; atom.global.add.u32 %r5, [%rd1], 2;",
                      64);
  ASSERT_EQ(ran.result.fault, Fault::kNone) << ran.result.report;
  EXPECT_EQ(ran.out[0], 128u);
}

struct Refused {
  const char* body;
  Fault fault;
  const char* report;
};

TEST(PtxTest, WhatEndsALaunch) {
  const Refused cases[] = {
      {"ld.global.u32 %r9, [%rd3];", Fault::kIllegalAddress, "never written"},
      {"st.global.u32 [%rd3+4], %r1;", Fault::kIllegalAddress, "is outside"},
      {"st.global.u32 [%rd3+-4], %r1;", Fault::kIllegalAddress, ""},
      {"st.global.u32 [%rd3+2], %r1;", Fault::kMisaligned, "misaligned"},
      {"mov.u64 %rd4, 0; st.global.u32 [%rd4], %r1;", Fault::kIllegalAddress, "no allocation"},
      {"mov.u32 %r2, shared; ld.shared.u32 %r9, [%r2];", Fault::kIllegalAddress, "never written"},
      {"mov.u32 %r2, shared; st.shared.u32 [%r2+256], %r1;", Fault::kIllegalAddress, "shared"},
      {"setp.lt.u32 %p1, %r1, 16; @%p1 bra END; bar.sync 0; END:", Fault::kLaunchFailure, "barrier"},
      {"setp.lt.u32 %p1, %r1, 16; @%p1 ret; shfl.sync.idx.b32 %r9, %r1, 0, 31, -1;",
       Fault::kLaunchFailure, "exited"},
      {"shfl.sync.idx.b32 %r9, %r1, 0, 31, 0xffff;", Fault::kLaunchFailure, "not in the mask"},
      {"shfl.sync.idx.b32 %r9, %r1, 40, 31, -1; setp.lt.u32 %p1, %r1, 1; @%p1 bra A; "
       "shfl.sync.idx.b32 %r9, %r1, 0, 31, -1; ret; A: bar.warp.sync -1;",
       Fault::kLaunchFailure, "never meet"},
  };
  for (const Refused& refused : cases) {
    const Ran ran = RunProgram(refused.body, 32);
    EXPECT_EQ(ran.result.fault, refused.fault) << refused.body << ": " << ran.result.report;
    EXPECT_NE(ran.result.report.find(refused.report), std::string::npos) << ran.result.report;
    EXPECT_NE(ran.result.report.find("PTX line"), std::string::npos);
  }
}

TEST(PtxTest, WhatIsNotUnderstoodIsNotGuessed) {
  for (const char* const body :
       {"frob.u32 %r1, %r2;", "add.weird.s32 %r1, %r2, 3;", "bra NOWHERE;", "mov.u32 %x1, 3;",
        "mov.u32 %r2", "tex.2d.v4.f32.f32 {%f1, %f2, %f3, %f4}, [t, {%f1, %f2}];"}) {
    const auto parsed = ParsePtx(Program(body));
    const auto* const error = std::get_if<ParseError>(&parsed);
    ASSERT_NE(error, nullptr) << body;
    EXPECT_FALSE(error->message.empty());
    EXPECT_GE(error->line, 10);
  }
}

TEST(MemoryTest, FreedAndLimited) {
  Memory memory;
  memory.set_limit(1000);
  const uint64_t a = memory.AllocateDevice(600);
  ASSERT_NE(a, 0u);
  EXPECT_EQ(memory.AllocateDevice(401), 0u);
  EXPECT_NE(memory.AllocateDevice(400), 0u);
  std::string fault;
  EXPECT_NE(memory.At(a + 592, 8, 8, Memory::Access::kWrite, &fault), nullptr);
  EXPECT_EQ(memory.At(a + 593, 8, 1, Memory::Access::kWrite, &fault), nullptr);
  EXPECT_TRUE(memory.Free(a, false));
  EXPECT_FALSE(memory.Free(a, false));
  EXPECT_EQ(memory.At(a, 4, 4, Memory::Access::kWrite, &fault), nullptr);
  EXPECT_NE(fault.find("freed"), std::string::npos);
  EXPECT_EQ(memory.used(), 400u);
}

}  // namespace
}  // namespace cusim
