#include "cusim/memory.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace cusim {
namespace {

std::string Hex(uint64_t value) {
  char text[32];
  std::snprintf(text, sizeof(text), "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace

Memory::Memory() {
  // Reserved so that a host that reads a device address crashes, as it would with a driver.
  void* const reserved =
      mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  base_ = reserved == MAP_FAILED ? 0x7000'0000'0000 : reinterpret_cast<uint64_t>(reserved);
  next_ = base_ + kGap;
}

Memory::~Memory() {
  for (const auto& [address, allocation] : allocations_) std::free(allocation.backing);
  munmap(reinterpret_cast<void*>(base_), kReserved);
}

uint64_t Memory::AllocateDevice(size_t bytes) {
  if (bytes == 0 || bytes > limit_ - used_ || next_ - base_ + bytes + kGap > kReserved) return 0;
  Allocation allocation;
  allocation.address = next_;
  allocation.bytes = bytes;
  allocation.backing = static_cast<std::byte*>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
  if (allocation.backing == nullptr) return 0;
  std::memset(allocation.backing, 0xcd, bytes);
  allocation.written.assign(bytes, false);
  next_ += (bytes + 255) / 256 * 256 + kGap;
  used_ += bytes;
  const uint64_t address = allocation.address;
  allocations_.emplace(address, std::move(allocation));
  return address;
}

void* Memory::AllocateHost(size_t bytes) {
  Allocation allocation;
  allocation.bytes = bytes;
  allocation.host = true;
  allocation.backing = static_cast<std::byte*>(std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096));
  if (allocation.backing == nullptr) return nullptr;
  void* const memory = allocation.backing;
  allocation.address = reinterpret_cast<uint64_t>(memory);
  allocations_.emplace(allocation.address, std::move(allocation));
  return memory;
}

bool Memory::Free(uint64_t address, bool host) {
  const auto found = allocations_.find(address);
  if (found == allocations_.end() || found->second.host != host) return false;
  std::free(found->second.backing);
  if (!host) {
    used_ -= found->second.bytes;
    freed_[address] = found->second.bytes;
  }
  allocations_.erase(found);
  return true;
}

std::byte* Memory::At(uint64_t address, size_t bytes, size_t alignment, Access access,
                      std::string* fault) {
  if (address % alignment != 0) {
    *fault = "misaligned address " + Hex(address) + " for " + std::to_string(bytes) + " bytes";
    return nullptr;
  }
  const auto after = allocations_.upper_bound(address);
  Allocation* const found =
      after == allocations_.begin() ? nullptr : &std::prev(after)->second;
  const uint64_t offset = found == nullptr ? 0 : address - found->address;
  if (found == nullptr || offset >= found->bytes || bytes > found->bytes - offset) {
    const auto freed = freed_.upper_bound(address);
    if (freed != freed_.begin() && address - std::prev(freed)->first < std::prev(freed)->second) {
      *fault = "address " + Hex(address) + " is in freed memory";
    } else if (found == nullptr) {
      *fault = "address " + Hex(address) + " is in no allocation";
    } else {
      *fault = "address " + Hex(address) + " is outside: " + std::to_string(offset) + " + " +
               std::to_string(bytes) + " of the " + std::to_string(found->bytes) + " bytes at " +
               Hex(found->address);
    }
    return nullptr;
  }
  Allocation& allocation = *found;
  if (!allocation.written.empty()) {
    for (size_t i = 0; i < bytes; ++i) {
      if (access == Access::kWrite) {
        allocation.written[offset + i] = true;
      } else if (!allocation.written[offset + i]) {
        *fault = "address " + Hex(address + i) + " was never written: byte " +
                 std::to_string(offset + i) + " of " + std::to_string(allocation.bytes);
        return nullptr;
      }
    }
  }
  return allocation.backing + offset;
}

}  // namespace cusim
