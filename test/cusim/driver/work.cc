#include "cusim/driver/work.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace cusim {
namespace {

CUresult ErrorOf(Fault fault) {
  switch (fault) {
    case Fault::kNone: return CUDA_SUCCESS;
    case Fault::kIllegalAddress: return CUDA_ERROR_ILLEGAL_ADDRESS;
    case Fault::kMisaligned: return CUDA_ERROR_MISALIGNED_ADDRESS;
    case Fault::kLaunchFailure: return CUDA_ERROR_LAUNCH_FAILED;
  }
  return CUDA_ERROR_UNKNOWN;
}

bool Overlap(uint64_t a, size_t a_bytes, uint64_t b, size_t b_bytes) {
  return a < b + b_bytes && b < a + a_bytes;
}

class CopyTask final : public Task {
 public:
  CopyTask(uint64_t to, uint64_t from, size_t bytes) : to_(to), from_(from), bytes_(bytes) {}

  bool Advance(Memory* memory, std::mt19937_64* random, WorkFault* fault) override {
    // Halves in any order, and either may come much later.
    if (pieces_.empty()) {
      const size_t half = (*random)() % 2 == 0 ? bytes_ : bytes_ / 2;
      if (half > 0) pieces_.emplace_back(0, half);
      if (half < bytes_) pieces_.emplace_back(half, bytes_ - half);
      if ((*random)() % 2 == 0) std::reverse(pieces_.begin(), pieces_.end());
    }
    const auto [offset, bytes] = pieces_.back();
    pieces_.pop_back();
    if (!memory->Copy(to_ + offset, from_ + offset, bytes, &fault->report)) {
      fault->error = CUDA_ERROR_ILLEGAL_ADDRESS;
      fault->report = "copy: " + fault->report;
      return true;
    }
    return pieces_.empty();
  }

  bool Uses(uint64_t address, size_t bytes) const override {
    return Overlap(to_, bytes_, address, bytes) || Overlap(from_, bytes_, address, bytes);
  }

 private:
  uint64_t to_;
  uint64_t from_;
  size_t bytes_;
  std::vector<std::pair<size_t, size_t>> pieces_;  // offset, bytes
};

class WriteTask final : public Task {
 public:
  WriteTask(uint64_t to, std::vector<std::byte> bytes) : to_(to), bytes_(std::move(bytes)) {}

  bool Advance(Memory* memory, std::mt19937_64*, WorkFault* fault) override {
    std::byte* const at =
        memory->At(to_, bytes_.size(), 1, Memory::Access::kWrite, &fault->report);
    if (at == nullptr) {
      fault->error = CUDA_ERROR_ILLEGAL_ADDRESS;
    } else {
      std::memcpy(at, bytes_.data(), bytes_.size());
    }
    return true;
  }

  bool Uses(uint64_t address, size_t bytes) const override {
    return Overlap(to_, bytes_.size(), address, bytes);
  }

 private:
  uint64_t to_;
  std::vector<std::byte> bytes_;
};

class LaunchTask final : public Task {
 public:
  LaunchTask(Launch launch, LaunchTotals* totals) : launch_(std::move(launch)), totals_(totals) {}

  bool Advance(Memory* memory, std::mt19937_64* random, WorkFault* fault) override {
    if (running_ == nullptr) {
      launch_.seed = (*random)();
      running_ = std::make_unique<RunningLaunch>(launch_, memory);
    }
    if (running_->Advance(1 + (*random)() % 4)) return false;
    const LaunchResult& result = running_->result();
    fault->error = ErrorOf(result.fault);
    fault->report = result.report;
    Add(result.counters);
    return true;
  }

  // What a kernel reaches by a pointer that lies in memory is only seen when it reads it.
  bool Uses(uint64_t address, size_t bytes) const override {
    for (size_t at = 0; at + sizeof(uint64_t) <= launch_.parameters.size(); at += 8) {
      uint64_t word = 0;
      std::memcpy(&word, launch_.parameters.data() + at, sizeof(word));
      if (word >= address && word < address + bytes) return true;
    }
    return false;
  }

 private:
  void Add(const Counters& counters) {
    ++totals_->launches;
    Counters& to = totals_->counters;
    to.warp_instructions += counters.warp_instructions;
    to.thread_instructions += counters.thread_instructions;
    to.load_requests += counters.load_requests;
    to.store_requests += counters.store_requests;
    to.load_sectors += counters.load_sectors;
    to.fetched_sectors += counters.fetched_sectors;
    to.store_sectors += counters.store_sectors;
    to.load_bytes += counters.load_bytes;
    to.store_bytes += counters.store_bytes;
  }

  Launch launch_;
  LaunchTotals* totals_;
  std::unique_ptr<RunningLaunch> running_;
};

class WaitTask final : public Task {
 public:
  WaitTask(std::shared_ptr<Stream> stream, uint64_t position)
      : stream_(std::move(stream)), position_(position) {}

  bool Ready() const override { return stream_->done >= position_; }
  bool Advance(Memory*, std::mt19937_64*, WorkFault*) override { return true; }

