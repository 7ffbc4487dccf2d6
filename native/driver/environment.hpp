// The floating-point environment of a task: round to nearest and keep subnormals, whatever the host has set.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace cosgrad {

// Sets the core's environment and returns the host's.
inline std::uint64_t enter_environment() {
#if defined(__x86_64__)
  constexpr unsigned control = 0xffc0, ours = 0x1f80;  // flushing, rounding, masks, denormals as zero
  const unsigned saved = _mm_getcsr();
  if ((saved & control) != ours) _mm_setcsr((saved & ~control) | ours);
  return saved;
#elif defined(__aarch64__)
  std::uint64_t saved;
  asm volatile("mrs %0, fpcr" : "=r"(saved));
  if (saved != 0) asm volatile("msr fpcr, %0" : : "r"(std::uint64_t{0}));
  return saved;
#else
  return 0;
#endif
}

// Restores the host's environment. Exceptions that were raised meanwhile are not reported to the host.
inline void leave_environment([[maybe_unused]] std::uint64_t saved) {
#if defined(__x86_64__)
  if (_mm_getcsr() != saved) _mm_setcsr(static_cast<unsigned>(saved));
#elif defined(__aarch64__)
  asm volatile("msr fpcr, %0" : : "r"(saved));
#endif
}

class FloatEnvironment {
 public:
  FloatEnvironment() : saved_(enter_environment()) {}
  ~FloatEnvironment() { leave_environment(saved_); }
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

 private:
  std::uint64_t saved_;
};

}  // namespace cosgrad
