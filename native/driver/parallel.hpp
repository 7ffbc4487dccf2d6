// Threads: those of the host's pool, or those of the core's own splitter, which keeps no thread between calls.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <stdexcept>

#include "driver/environment.hpp"

namespace cosgrad {

using Body = void (*)(std::int64_t begin, std::int64_t end, void* context);

// The signature of libtorch's torch_parallel_for.
using Pool = std::int32_t (*)(std::int64_t begin, std::int64_t end, std::int64_t grain, Body body, void* context);

// Runs body over [begin, end) in blocks of at least `grain`. It uses as many threads as the CPU affinity of the process
// and COSGRAD_NUM_THREADS allow, and starts and joins them here. The result must not depend on the blocks.
std::int32_t split(std::int64_t begin, std::int64_t end, std::int64_t grain, Body body, void* context);

// Throws std::invalid_argument if COSGRAD_NUM_THREADS is not a positive number.
int thread_limit();

struct Threads {
  Pool pool = split;  // nullptr: serial

  // Calls f(begin, end) over [0, count). An exception in a block is thrown here after all blocks have ended.
  template <class F>
  void run(std::int64_t count, std::int64_t grain, F&& f) const {
    if (count <= 0) return;
    if (!pool || count <= grain) {
      const FloatEnvironment environment;
      f(std::int64_t{0}, count);
      return;
    }
    struct Context {
      F& f;
      std::atomic<bool> failed{false};
      std::exception_ptr error{};
    } context{f};
    const Body body = [](std::int64_t begin, std::int64_t end, void* opaque) {
      auto& c = *static_cast<Context*>(opaque);
      const FloatEnvironment environment;
      try {
        c.f(begin, end);
      } catch (...) {
        if (!c.failed.exchange(true)) c.error = std::current_exception();
      }
    };
    if (pool(0, count, grain, body, &context) != 0 && !context.failed)
      throw std::runtime_error("the host's thread pool refused the work");
    if (context.error) std::rethrow_exception(context.error);
  }
};

}  // namespace cosgrad
