// Bugs put into the lookup kernel's PTX, each of which must be noticed.
#include <gtest/gtest.h>

#include <string>

#include "lookup_support.h"
#include "simulated_backend.h"

namespace gyrfalcon::testing {
namespace {

RequestCase Request() {
  constexpr int64_t ids = 7;
  std::mt19937_64 random(5);
  RequestCase request;
  GroupCase group;
  group.table = RandomTable(300, 64, Storage::kF32, &random);
  group.count = group.row_stride = ids;
  for (int64_t i = 0; i < 40 * ids; ++i) group.ids.push_back(static_cast<int64_t>(random() % 300));
  request.groups.push_back(std::move(group));
  request.row_end = 40;
  return request;
}

// Bags of 0 to 6 ids: teams of one warp part ways.
RequestCase Ragged() {
  RequestCase request = Request();
  GroupCase& group = request.groups[0];
  group.offsets.push_back(0);
  for (int64_t row = 0; row < 40; ++row) group.offsets.push_back(group.offsets.back() + row % 7);
  return request;
}

// Runs a request some times, in other orders of lanes and warps: whether a fault or a wrong result
// was noticed.
bool Noticed(const RequestCase& request) {
  const LookupOutcome expected = RunCase(request, Reference());
  for (int i = 0; i < 8; ++i) {
    const LookupOutcome got = RunCase(request, SimulatedBackend());
    if (LastLaunch().fault != cusim::Fault::kNone || !SameOutcome(request, expected, got)) {
      return true;
    }
  }
  return false;
}

TEST(KernelControlTest, NothingIsWrongWithTheKernelAsItIs) {
  EXPECT_FALSE(Noticed(Request()));
  EXPECT_FALSE(Noticed(Ragged()));
}

TEST(KernelControlTest, AnIdThatIsNotChecked) {
  RequestCase request = Request();
  request.groups[0].ids[3] = 300;
  request.policy = OutOfRange::kZero;
  EXPECT_FALSE(Noticed(request));
  const KernelEdit edit("setp\\.lt\\.u64", "setp.le.u64");
  EXPECT_TRUE(Noticed(request));
  EXPECT_EQ(LastLaunch().fault, cusim::Fault::kIllegalAddress);
  EXPECT_NE(LastLaunch().report.find("is outside"), std::string::npos) << LastLaunch().report;
}

TEST(KernelControlTest, ALoadOffItsAlignment) {
  const KernelEdit edit("(no_allocate\\.v4\\.u32\\s+\\{[^}]*\\}, \\[%rd[0-9]+)", "$1+4");
  EXPECT_TRUE(Noticed(Request()));
  EXPECT_EQ(LastLaunch().fault, cusim::Fault::kMisaligned);
}

TEST(KernelControlTest, AStoreToAnotherRow) {
  const KernelEdit edit("(st\\.global\\.v4\\.f32 \\[%rd[0-9]+)", "$1+256");
  EXPECT_TRUE(Noticed(Request()));
}

TEST(KernelControlTest, ALaneThatReadsAnothersPosition) {
  const KernelEdit edit("shfl\\.sync\\.idx", "shfl.sync.bfly");
  EXPECT_TRUE(Noticed(Request()));
}

TEST(KernelControlTest, AShuffleOfLanesThatAreElsewhere) {
  const KernelEdit edit("(shfl\\.sync\\.idx\\.b32\\s+[^;]*, )%r[0-9]+;", "$1-1;");
  EXPECT_TRUE(Noticed(Ragged()));
  EXPECT_EQ(LastLaunch().fault, cusim::Fault::kLaunchFailure) << LastLaunch().report;
}

TEST(KernelControlTest, AMissingSynchronisation) {
  const KernelEdit edit("bar\\.warp\\.sync[^;]*;", "");
  EXPECT_TRUE(Noticed(Request()));
  EXPECT_NE(LastLaunch().report.find("never written"), std::string::npos) << LastLaunch().report;
}

TEST(KernelControlTest, APaddingThatCounts) {
  RequestCase request = Request();
  request.groups[0].has_padding = true;
  request.groups[0].padding = request.groups[0].ids[5];
  request.groups[0].pooling = Pooling::kMean;
  EXPECT_FALSE(Noticed(request));
  const KernelEdit edit("vote\\.sync\\.ballot\\.b32(\\s+%r[0-9]+), [^,]*,", "vote.sync.ballot.b32$1, 1,");
  EXPECT_TRUE(Noticed(request));
}

}  // namespace
}  // namespace gyrfalcon::testing
