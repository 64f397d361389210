// A device for the row cache that does everything as late, as piecemeal and in as odd an order as
// it may: copies land in pieces of two bytes at any time until Finish, and lookups run a few steps
// at a time between any two calls. A seed chooses. Every lookup checks what it reads.
#ifndef GYRFALCON_TEST_NATIVE_ROW_CACHE_SUPPORT_H_
#define GYRFALCON_TEST_NATIVE_ROW_CACHE_SUPPORT_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "backends/cuda/device_rows.h"
#include "backends/cuda/row_cache.h"

namespace gyrfalcon::testing {

// What is wrong with a device, or with what the cache asks of it.
enum class CacheBug : uint8_t {
  kNone,
  kFirstDrainReturns,   // nobody waits before rows are copied
  kSecondDrainReturns,  // nor before tags are set
  kCloseReturns,        // nor before a row is updated
  kCloseLetsIn,         // lookups begin while rows are updated
  kTagsBeforeRows,      // rows are copied some time after their tags were set
  kTagsStay,            // taking a tag away is lost
  kUpdateIsNotCopied,   // a row in the cache stays as it was before an update
  kNextSlot,
  kNextSet,
};

class FakeCacheDevice final : public cuda::CacheDevice, public cuda::LookupFence {
 public:
  static constexpr int64_t kDim = 12;  // 48 bytes: slots share sectors of 32 with their neighbours
  static constexpr uint32_t kStride = 48;
  static constexpr uint32_t kPiece = 16;

  FakeCacheDevice(int64_t rows, int64_t slots, uint64_t seed, CacheBug bug)
      : random_(seed),
        bug_(bug),
        rows_(rows),
        geometry_(cuda::CacheGeometry::Make(rows, slots).value()),
        table_(static_cast<size_t>(rows) * kStride),
        ring_(cuda::RowCache::kTouchRing),
        versions_(static_cast<size_t>(rows)) {
    args_ = 0;
    tags_ = 64;
    cached_ = (tags_ + 16 * geometry_.sets + 255) / 256 * 256;
    memory_.assign(cached_ + static_cast<size_t>(geometry_.slots() + 1) * kStride, std::byte{0xcd});
    for (uint32_t row = 0; row < rows; ++row) Fill(row, 0, table_.data() + row * kStride);
    auto cache = cuda::RowCache::Make({rows, kDim, Storage::kF32}, geometry_,
                                      {table_.data(), 0, ring_.data(), 0, args_, tags_, cached_},
                                      this, this);
    EXPECT_TRUE(cache.ok());
    cache_ = std::move(cache.value());
  }

  cuda::RowCache& cache() { return *cache_; }
  int64_t hits() const { return hits_; }
  int64_t lookups() const { return lookups_; }
  // What a lookup read that it should not have; empty: nothing.
  const std::string& noticed() const { return noticed_; }
  void FailCall(int n) { fails_in_ = n; }

  // Some steps of whatever is under way.
  void Steps(int most = 12) {
    for (int n = static_cast<int>(Below(static_cast<uint64_t>(most))); n > 0; --n) Step();
  }

  // The rows' next versions, as the host has them.
  Status Update(const std::vector<int64_t>& ids) {
    std::vector<std::byte> rows(ids.size() * kStride);
    next_.clear();
    for (size_t i = 0; i < ids.size(); ++i) {
      const auto row = static_cast<uint32_t>(ids[i]);
      const uint32_t version = ++issued_;
      next_[row] = version;
      Fill(row, version, rows.data() + i * kStride);
    }
    updating_ = true;
    const Status status = cache_->Update(ids, rows.data());
    updating_ = false;
    return status;
  }

  // Everything that began ends, and every row is looked up once more.
  void Settle() {
    while (!kernels_.empty()) Step();
    for (uint32_t row = 0; row < rows_; ++row) {
      Begin({row});
      while (!kernels_.empty()) Step();
    }
  }

  void set_hot(uint32_t first) { hot_ = first; }

