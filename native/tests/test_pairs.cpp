// Blocks of pairs on every instruction set, in buffers of exact size. The values have the bits of the row kernel. The
// parts of the gradients have the same bits on every instruction set.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "data.hpp"
#include "driver/dispatch.hpp"
#include "driver/environment.hpp"
#include "driver/nest.hpp"

using namespace cosgrad;

namespace {

struct Inputs {
  int dtype;
  std::int64_t rows, columns, n;
  double eps;
  std::vector<std::vector<char>> x, y;  // each row has its own memory
  std::vector<char> g;
  std::int64_t item() const { return kItemSize[dtype]; }
};

std::vector<char> numbers(int dtype, std::int64_t count, Random& random) {
  const std::int64_t item = kItemSize[dtype];
  std::vector<char> data(static_cast<std::size_t>(count * item));
  for (std::int64_t i = 0; i < count; ++i) {
    const double d = random.unit();
    const auto f = static_cast<float>(d);
    std::uint32_t bits;
    std::memcpy(&bits, &f, 4);
    const auto brain = static_cast<std::uint16_t>(bits >> 16);
    const auto half = static_cast<std::uint16_t>(0x3000 + (bits >> 12) % 0x1000 + (bits >> 31) * 0x8000);
    const void* number = dtype == 0   ? static_cast<const void*>(&half)
                         : dtype == 1 ? static_cast<const void*>(&brain)
                         : dtype == 2 ? static_cast<const void*>(&f)
                                      : &d;
    std::memcpy(data.data() + i * item, number, static_cast<std::size_t>(item));
  }
  return data;
}

struct Results {
  std::vector<char> similarity, distance;
  std::vector<double> coefficients, along, gradient;
};

std::vector<double> doubles(std::int64_t count) { return std::vector<double>(static_cast<std::size_t>(count)); }

Results run(const Kernels& k, const Inputs& in) {
  const std::int64_t item = in.item(), tiles = ceil_div(in.rows, kTall), panels = ceil_div(in.columns, kBroad);
  const FloatEnvironment environment;
  std::vector<PairRow> x, y;
  for (std::int64_t i = 0; i < in.rows; ++i)
    x.push_back(
        {in.x[static_cast<std::size_t>(i)].data(), i * in.columns * item, i * in.columns * item, 0, 0, 0, false});
  for (std::int64_t j = 0; j < in.columns; ++j)
    y.push_back({in.y[static_cast<std::size_t>(j)].data(), j * item, j * item, 0, 0, 0, false});
  k.measure[in.dtype](x.data(), in.rows, in.n, in.eps);
  k.measure[in.dtype](y.data(), in.columns, in.n, in.eps);

  auto tall = doubles(tiles * kTall * kStep), broad = doubles(panels * kBroad * kStep);
  std::vector<PairSums> sums(static_cast<std::size_t>(tiles * panels));
  const PairBlock block{x.data(), y.data(), in.rows, in.columns, in.n, {tall.data(), broad.data(), sums.data()}};
  Results r;
  r.similarity.resize(static_cast<std::size_t>(in.rows * in.columns * item));
  r.distance.resize(r.similarity.size());
  k.pair_values[in.dtype]({block, in.eps, r.similarity.data(), r.distance.data()});
  if (in.dtype >= kNarrow) return r;

  const std::int64_t x_step = ceil_div(in.columns, kTall) * kTall * kTall, y_step = tiles * kTall * kTall;
  const std::int64_t steps_x = ceil_div(in.columns, kStep), steps_y = ceil_div(in.rows, kStep);
  r.coefficients = doubles(tiles * x_step);
  r.along = doubles(in.rows * steps_x);
  auto of_y = doubles(ceil_div(in.columns, kTall) * y_step), along_y = doubles(in.columns * steps_y);
  k.pair_coefficients[in.dtype]({block,
                                 true,
                                 false,
                                 in.g.data(),
                                 {r.coefficients.data(), x_step, r.along.data(), steps_x},
                                 {of_y.data(), y_step, along_y.data(), steps_y}});
  r.coefficients.insert(r.coefficients.end(), of_y.begin(), of_y.end());
  r.along.insert(r.along.end(), along_y.begin(), along_y.end());

  const std::int64_t panels_n = ceil_div(in.n, kBroad);
  std::vector<PairSums> products(static_cast<std::size_t>(panels_n * tiles));
  auto scratch = doubles(kStep * kBroad);
  for (std::int64_t p = 0; p < panels_n; ++p)
    k.pair_products[in.dtype]({y.data(), in.columns, p * kBroad, std::min<std::int64_t>(kBroad, in.n - p * kBroad),
                               r.coefficients.data(), x_step, tiles, scratch.data(), products.data() + p * tiles});
  r.gradient = doubles(in.rows * in.n);
  for (std::int64_t i = 0; i < in.rows; ++i)
    k.pair_gradient[in.dtype](x[static_cast<std::size_t>(i)], in.n, r.along[static_cast<std::size_t>(i * steps_x)], 0,
                              products.data() + i / kTall, tiles, static_cast<int>(i % kTall),
                              r.gradient.data() + i * in.n);
  return r;
}

void check_values(const Kernels& k, const Inputs& in, const Results& r) {
  const std::int64_t item = in.item();
  const FloatEnvironment environment;
  for (std::int64_t i = 0; i < in.rows; ++i)
    for (std::int64_t j = 0; j < in.columns; ++j) {
      char s[8], d[8];
      k.forward[in.dtype]({1,
                           in.n,
                           in.eps,
                           {in.x[static_cast<std::size_t>(i)].data(), 0},
                           {in.y[static_cast<std::size_t>(j)].data(), 0},
                           {s, 0},
                           {d, 0}});
      const std::int64_t at = (i * in.columns + j) * item;
      const bool same = std::memcmp(s, r.similarity.data() + at, static_cast<std::size_t>(item)) == 0 &&
                        std::memcmp(d, r.distance.data() + at, static_cast<std::size_t>(item)) == 0;
      CHECK(same, "%s: dtype %d n %d eps %g pair (%d, %d)", k.name, in.dtype, int(in.n), in.eps, int(i), int(j));
    }
}

}  // namespace

