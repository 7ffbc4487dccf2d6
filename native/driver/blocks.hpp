// Share a range with a thread pool that only schedules. Waiting for a task that no thread has started can deadlock.
// Therefore the caller claims blocks like every helper, and waits only for blocks that a helper has claimed.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>

#include "driver/parallel.hpp"

namespace cosgrad {

class Blocks {
 public:
  Blocks(std::int64_t begin, std::int64_t end, std::int64_t block, Body body, void* context)
      : next_(begin), end_(end), block_(block), body_(body), context_(context) {}

  void work() {
    for (;;) {
      std::int64_t from;
      {
        const std::lock_guard lock(mutex_);
        if (next_ >= end_) return;
        from = next_;
        next_ = std::min(next_ + block_, end_);
        ++running_;
      }
      body_(from, std::min(from + block_, end_), context_);
      const std::lock_guard lock(mutex_);
      if (--running_ == 0 && next_ >= end_) done_.notify_all();
    }
  }

  void wait() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return running_ == 0 && next_ >= end_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  std::int64_t next_, running_ = 0;
  const std::int64_t end_, block_;
  const Body body_;
  void* const
      context_;  // in the caller's frame: read only while a block is claimed, and the caller waits for claimed blocks
};

// Runs body, which must not throw, over [begin, end) on this thread and on at most threads - 1 tasks that are passed to
// `schedule`. `schedule` may run a task at once, later, after this function has returned, or never.
template <class Schedule>
void share(std::int64_t begin, std::int64_t end, std::int64_t grain, std::int64_t threads, Body body, void* context,
           Schedule schedule) {
  if (threads <= 1) {
    body(begin, end, context);
    return;
  }
  const std::int64_t block = std::max(grain, (end - begin) / (threads * 8) + 1);
  const auto blocks = std::make_shared<Blocks>(begin, end, block, body, context);
  try {
    for (std::int64_t i = 1; i < threads; ++i) schedule([blocks] { blocks->work(); });
  } catch (const std::bad_alloc&) {
    // The tasks that were scheduled, or this thread alone, do the work. Returning now would destroy the context in use.
  }
  blocks->work();
  blocks->wait();
}

}  // namespace cosgrad