  Status Write(uint64_t to, const void* from, size_t bytes) override {
    Steps();
    if (Fails()) return {ErrorCode::kInternal, "a copy failed"};
    const bool row = to >= cached_;
    const bool tags = !row && to >= tags_;
    if (row && bug_ == CacheBug::kUpdateIsNotCopied && closed_) return Status::Ok();
    if (row && bug_ == CacheBug::kNextSlot) to += kStride;
    if (tags && bytes == 16 && bug_ == CacheBug::kNextSet) {
      to = tags_ + (to - tags_ + 16) % (16 * geometry_.sets);
    }
    Copy copy{to, static_cast<const std::byte*>(from), {}};
    for (size_t at = 0; at < bytes; at += 2) {
      if (tags && bug_ == CacheBug::kTagsStay && copy.from[at] == std::byte{0xff} &&
          copy.from[at + 1] == std::byte{0xff} && started_) {
        continue;
      }
      copy.left.push_back(at);
    }
    std::shuffle(copy.left.begin(), copy.left.end(), random_);
    if (row && bug_ == CacheBug::kTagsBeforeRows) {
      late_.push_back(copy);
    } else {
      copies_.push_back(copy);
    }
    return Status::Ok();
  }

  Status Finish() override {
    Steps();
    if (Fails()) {
      // What was begun may or may not have been done.
      copies_.clear();
      return {ErrorCode::kInternal, "waiting failed"};
    }
    while (!copies_.empty()) Step();
    started_ = true;
    return Status::Ok();
  }

  void Drain() override {
    ++drains_;
    if (bug_ == CacheBug::kFirstDrainReturns && drains_ % 2 == 1) return;
    if (bug_ == CacheBug::kSecondDrainReturns && drains_ % 2 == 0) return;
    std::vector<uint64_t> inside;
    for (const Kernel& kernel : kernels_) inside.push_back(kernel.id);
    const auto is_inside = [&](const Kernel& kernel) {
      return std::find(inside.begin(), inside.end(), kernel.id) != inside.end();
    };
    while (std::any_of(kernels_.begin(), kernels_.end(), is_inside)) Step();
  }

  void Close() override {
    closed_ = true;
    while (bug_ != CacheBug::kCloseReturns && !kernels_.empty()) Step();
  }

  void Open() override {
    closed_ = false;
    // What the host wrote is what lookups have to see from now on. An update that failed wrote
    // nothing.
    if (!updating_) return;
    for (const auto& [row, version] : next_) {
      uint32_t written = 0;
      std::memcpy(&written, table_.data() + row * kStride + 4, 4);
      versions_[row] = written;
    }
  }

 private:
  struct Copy {
    uint64_t to;
    const std::byte* from;
    std::vector<size_t> left;  // of its pieces of 2 bytes
  };
  // One launch: looks rows up, one after the other.
  struct Kernel {
    uint64_t id = 0;
    std::vector<uint32_t> rows;
    std::vector<uint32_t> versions;  // when it began
    size_t at = 0;                   // in `rows`
    uint32_t way = 0;                // tags read of this row's
    uint32_t slot = kNotFound;
    uint32_t piece = 0;
    std::map<uint64_t, std::array<std::byte, 32>> l1;  // sectors that it has read of rows
  };
  static constexpr uint32_t kNotFound = 0xffffffff;

  uint64_t Below(uint64_t end) { return random_() % end; }

  bool Fails() { return fails_in_ > 0 && --fails_in_ == 0; }

  // Every 16 bytes say which row this is, and which version of it.
  static void Fill(uint32_t row, uint32_t version, std::byte* to) {
    for (uint32_t piece = 0; piece < kStride / kPiece; ++piece) {
      const uint32_t words[4] = {row, version, piece, row * 31 + version};
      std::memcpy(to + piece * kPiece, words, sizeof(words));
    }
  }

  void Begin(std::vector<uint32_t> rows) {
    Kernel kernel;
    kernel.id = ++launched_;
    for (const uint32_t row : rows) kernel.versions.push_back(versions_[row]);
    kernel.rows = std::move(rows);
    kernels_.push_back(std::move(kernel));
  }

  void Step() {
    const uint64_t what = Below(16);
    if (what == 0 && kernels_.size() < 3 && (!closed_ || bug_ == CacheBug::kCloseLetsIn)) {
      std::vector<uint32_t> rows;
      const auto all = static_cast<uint64_t>(rows_);
      for (int i = 0; i < 4; ++i) {
        const uint64_t row = Below(4) == 0 ? Below(all) : (hot_ + Below(8)) % all;
        rows.push_back(static_cast<uint32_t>(row));
      }
      Begin(std::move(rows));
    } else if (what < 6 && !copies_.empty()) {
      Land(&copies_);
    } else if (what == 6 && !late_.empty()) {
      Land(&late_);
    } else if (!kernels_.empty()) {
      const size_t which = Below(kernels_.size());
      if (Advance(&kernels_[which])) {
        kernels_.erase(kernels_.begin() + static_cast<std::ptrdiff_t>(which));
      }
    } else if (!copies_.empty()) {
      Land(&copies_);
    }
  }

