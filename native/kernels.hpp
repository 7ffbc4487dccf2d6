// What a driver asks of an instruction set: tiles of contiguous rows in, tiles of results out.
#pragma once

#include <cstdint>

namespace cosgrad {

inline constexpr int kDTypes = 4;  // float16, bfloat16, float32, float64
inline constexpr std::int64_t kItemSize[kDTypes] = {2, 2, 4, 8};
// Bytes per element of a sum over the rows of a broadcast operand.
inline constexpr std::int64_t kSumSize[kDTypes] = {8, 8, 8, 16};

// Contiguous rows (or single numbers), `step` bytes apart; data == nullptr: absent, or not wanted.
struct Rows {
  const char* data = nullptr;
  std::int64_t step = 0;
};
struct MutableRows {
  char* data = nullptr;
  std::int64_t step = 0;
};

struct ForwardTile {
  std::int64_t rows, n;
  double eps;
  Rows x, y;
  MutableRows similarity, distance;
};

struct BackwardTile {
  std::int64_t rows, n;
  double eps;
  bool negate, skip_zero;
  Rows x, y, g;
  MutableRows gx, gy;
  bool stream = false;    // gx and gy are larger than the caches
  char* sum_x = nullptr;  // instead of gx and gy: add every row's g dS/dx onto this one wide row
};

struct JvpTile {
  std::int64_t rows, n;
  double eps;
  bool negate;
  Rows x, y, dx, dy;
  MutableRows out;
};

struct NormalizeTile {
  std::int64_t rows, n;
  double eps;
  Rows x, g;  // g: the cotangent (or tangent); absent: the forward
  MutableRows out;
  bool stream = false;
};

struct Kernels {
  const char* name;
  void (*forward[kDTypes])(const ForwardTile&);
  void (*backward[kDTypes])(const BackwardTile&);
  void (*jvp[kDTypes])(const JvpTile&);
  void (*normalize[kDTypes])(const NormalizeTile&);
  // sum += other, both wide rows.
  void (*add_sums[kDTypes])(char* sum, const char* other, std::int64_t n);
  // One rounding of a wide row; `whole`: of the sum of its elements, to a single one.
  void (*round_sum[kDTypes])(const char* sum, std::int64_t n, bool whole, char* out);
};

extern const Kernels kBaseline;
#if defined(COSGRAD_X86)
extern const Kernels kAvx2, kAvx512;
#endif

// The best set of this processor, or the one that COSGRAD_ISA names; throws std::invalid_argument.
const Kernels& kernels();
// Names of those this processor can run, the best last, ended by nullptr.
const char* const* instruction_sets();

}  // namespace cosgrad
