#include "driver/parallel.hpp"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

namespace cosgrad {
namespace {

int processors() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace

int thread_limit() {
  const char* text = std::getenv("COSGRAD_NUM_THREADS");
  if (!text || !*text) return processors();
  char* end = nullptr;
  const long wanted = std::strtol(text, &end, 10);
  if (*end || wanted < 1)
    throw std::invalid_argument("COSGRAD_NUM_THREADS=" + std::string(text) + " is not a positive whole number");
  return static_cast<int>(std::min<long>(wanted, processors()));
}

std::int32_t split(std::int64_t begin, std::int64_t end, std::int64_t grain, Body body, void* context) {
  const std::int64_t count = end - begin;
  const std::int64_t threads = std::min<std::int64_t>(thread_limit(), count / std::max<std::int64_t>(grain, 1));
  if (threads <= 1) {
    body(begin, end, context);
    return 0;
  }
  // Each thread gets a few blocks, so that a thread that is delayed does not delay the call.
  const std::int64_t block = std::max(grain, count / (threads * 8) + 1);
  std::atomic<std::int64_t> next{begin};
  const auto work = [&] {
    for (;;) {
      const std::int64_t from = next.fetch_add(block, std::memory_order_relaxed);
      if (from >= end) return;
      body(from, std::min(from + block, end), context);
    }
  };
  std::vector<std::thread> helpers;
  helpers.reserve(static_cast<std::size_t>(threads - 1));
  try {
    for (std::int64_t i = 1; i < threads; ++i) helpers.emplace_back(work);
  } catch (const std::exception&) {
    // std::system_error: the system starts no more threads. std::bad_alloc: a thread's state cannot be allocated. In
    // both cases the threads that did start, or this one alone, do the work. Destroying an unjoined thread would end
    // the process.
  }
  work();
  for (auto& helper : helpers) helper.join();
  return 0;
}

}  // namespace cosgrad