  void Land(std::vector<Copy>* copies) {
    Copy& copy = (*copies)[Below(copies->size())];
    for (int i = 0; i < 4 && !copy.left.empty(); ++i) {
      const size_t at = copy.left.back();
      copy.left.pop_back();
      std::memcpy(memory_.data() + copy.to + at, copy.from + at, 2);
    }
    if (!copy.left.empty()) return;
    std::swap(copy, copies->back());
    copies->pop_back();
  }

  // One load. True when the kernel has ended.
  bool Advance(Kernel* kernel) {
    const uint32_t row = kernel->rows[kernel->at];
    if (kernel->way < cuda::kCacheWays) {
      const cuda::CachePlace place = geometry_.PlaceOf(row);
      const uint32_t slot = place.set * cuda::kCacheWays + kernel->way++;
      uint16_t tag = 0;
      std::memcpy(&tag, memory_.data() + tags_ + 2 * slot, 2);
      if (tag == place.tag) kernel->slot = slot;
      return false;
    }
    const uint32_t at = kernel->piece * kPiece;
    std::array<std::byte, kPiece> piece;
    if (kernel->slot == kNotFound) {
      std::memcpy(piece.data(), table_.data() + row * kStride + at, kPiece);
    } else {
      const uint64_t address = cached_ + uint64_t{kernel->slot} * kStride + at;
      const uint64_t sector = address / 32 * 32;
      auto kept = kernel->l1.find(sector);
      if (kept == kernel->l1.end()) {
        kept = kernel->l1.emplace(sector, std::array<std::byte, 32>{}).first;
        std::memcpy(kept->second.data(), memory_.data() + sector, 32);
      }
      std::memcpy(piece.data(), kept->second.data() + (address - sector), kPiece);
    }
    Check(*kernel, row, piece);
    if (++kernel->piece < kStride / kPiece) return false;
    ++lookups_;
    if (kernel->slot != kNotFound) ++hits_;
    ring_[Below(ring_.size())] = row | (kernel->slot == kNotFound ? 0 : cuda::kTouchHit);
    kernel->way = kernel->piece = 0;
    kernel->slot = kNotFound;
    return ++kernel->at == kernel->rows.size();
  }

  void Check(const Kernel& kernel, uint32_t row, const std::array<std::byte, kPiece>& piece) {
    uint32_t words[4];
    std::memcpy(words, piece.data(), sizeof(words));
    const uint32_t version = kernel.versions[kernel.at];
    const uint32_t expected[4] = {row, version, kernel.piece, row * 31 + version};
    if (std::equal(words, words + 4, expected)) return;
    noticed_ = "row " + std::to_string(row) + " version " + std::to_string(version) + " piece " +
               std::to_string(kernel.piece) + " but received row " + std::to_string(words[0]) +
               " version " + std::to_string(words[1]) + " piece " + std::to_string(words[2]);
  }

  std::mt19937_64 random_;
  CacheBug bug_;
  int64_t rows_;
  cuda::CacheGeometry geometry_;
  std::vector<std::byte> table_;
  std::vector<uint32_t> ring_;
  std::vector<uint32_t> versions_;  // that a lookup which begins now has to see
  std::map<uint32_t, uint32_t> next_;
  std::vector<std::byte> memory_;  // the device's
  uint64_t args_ = 0;
  uint64_t tags_ = 0;
  uint64_t cached_ = 0;
  std::vector<Copy> copies_;
  std::vector<Copy> late_;
  std::vector<Kernel> kernels_;
  std::unique_ptr<cuda::RowCache> cache_;
  std::string noticed_;
  uint64_t launched_ = 0;
  uint32_t issued_ = 0;
  uint32_t hot_ = 0;
  int64_t hits_ = 0;
  int64_t lookups_ = 0;
  int64_t drains_ = 0;
  int fails_in_ = 0;
  bool closed_ = false;
  bool started_ = false;
  bool updating_ = false;
};

}  // namespace gyrfalcon::testing

#endif  // GYRFALCON_TEST_NATIVE_ROW_CACHE_SUPPORT_H_
