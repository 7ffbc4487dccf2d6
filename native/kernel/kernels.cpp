// The table of kernels. It is compiled once per instruction set: COSGRAD_ISA is its name, COSGRAD_TABLE the table.
#include "kernel/pairs.hpp"
#include "kernel/table.hpp"

namespace cosgrad::inline COSGRAD_ISA {
namespace {

template <class S>
Row<S> row(const Rows& rows, std::int64_t i) {
  return {reinterpret_cast<const S*>(rows.data + i * rows.step)};
}

template <class S>
S* out(const MutableRows& rows, std::int64_t i) {
  return reinterpret_cast<S*>(rows.data + i * rows.step);
}

template <class S>
void forward(const ForwardTile& t) {
  for (std::int64_t i = 0; i < t.rows; ++i) {
    const auto v = Kernel<S>::type::values(row<S>(t.x, i), row<S>(t.y, i), t.n, t.eps, t.distance.data != nullptr);
    if (t.similarity.data) *out<S>(t.similarity, i) = rounded<S>(v.similarity);
    if (t.distance.data) *out<S>(t.distance, i) = rounded<S>(v.distance);
  }
}

template <class S>
void backward(const BackwardTile& t) {
  using K = typename Kernel<S>::type;
  for (std::int64_t i = 0; i < t.rows; ++i) {
    const double given = row<S>(t.g, i).one(0), g = t.negate ? -given : given;
    const auto x = row<S>(t.x, i), y = row<S>(t.y, i);
    const bool skip = t.skip_zero && g == 0;
    const IntoRow<S> gx(out<S>(t.gx, i), t.stream), gy(out<S>(t.gy, i), t.stream);
    if (t.sum_x) {
      if (!skip) K::gradient(x, y, t.n, t.eps, g, OntoSum<S>{reinterpret_cast<double*>(t.sum_x), t.n}, Nowhere{});
    } else if (skip) {
      if (t.gx.data) gx.fill(t.n, 0);
      if (t.gy.data) gy.fill(t.n, 0);
    } else if (t.gx.data && t.gy.data) {
      K::gradient(x, y, t.n, t.eps, g, gx, gy);
    } else if (t.gx.data) {
      K::gradient(x, y, t.n, t.eps, g, gx, Nowhere{});
    } else {
      K::gradient(y, x, t.n, t.eps, g, gy, Nowhere{});
    }
  }
  if (t.stream) finish_streaming();
}

template <class S>
void jvp(const JvpTile& t) {
  for (std::int64_t i = 0; i < t.rows; ++i) {
    const auto dx = row<S>(t.dx, i), dy = row<S>(t.dy, i);
    const double j = Kernel<S>::type::jvp(row<S>(t.x, i), row<S>(t.y, i), t.dx.data ? &dx : nullptr,
                                          t.dy.data ? &dy : nullptr, t.n, t.eps);
    *out<S>(t.out, i) = rounded<S>(t.negate ? -j : j);
  }
}

template <class S>
void normalize(const NormalizeTile& t) {
  using K = typename Kernel<S>::type;
  for (std::int64_t i = 0; i < t.rows; ++i) {
    const IntoRow<S> to(out<S>(t.out, i), t.stream);
    if (t.g.data)
      K::normalize_backward(row<S>(t.x, i), row<S>(t.g, i), t.n, t.eps, to);
    else
      K::normalize(row<S>(t.x, i), t.n, t.eps, to);
  }
  if (t.stream) finish_streaming();
}

template <class S>
void add_sums(char* sum, const char* other, std::int64_t n) {
  const auto* from = reinterpret_cast<const double*>(other);
  const OntoSum<S> onto{reinterpret_cast<double*>(sum), n};
  for (std::int64_t i = 0; i < n; ++i) onto.add(i, {from[i], sizeof(S) == 8 ? from[n + i] : 0});
}

// The sign of the NaN that infinity minus infinity gives depends on the instruction, so this NaN is replaced.
double canonical(double a) { return a == a ? a : quiet_nan(); }

template <class S>
void round_sum(const char* sum, std::int64_t n, bool whole, char* to) {
  const auto* from = reinterpret_cast<const double*>(sum);
  auto* elements = reinterpret_cast<S*>(to);
  if (!whole) {
    for (std::int64_t i = 0; i < n; ++i) elements[i] = rounded<S>(canonical(from[i]));
    return;
  }
  double all[2] = {};
  const OntoSum<S> onto{all, 1};
  for (std::int64_t i = 0; i < n; ++i) onto.add(0, {from[i], sizeof(S) == 8 ? from[n + i] : 0});
  elements[0] = rounded<S>(canonical(all[0]));
}

}  // namespace
}  // namespace cosgrad::inline COSGRAD_ISA

#define COSGRAD_EACH(kernel) {kernel<Float16>, kernel<BFloat16>, kernel<float>, kernel<double>}
#define COSGRAD_EACH_NARROW(kernel) {kernel<Float16>, kernel<BFloat16>, kernel<float>}
#define COSGRAD_TEXT_(name) #name
#define COSGRAD_TEXT(name) COSGRAD_TEXT_(name)

extern const cosgrad::Kernels cosgrad::COSGRAD_TABLE = {COSGRAD_TEXT(COSGRAD_ISA),
                                                        COSGRAD_EACH(forward),
                                                        COSGRAD_EACH(backward),
                                                        COSGRAD_EACH(jvp),
                                                        COSGRAD_EACH(normalize),
                                                        COSGRAD_EACH(add_sums),
                                                        COSGRAD_EACH(round_sum),
                                                        COSGRAD_EACH(measure),
                                                        COSGRAD_EACH(pair_values),
                                                        COSGRAD_EACH_NARROW(pair_coefficients),
                                                        COSGRAD_EACH_NARROW(pair_products),
                                                        pair_along,
                                                        COSGRAD_EACH_NARROW(pair_gradient)};