int main() {
  const auto all = tables();
  Random random{1};
  for (int dtype = 0; dtype < kDTypes; ++dtype)
    for (const auto& [rows, columns] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {8, 24}, {9, 25}, {65, 70}})
      for (const std::int64_t n : {1, 7, 8, 24, 25, 63, 64, 65, 130})
        for (const double eps : {0.0, 1.0}) {
          Inputs in{dtype, rows, columns, n, eps, {}, {}, numbers(dtype, rows * columns, random)};
          for (std::int64_t i = 0; i < rows; ++i) in.x.push_back(numbers(dtype, n, random));
          for (std::int64_t j = 0; j < columns; ++j) in.y.push_back(numbers(dtype, n, random));
          in.y.back() = in.x.back();  // parallel
          if (rows > 1) in.x[0].assign(in.x[0].size(), 0);
          if (columns > 1) in.y[0].assign(in.y[0].size(), static_cast<char>(0xff));  // NaN
          const Results first = run(*all[0], in);
          for (const Kernels* k : all) {
            const Results r = run(*k, in);
            check_values(*k, in, r);
            const auto same = [](const std::vector<double>& a, const std::vector<double>& b) {
              for (std::size_t i = 0; i < a.size(); ++i)
                if (a[i] != b[i] && (a[i] == a[i] || b[i] == b[i])) return false;
              return true;
            };
            CHECK(same(r.coefficients, first.coefficients) && same(r.along, first.along) &&
                      same(r.gradient, first.gradient),
                  "%s differs from baseline: dtype %d n %d eps %g", k->name, dtype, int(n), eps);
          }
        }
}
