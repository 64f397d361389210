// Instructions that lanes run together: shuffles, votes and barriers.
#include <array>

#include "cusim/alu.h"
#include "cusim/block.h"

namespace cusim {

uint32_t MaskOf(const Lanes& lanes) {
  uint32_t mask = 0;
  for (const int i : lanes) mask |= 1u << (i % kLanes);
  return mask;
}

void Block::Shuffle(const Instruction& instruction, const Lanes& active, uint32_t mask) {
  const auto& operands = instruction.operands;  // d, a, b, c, mask [, p]
  const bool has_predicate = operands.size() == 6;
  std::array<uint64_t, kLanes> given{};
  for (const int i : active) given[static_cast<size_t>(i % kLanes)] = Read(operands[1], Type::kB32, i);
  for (const int i : active) {
    at_ = i;
    const auto lane = static_cast<uint32_t>(i % kLanes);
    const auto b = static_cast<uint32_t>(Read(operands[2], Type::kB32, i)) & 31;
    const auto c = static_cast<uint32_t>(Read(operands[3], Type::kB32, i));
    const uint32_t segment = c >> 8 & 31;
    const uint32_t clamp = c & 31;
    const uint32_t high = (lane & segment) | (clamp & ~segment);
    const uint32_t low = lane & segment;
    uint32_t source = lane;
    bool inside = false;
    if (instruction.mode == "up") {
      source = lane - b;
      inside = static_cast<int>(source) >= static_cast<int>(high);
    } else if (instruction.mode == "down") {
      source = lane + b;
      inside = source <= high;
    } else if (instruction.mode == "bfly") {
      source = lane ^ b;
      inside = source <= high;
    } else {
      source = low | (b & ~segment);
      inside = source <= high;
    }
    if (!inside) source = lane;
    if ((mask >> (source & 31) & 1) == 0) {
      throw Trap{Fault::kLaunchFailure,
                 "a shuffle reads lane " + std::to_string(source) + ", which is not in its mask"};
    }
    Write(operands[0], given[source & 31], Type::kB32, i);
    if (has_predicate) Write(operands[5], inside ? 1 : 0, Type::kPred, i);
  }
}

void Block::Vote(const Instruction& instruction, const Lanes& active) {
  uint32_t ballot = 0;
  for (const int i : active) {
    if (Read(instruction.operands[1], Type::kPred, i) != 0) ballot |= 1u << (i % kLanes);
  }
  const uint32_t lanes = MaskOf(active);
  for (const int i : active) {
    uint64_t result = ballot;
    if (instruction.mode == "any") result = ballot != 0;
    if (instruction.mode == "all") result = ballot == lanes;
    if (instruction.mode == "uni") result = ballot == 0 || ballot == lanes;
    Write(instruction.operands[0], result,
          instruction.mode == "ballot" ? Type::kB32 : Type::kPred, i);
  }
}

// .sync instructions: each group of lanes with one mask runs when all of the mask are there.
bool Block::Sync(const Instruction& instruction, const Lanes& active, int warp) {
  const Operand& operand = instruction.op == Op::kShfl   ? instruction.operands[4]
                           : instruction.op == Op::kVote ? instruction.operands[2]
                                                         : instruction.operands[0];
  const uint32_t present = MaskOf(active);
  const uint32_t living = MaskOf(Members(warp));
  for (const int i : active) {
    at_ = i;
    const auto mask = static_cast<uint32_t>(Read(operand, Type::kB32, i));
    if ((mask >> (i % kLanes) & 1) == 0) {
      throw Trap{Fault::kLaunchFailure, "a lane that is not in the mask of its .sync instruction"};
    }
    // bar.warp.sync of all may come after some have gone.
    const bool may_be_gone = instruction.op == Op::kBarWarp;
    if (!may_be_gone && (mask & ~living) != 0) {
      throw Trap{Fault::kLaunchFailure, "a .sync mask names a lane that has exited"};
    }
    if ((mask & living & ~present) != 0) continue;
    Lanes together;
    for (const int other : active) {
      if ((mask >> (other % kLanes) & 1) == 0) continue;
      if (static_cast<uint32_t>(Read(operand, Type::kB32, other)) != mask) {
        throw Trap{Fault::kLaunchFailure, "lanes of one .sync instruction disagree on the mask"};
      }
      together.push_back(other);
    }
    if (instruction.op == Op::kShfl) Shuffle(instruction, together, mask);
    if (instruction.op == Op::kVote) Vote(instruction, together);
    for (const int other : together) ++At(other).pc;
    return true;
  }
  return false;
}

}  // namespace cusim
