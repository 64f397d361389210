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

constexpr size_t kPage = 4096;

constexpr size_t Pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// Addresses that nobody can use yet. 0 when there are none.
uint64_t Reserve(size_t bytes) {
  void* const reserved =
      mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return reserved == MAP_FAILED ? 0 : reinterpret_cast<uint64_t>(reserved);
}

}  // namespace

Memory::Memory()
    // The device's, so that a host that reads one of its addresses crashes, as with a real driver.
    : base_(Reserve(kReserved)),
      next_(base_ + kGap),
      host_base_(Reserve(kReserved)),
      host_next_(host_base_ + kGap) {}

Memory::~Memory() {
  for (const auto& [address, allocation] : allocations_) {
    if (!allocation.host) std::free(allocation.backing);
  }
  munmap(reinterpret_cast<void*>(base_), kReserved);
  munmap(reinterpret_cast<void*>(host_base_), kReserved);
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
  const size_t pages = Pages(bytes);
  if (bytes == 0 || host_next_ - host_base_ + pages + kGap > kReserved) return nullptr;
  void* const memory = reinterpret_cast<void*>(host_next_);
  if (mprotect(memory, pages, PROT_READ | PROT_WRITE) != 0) return nullptr;
  Allocation allocation;
  allocation.address = host_next_;
  allocation.bytes = bytes;
  allocation.host = true;
  allocation.backing = static_cast<std::byte*>(memory);
  host_next_ += pages + kGap;
  allocations_.emplace(allocation.address, allocation);
  return memory;
}

bool Memory::Free(uint64_t address, bool host) {
  const auto found = allocations_.find(address);
  if (found == allocations_.end() || found->second.host != host) return false;
  const Allocation& allocation = found->second;
  if (host) {
    madvise(allocation.backing, Pages(allocation.bytes), MADV_DONTNEED);
    mprotect(allocation.backing, Pages(allocation.bytes), PROT_NONE);
  } else {
    std::free(allocation.backing);
    used_ -= allocation.bytes;
  }
  freed_[address] = allocation.bytes;
  allocations_.erase(found);
  return true;
}

const Allocation* Memory::Find(uint64_t address) const {
  const auto after = allocations_.upper_bound(address);
  if (after == allocations_.begin()) return nullptr;
  const Allocation& before = std::prev(after)->second;
  return address - before.address < before.bytes ? &before : nullptr;
}

Allocation* Memory::Inside(uint64_t address, size_t bytes, std::string* fault) {
  auto* const found = const_cast<Allocation*>(Find(address));
  if (found != nullptr && bytes <= found->bytes - (address - found->address)) return found;
  const auto freed = freed_.upper_bound(address);
  if (freed != freed_.begin() && address - std::prev(freed)->first < std::prev(freed)->second) {
    *fault = "address " + Hex(address) + " is in freed memory";
    return nullptr;
  }
  const auto after = allocations_.upper_bound(address);
  if (after == allocations_.begin()) {
    *fault = "address " + Hex(address) + " is in no allocation";
    return nullptr;
  }
  const Allocation& before = std::prev(after)->second;
  *fault = "address " + Hex(address) + " is outside: " + std::to_string(address - before.address) +
           " + " + std::to_string(bytes) + " of the " + std::to_string(before.bytes) +
           " bytes at " + Hex(before.address);
  return nullptr;
}

std::byte* Memory::At(uint64_t address, size_t bytes, size_t alignment, Access access,
                      std::string* fault) {
  if (address % alignment != 0) {
    *fault = "misaligned address " + Hex(address) + " for " + std::to_string(bytes) + " bytes";
    return nullptr;
  }
  Allocation* const found = Inside(address, bytes, fault);
  if (found == nullptr) return nullptr;
  const uint64_t offset = address - found->address;
  if (!found->written.empty()) {
    for (size_t i = 0; i < bytes; ++i) {
      if (access == Access::kWrite) {
        found->written[offset + i] = true;
      } else if (!found->written[offset + i]) {
        *fault = "address " + Hex(address + i) + " was never written: byte " +
                 std::to_string(offset + i) + " of " + std::to_string(found->bytes);
        return nullptr;
      }
    }
  }
  return found->backing + offset;
}

bool Memory::Copy(uint64_t to, uint64_t from, size_t bytes, std::string* fault) {
  Allocation* const source = Inside(from, bytes, fault);
  if (source == nullptr) return false;
  Allocation* const target = Inside(to, bytes, fault);
  if (target == nullptr) return false;
  const uint64_t read = from - source->address;
  const uint64_t write = to - target->address;
  for (size_t i = 0; i < bytes; ++i) {
    const bool written = source->written.empty() || source->written[read + i];
    if (!target->written.empty()) {
      target->written[write + i] = written;
    } else if (!written) {
      *fault = "address " + Hex(from + i) + " was never written, and is copied to the host";
      return false;
    }
  }
  std::memmove(target->backing + write, source->backing + read, bytes);
  return true;
}

}  // namespace cusim
