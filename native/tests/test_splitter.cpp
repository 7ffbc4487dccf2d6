// The splitter runs every block once for any number of threads, passes errors on, survives failed allocations, and
// works in a forked child.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.hpp"
#include "driver/parallel.hpp"

using namespace cosgrad;

namespace {

// The number of allocations of this thread that still succeed; negative means all.
thread_local int allocations_left = -1;

}  // namespace

void* operator new(std::size_t size) {
  if (allocations_left == 0) throw std::bad_alloc();
  if (allocations_left > 0) --allocations_left;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

void every_index_once(std::int64_t count, std::int64_t grain) {
  std::vector<int> seen(static_cast<std::size_t>(count));
  std::atomic<std::int64_t> total{0};
  Threads{}.run(count, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) ++seen[static_cast<std::size_t>(i)];
    total += end - begin;
  });
  CHECK(total == count);
  for (const int times : seen) CHECK(times == 1);
}

void errors_come_out() {
  bool caught = false;
  try {
    Threads{}.run(1000, 1, [](std::int64_t begin, std::int64_t) {
      if (begin > 0) throw std::bad_alloc();
    });
  } catch (const std::bad_alloc&) {
    caught = true;
  }
  CHECK(caught);
}

// Each block waits until a second thread has entered one, so a splitter that uses one thread never ends.
void a_second_thread_works() {
  if (thread_limit() < 2) return;
  const std::thread::id caller = std::this_thread::get_id();
  std::atomic<bool> caller_came{false}, other_came{false};
  Threads{}.run(64, 1, [&](std::int64_t, std::int64_t) {
    (std::this_thread::get_id() == caller ? caller_came : other_came) = true;
    while (!caller_came || !other_came) std::this_thread::yield();
  });
  CHECK(caller_came && other_came);
}

// If the list of threads cannot be allocated, the call fails. If a thread's state cannot be, fewer threads do the work.
void allocations_fail() {
  if (thread_limit() < 2) return;  // nothing is allocated
  for (const int successes : {0, 1, 2, 3}) {
    std::atomic<std::int64_t> total{0};
    const auto count = [&](std::int64_t begin, std::int64_t end) { total += end - begin; };
    bool refused = false;
    allocations_left = successes;
    try {
      Threads{}.run(100000, 1, count);
    } catch (const std::bad_alloc&) {
      refused = true;
    }
    allocations_left = -1;
    CHECK(refused == (successes == 0));
    CHECK(total == (refused ? 0 : 100000));
  }
}

void limits() {
  setenv("COSGRAD_NUM_THREADS", "1", 1);
  CHECK(thread_limit() == 1);
  setenv("COSGRAD_NUM_THREADS", "none", 1);
  bool refused = false;
  try {
    thread_limit();
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  CHECK(refused);
  unsetenv("COSGRAD_NUM_THREADS");
  CHECK(thread_limit() >= 1);
}

#if !defined(__SANITIZE_THREAD__)  // ThreadSanitizer refuses threads after a fork
void forked() {
  every_index_once(10000, 10);
  const pid_t child = fork();
  if (child == 0) {
    every_index_once(10000, 10);
    _exit(0);
  }
  int status = 1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}
#endif

}  // namespace

int main() {
  for (const std::int64_t count : {0, 1, 2, 3, 100, 100000})
    for (const std::int64_t grain : {1, 7, 1000}) every_index_once(count, grain);
  a_second_thread_works();
  allocations_fail();
  errors_come_out();
  limits();
#if !defined(__SANITIZE_THREAD__)
  forked();
#endif
}