 private:
  std::shared_ptr<Stream> stream_;
  uint64_t position_;
};

class GraphTask final : public Task {
 public:
  explicit GraphTask(std::shared_ptr<const GraphNodes> nodes)
      : nodes_(std::move(nodes)), left_(nodes_->size()) {
    tasks_.reserve(left_);
    for (const GraphNode& node : *nodes_) tasks_.push_back(node.work());
  }

  bool Advance(Memory* memory, std::mt19937_64* random, WorkFault* fault) override {
    std::vector<size_t> ready;
    for (size_t i = 0; i < tasks_.size(); ++i) {
      if (tasks_[i] == nullptr) continue;
      const std::vector<size_t>& after = (*nodes_)[i].after;
      if (std::all_of(after.begin(), after.end(),
                      [&](size_t before) { return tasks_[before] == nullptr; })) {
        ready.push_back(i);
      }
    }
    if (ready.empty()) return true;
    std::unique_ptr<Task>& task = tasks_[ready[(*random)() % ready.size()]];
    if (task->Advance(memory, random, fault)) {
      task.reset();
      --left_;
    }
    return left_ == 0 || fault->error != CUDA_SUCCESS;
  }

  bool Uses(uint64_t address, size_t bytes) const override {
    return std::any_of(tasks_.begin(), tasks_.end(), [&](const std::unique_ptr<Task>& task) {
      return task != nullptr && task->Uses(address, bytes);
    });
  }

 private:
  std::shared_ptr<const GraphNodes> nodes_;
  std::vector<std::unique_ptr<Task>> tasks_;  // null: done
  size_t left_;
};

}  // namespace

Work CopyWork(uint64_t to, uint64_t from, size_t bytes) {
  return [=] { return std::make_unique<CopyTask>(to, from, bytes); };
}

Work StagedCopyWork(uint64_t to, std::vector<std::byte> bytes) {
  return [to, bytes = std::move(bytes)] { return std::make_unique<WriteTask>(to, bytes); };
}

Work FillWork(uint64_t to, std::byte value, size_t bytes) {
  return [=] { return std::make_unique<WriteTask>(to, std::vector<std::byte>(bytes, value)); };
}

Work LaunchWork(Launch launch, LaunchTotals* totals) {
  return [launch = std::move(launch), totals] {
    return std::make_unique<LaunchTask>(launch, totals);
  };
}

Work WaitWork(std::shared_ptr<Stream> stream, uint64_t position) {
  return [stream = std::move(stream), position] {
    return std::make_unique<WaitTask>(stream, position);
  };
}

Work GraphWork(std::shared_ptr<const GraphNodes> nodes) {
  return [nodes = std::move(nodes)] { return std::make_unique<GraphTask>(nodes); };
}

void Scheduler::Enqueue(Stream* stream, Work work, std::shared_ptr<Stream> waits_for) {
  if (Capture* const capture = stream->capture.get(); capture != nullptr) {
    capture->nodes.push_back({std::move(work), stream->tail});
    stream->tail = {capture->nodes.size() - 1};
    return;
  }
  stream->queue.push_back(work());
  stream->waits_for.push_back(std::move(waits_for));
  ++stream->enqueued;
}

bool Scheduler::AdvanceHead(Stream* stream, Memory* memory, WorkFault* fault) {
  if (!stream->queue.front()->Advance(memory, &random, fault)) return true;
  stream->queue.pop_front();
  stream->waits_for.pop_front();
  ++stream->done;
  return true;
}

bool Scheduler::Advance(Stream* wanted, Memory* memory, WorkFault* fault) {
  if (wanted != nullptr && order != Order::kSeeded) {
    // What it waits for, and what that waits for: as many steps as there are streams.
    Stream* stream = wanted;
    for (size_t i = 0; i <= streams.size() && stream != nullptr; ++i) {
      if (stream->queue.empty()) return false;
      if (stream->queue.front()->Ready()) return AdvanceHead(stream, memory, fault);
      stream = stream->waits_for.front().get();
    }
    return false;
  }
  std::vector<Stream*> ready;
  for (const std::shared_ptr<Stream>& stream : streams) {
    if (!stream->queue.empty() && stream->queue.front()->Ready()) ready.push_back(stream.get());
  }
  if (ready.empty()) return false;
  // One stream falls behind the others for a while.
  if (random() % 16 == 0) slow_ = random();
  if (ready.size() > 1) ready.erase(ready.begin() + static_cast<int64_t>(slow_ % ready.size()));
  return AdvanceHead(ready[random() % ready.size()], memory, fault);
}

void Scheduler::Drift(Memory* memory, WorkFault* fault) {
  if (order == Order::kLate) return;
  uint64_t pieces = order == Order::kPrompt ? UINT64_MAX : random() % 4 == 0 ? random() % 4 : 0;
  for (; pieces > 0 && fault->error == CUDA_SUCCESS; --pieces) {
    if (!Advance(nullptr, memory, fault)) return;
  }
}

bool Scheduler::Busy() const {
  return std::any_of(streams.begin(), streams.end(), [](const std::shared_ptr<Stream>& stream) {
    return !stream->queue.empty();
  });
}

void Scheduler::DropAll() {
  for (const std::shared_ptr<Stream>& stream : streams) {
    stream->queue.clear();
    stream->waits_for.clear();
    stream->done = stream->enqueued;
  }
}

}  // namespace cusim
