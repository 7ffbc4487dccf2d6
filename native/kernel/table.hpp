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

// Every row of one array with every row of another, in tiles of kTall by kBroad pairs, summed kStep terms at a time.
inline constexpr int kNarrow = 3;  // the first three dtypes
inline constexpr int kTall = 8, kBroad = 24;
inline constexpr std::int64_t kStep = 64;

struct PairSums {
  double hi[kTall][kBroad], lo[kTall][kBroad];
};

// A row that meets many others: contiguous.
struct PairRow {
  const char* data;
  std::int64_t out, g;  // what it adds to the address of a pair's results, and of its cotangent: bytes
  // Found once, by `measure`.
  double p, p_low;  // <x, x>
  double inverse;   // 1 / max(|x|, eps); 0 for a zero row where eps = 0, NaN for one that is not finite
  bool clamped;     // |x| < eps
};

// Room for the sums of a block of pairs, and for what a step of them reads.
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

// k = g / (max(|x|, eps) max(|y|, eps)) of every pair, laid out for two products: kTall rows of x beside each other in
// one, kTall of y in the other. Onto `along` is added the sum of k <x, y>, kStep pairs at a time.
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

// sums += coefficients times rows, of up to kBroad elements `from` on.
struct PairProducts {
  const PairRow* rows;
  std::int64_t count, from, length;
  const double* coefficients;
  std::int64_t step, tiles;  // tiles, `step` doubles apart
  double* scratch;
  PairSums* sums;
};

// (high, low) += partial, for each of `rows` rows: `steps` terms each, `partial_step` doubles from one row to the next.
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
  // sum += other, both wide rows.
  void (*add_sums[kDTypes])(char* sum, const char* other, std::int64_t n);
  // One rounding of a wide row; `whole`: of the sum of its elements, to a single one.
  void (*round_sum[kDTypes])(const char* sum, std::int64_t n, bool whole, char* out);
  void (*measure[kDTypes])(PairRow* rows, std::int64_t count, std::int64_t n, double eps);
  void (*pair_values[kDTypes])(const PairValues&);
  void (*pair_coefficients[kNarrow])(const PairCoefficients&);
  void (*pair_products[kNarrow])(const PairProducts&);
  void (*pair_along)(const PairAlong&);
  // sum = what the products add up to for one row, less (along / <x, x>) x; its tiles are `step` apart.
  void (*pair_gradient[kNarrow])(const PairRow& x, std::int64_t n, double along, double along_low, const PairSums* sums,
                                 std::int64_t step, int row, double* sum);
};

extern const Kernels kBaseline;
#if defined(COSGRAD_X86)
extern const Kernels kAvx2, kAvx512;
#endif

}  // namespace cosgrad
