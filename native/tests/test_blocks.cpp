// Sharing a range with a pool that only schedules runs every block once, whenever the pool runs its tasks.
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "check.hpp"
#include "driver/blocks.hpp"

using namespace cosgrad;

namespace {

using Task = std::function<void()>;

class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
  }
  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    wake_.notify_all();
    for (auto& thread : threads_) thread.join();
  }
  void schedule(Task task) {
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    wake_.notify_one();
  }

 private:
  void run() {
    for (;;) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return closed_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      const Task task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> tasks_;
  bool closed_ = false;
  std::vector<std::thread> threads_;
};

// The counts are in this frame, as a kernel's operands are in its caller's. A task that reads them later is a race.
template <class Schedule>
void every_index_once(std::int64_t count, std::int64_t threads, Schedule schedule) {
  std::vector<int> seen(static_cast<std::size_t>(count));
  const Body body = [](std::int64_t begin, std::int64_t end, void* context) {
    for (std::int64_t i = begin; i < end; ++i)
      ++(*static_cast<std::vector<int>*>(context))[static_cast<std::size_t>(i)];
  };
  share(0, count, 1, threads, body, &seen, schedule);
  for (const int times : seen) CHECK(times == 1);
}

void at_once() {
  every_index_once(100, 4, [](const Task& task) { task(); });
}

void never_or_too_late() {
  std::vector<Task> tasks;
  every_index_once(100, 4, [&](Task task) { tasks.push_back(std::move(task)); });
  CHECK(tasks.size() == 3);
  for (const Task& task : tasks) task();
}

void no_memory_for_the_second_task() {
  Pool pool(2);
  int scheduled = 0;
  every_index_once(100000, 4, [&](Task task) {
    if (++scheduled == 2) throw std::bad_alloc();
    pool.schedule(std::move(task));
  });
  CHECK(scheduled == 2);
}

void many_callers() {
  Pool pool(3);
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&] {
      for (int k = 0; k < 200; ++k) every_index_once(1 + k % 50, 4, [&](Task task) { pool.schedule(std::move(task)); });
    });
  for (auto& caller : callers) caller.join();
}

// XLA can run this way: every thread of the pool is a caller, so no thread is free to start a helper.
void callers_of_the_pool_itself() {
  std::atomic<int> finished{0};
  {
    Pool pool(2);
    for (int i = 0; i < 200; ++i)
      pool.schedule([&] {
        every_index_once(40, 3, [&](Task task) { pool.schedule(std::move(task)); });
        ++finished;
      });
  }
  CHECK(finished == 200);
}

}  // namespace

int main() {
  for (const std::int64_t count : {0, 1, 2, 3, 1000}) every_index_once(count, 1, [](const Task&) { CHECK(false); });
  at_once();
  never_or_too_late();
  no_memory_for_the_second_task();
  many_callers();
  callers_of_the_pool_itself();
}
