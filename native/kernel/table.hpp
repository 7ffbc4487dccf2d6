// The table of kernels: the only interface between the driver and an instruction set. Tiles of contiguous rows go in,
// tiles of results come out.
#pragma once

#include <cstdint>

namespace cosgrad {

inline constexpr int kDTypes = 4;  // float16, bfloat16, float32, float64
inline constexpr std::int64_t kItemSize[kDTypes] = {2, 2, 4, 8};
// Bytes per element of a sum over the rows of a broadcast operand.
inline constexpr std::int64_t kSumSize[kDTypes] = {8, 8, 8, 16};

// Contiguous rows (or single numbers), `step` bytes apart. data == nullptr means absent or not wanted.
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
  char* sum_x = nullptr;  // if set, every row's g dS/dx is added to this one wide row, and gx and gy are not written
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
  Rows x, g;  // g is the cotangent (or tangent); absent in the forward
  MutableRows out;
  bool stream = false;
};

// Every row of one array with every row of another, in tiles of kTall by kBroad pairs, summed kStep terms at a time.
inline constexpr int kNarrow = 3;  // the first three dtypes
inline constexpr int kTall = 8, kBroad = 24;
inline constexpr std::int64_t kStep = 64;

struct PairSums {
  double hi[kTall][kBroad], lo[kTall][kBroad];
};

// A contiguous row that meets many other rows.
struct PairRow {
  const char* data;
  std::int64_t out, g;  // byte offsets that the row adds to the address of a pair's results and of its cotangent
  // `measure` computes the following once per row.
  double p, p_low;  // <x, x>
  double inverse;   // 1 / max(|x|, eps); 0 for a zero row if eps = 0, NaN for a row that is not finite
  bool clamped;     // |x| < eps
};

// Memory for the sums of a block of pairs, and for the elements of one step.
struct PairScratch {
  double *tall, *broad;
  PairSums* sums;
};

struct PairBlock {
  const PairRow *x, *y;
  std::int64_t rows, columns, n;
  PairScratch scratch;
};

struct PairValues {
  PairBlock block;
  double eps;
  char *similarity, *distance;
};

// Computes k = g / (max(|x|, eps) max(|y|, eps)) of every pair, laid out for two products: kTall rows of x are adjacent
// in one, kTall rows of y in the other. Adds the sums of k <x, y>, kStep pairs at a time, to `along`.
struct PairCoefficients {
  PairBlock block;
  bool negate, skip_zero;
  const char* g;
  struct Of {
    double* k;          // nullptr: not wanted
    std::int64_t step;  // from one kTall rows to the next
    double* along;
    std::int64_t along_step;  // from one row to the next
  } of_x, of_y;
};

// sums += coefficients times rows, for up to kBroad elements from index `from` on.
struct PairProducts {
  const PairRow* rows;
  std::int64_t count, from, length;
  const double* coefficients;
  std::int64_t step, tiles;  // tiles, `step` doubles apart
  double* scratch;
  PairSums* sums;
};

// Adds `steps` terms of `partial` to (high, low), for each of `rows` rows. `partial_step` is the distance of two rows.
struct PairAlong {
  double *high, *low;
  const double* partial;
  std::int64_t rows, steps, partial_step;
};

struct Kernels {
  const char* name;
  void (*forward[kDTypes])(const ForwardTile&);
  void (*backward[kDTypes])(const BackwardTile&);
  void (*jvp[kDTypes])(const JvpTile&);
  void (*normalize[kDTypes])(const NormalizeTile&);
  // sum += other, where both are wide rows.
  void (*add_sums[kDTypes])(char* sum, const char* other, std::int64_t n);
  // Rounds a wide row once. `whole`: rounds the sum of its elements to a single element.
  void (*round_sum[kDTypes])(const char* sum, std::int64_t n, bool whole, char* out);
  void (*measure[kDTypes])(PairRow* rows, std::int64_t count, std::int64_t n, double eps);
  void (*pair_values[kDTypes])(const PairValues&);
  void (*pair_coefficients[kNarrow])(const PairCoefficients&);
  void (*pair_products[kNarrow])(const PairProducts&);
  void (*pair_along)(const PairAlong&);
  // Writes to `sum` the products of one row minus (along / <x, x>) x. The row's tiles are `step` apart.
  void (*pair_gradient[kNarrow])(const PairRow& x, std::int64_t n, double along, double along_low, const PairSums* sums,
                                 std::int64_t step, int row, double* sum);
};

extern const Kernels kBaseline;
#if defined(COSGRAD_X86)
extern const Kernels kAvx2, kAvx512;
#endif

}  // namespace cosgrad
