// Large outputs. Writing to fresh memory costs more than the arithmetic, because the operating system zeroes it page by
// page.
#pragma once

#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace cosgrad {

inline constexpr std::int64_t kHugePage = std::int64_t{1} << 21;

// Asks for huge pages before the first write to a large output.
inline void advise_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] std::int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (!data || bytes < 2 * kHugePage) return;
  const auto begin = (reinterpret_cast<std::uintptr_t>(data) + kHugePage - 1) & ~std::uintptr_t{kHugePage - 1};
  const auto end =
      (reinterpret_cast<std::uintptr_t>(data) + static_cast<std::uintptr_t>(bytes)) & ~std::uintptr_t{kHugePage - 1};
  // This is advice only: if the kernel declines, nothing changes.
  if (begin < end) (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

// Returns whether a large output should be written past the caches. That is faster where its pages are in use already,
// because then the system does not bring them into the caches by zeroing (measured: a tenth faster there, no gain on
// fresh pages).
inline bool worth_streaming([[maybe_unused]] void* data, [[maybe_unused]] std::int64_t bytes) {
#if defined(__linux__)
  if (!data || bytes < 4 * kHugePage) return false;
  const auto page =
      (reinterpret_cast<std::uintptr_t>(data) + static_cast<std::uintptr_t>(bytes) / 2) & ~std::uintptr_t{4095};
  unsigned char resident = 0;
  return mincore(reinterpret_cast<void*>(page), 1, &resident) == 0 && (resident & 1);
#else
  return false;
#endif
}

}  // namespace cosgrad
