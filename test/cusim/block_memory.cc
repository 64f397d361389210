// Addresses, loads, stores and atomics of a block.
#include <cstring>

#include "cusim/alu.h"
#include "cusim/block.h"

namespace cusim {

uint64_t Block::AddressOf(const Instruction& instruction, const Operand& operand, int i) {
  if (operand.kind != Operand::Kind::kAddress) {
    throw Trap{Fault::kLaunchFailure, "an operand that is no address"};
  }
  uint64_t address = static_cast<uint64_t>(operand.offset);
  if (operand.reg >= 0) {
    uint64_t base = At(i).registers[static_cast<size_t>(operand.reg)];
    // Addresses of shared memory may be 32 bits wide: offsets in its window.
    address += base;
  }
  if (instruction.space == Space::kShared && address < kParamWindow) {
    address = kSharedWindow + (address & 0xffffffff);
  }
  if (instruction.space == Space::kLocal && address < kParamWindow) address += kLocalWindow;
  if (instruction.space == Space::kParam && address < kParamWindow) address += kParamWindow;
  return address;
}

std::byte* Block::Resolve(Space space, uint64_t address, size_t bytes, size_t alignment,
                          Memory::Access access, int i, bool* global) {
  *global = false;
  const auto window = [&](uint64_t base, std::span<std::byte> memory, const char* name) {
    const uint64_t offset = address - base;
    if (offset > memory.size() || bytes > memory.size() - offset) {
      throw Trap{Fault::kIllegalAddress, "byte " + std::to_string(offset) + " of " +
                                             std::to_string(memory.size()) + " bytes of " + name +
                                             " memory"};
    }
    if (offset % alignment != 0) {
      throw Trap{Fault::kMisaligned, "misaligned byte " + std::to_string(offset) + " of " + name};
    }
    return memory.data() + offset;
  };
  const uint64_t base = address / kWindowBytes * kWindowBytes;
  if (base == kSharedWindow && (space == Space::kShared || space == Space::kGeneric)) {
    std::byte* const at = window(base, shared_, "shared");
    for (size_t b = 0; b < bytes; ++b) {
      const size_t offset = address - base + b;
      if (access == Memory::Access::kWrite) {
        shared_written_[offset] = true;
      } else if (!shared_written_[offset]) {
        throw Trap{Fault::kIllegalAddress,
                   "byte " + std::to_string(offset) + " of shared memory was never written"};
      }
    }
    return at;
  }
  if (base == kLocalWindow && (space == Space::kLocal || space == Space::kGeneric)) {
    return window(base, At(i).local, "local");
  }
  if (base == kParamWindow && space == Space::kParam) {
    if (access != Memory::Access::kRead) {
      throw Trap{Fault::kIllegalAddress, "a store to a parameter"};
    }
    // Only read: the constness of the launch is not at stake.
    return window(base, const_cast<Launch&>(launch_).parameters, "parameter");
  }
  if (space != Space::kGlobal && space != Space::kGeneric) {
    throw Trap{Fault::kIllegalAddress, "an address of another space"};
  }
  *global = true;
  std::string fault;
  std::byte* const at = memory_.At(address, bytes, alignment, access, &fault);
  if (at == nullptr) {
    throw Trap{address % alignment != 0 ? Fault::kMisaligned : Fault::kIllegalAddress, fault};
  }
  return at;
}

// Loads and stores of the active lanes, counted as one request.
void Block::LoadOrStore(const Instruction& instruction, const Lanes& active) {
  const bool load = instruction.op == Op::kLd;
  const Operand& value = instruction.operands[load ? 0 : 1];
  const Operand& place = instruction.operands[load ? 1 : 0];
  const auto element = static_cast<size_t>(SizeOf(instruction.type));
  const size_t bytes = element * static_cast<size_t>(instruction.vector);
  std::set<uint64_t> sectors;
  bool any_global = false;
  for (const int i : active) {
    at_ = i;
    const uint64_t address = AddressOf(instruction, place, i);
    bool global = false;
    std::byte* const at =
        Resolve(instruction.space, address, bytes, bytes,
                load ? Memory::Access::kRead : Memory::Access::kWrite, i, &global);
    if (global) {
      any_global = true;
      for (uint64_t s = address / 32; s <= (address + bytes - 1) / 32; ++s) sectors.insert(s);
      (load ? counters_.load_bytes : counters_.store_bytes) += bytes;
    }
    for (int e = 0; e < instruction.vector; ++e) {
      const Operand& part = instruction.vector == 1 ? value : value.elements[static_cast<size_t>(e)];
      std::byte* const from = at + element * static_cast<size_t>(e);
      uint64_t bits = 0;
      if (load) {
        std::memcpy(&bits, from, element);
        if (IsSigned(instruction.type)) {
          bits = static_cast<uint64_t>(ToSigned(bits, instruction.type));
        }
        Write(part, bits, instruction.type, i);
      } else {
        bits = Read(part, instruction.type, i);
        std::memcpy(from, &bits, element);
      }
    }
  }
  if (any_global) {
    (load ? counters_.load_requests : counters_.store_requests) += 1;
    (load ? counters_.load_sectors : counters_.store_sectors) += sectors.size();
    for (const uint64_t sector : sectors) {
      if (!load || l1_.contains(sector)) continue;
      ++counters_.fetched_sectors;
      if (!instruction.passes_l1) l1_.insert(sector);
    }
  }
}

void Block::AtomicLane(const Instruction& instruction, int i) {
  const bool returns = instruction.op == Op::kAtom;
  const size_t first = returns ? 1 : 0;
  const auto bytes = static_cast<size_t>(SizeOf(instruction.type));
  const uint64_t address = AddressOf(instruction, instruction.operands[first], i);
  bool global = false;
  std::byte* const at = Resolve(instruction.space, address, bytes, bytes,
                                Memory::Access::kReadWrite, i, &global);
  uint64_t old = 0;
  std::memcpy(&old, at, bytes);
  uint64_t in[2] = {};
  for (size_t o = 0; o < 2 && first + 1 + o < instruction.operands.size(); ++o) {
    in[o] = Read(instruction.operands[first + 1 + o], instruction.type, i);
  }
  uint64_t next = 0;
  if (!Atomic(instruction, old, in, &next)) {
    throw Trap{Fault::kLaunchFailure, "an atomic operation that is not simulated"};
  }
  std::memcpy(at, &next, bytes);
  if (returns) Write(instruction.operands[0], old, instruction.type, i);
}

}  // namespace cusim
