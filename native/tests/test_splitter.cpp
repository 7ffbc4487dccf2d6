// The splitter: every block once, whatever the number of threads; errors come out; a forked child can split too.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "parallel.hpp"

using namespace cosgrad;

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

#if !defined(__SANITIZE_THREAD__)  // which refuses threads after a fork
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
  errors_come_out();
  limits();
#if !defined(__SANITIZE_THREAD__)
  forked();
#endif
}
