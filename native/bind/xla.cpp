// The core as XLA's foreign functions, on XLA's buffers and XLA's threads.
//
// Buffers are dense and row-major. All have the frame's rank, except those of the batch shape, which lack the row axis.
// A family is x with its direction and its gradient, or y with its own. Within a family, an axis of length 1 is
// repeated to the length that the other members have there. So a batch of directions for one x needs no copy of x.
#include "bind/xla.hpp"

#include <memory>
#include <utility>

#include "driver/blocks.hpp"
#include "driver/dispatch.hpp"
#include "driver/driver.hpp"
#include "xla/ffi/api/ffi.h"

namespace cosgrad {
namespace {

namespace ffi = xla::ffi;
using Dims = ffi::Span<const std::int64_t>;

thread_local ffi::ThreadPool* lent = nullptr;

std::int32_t on_lent_threads(std::int64_t begin, std::int64_t end, std::int64_t grain, Body body, void* context) {
  const std::int64_t threads =
      std::min<std::int64_t>({lent->num_threads(), thread_limit(), (end - begin) / std::max<std::int64_t>(grain, 1)});
  share(begin, end, grain, threads, body, context, [](auto work) { lent->Schedule(std::move(work)); });
  return 0;
}

int dtype_of(const ffi::AnyBuffer& buffer) {
  switch (buffer.element_type()) {
    case ffi::F16:
      return 0;
    case ffi::BF16:
      return 1;
    case ffi::F32:
      return 2;
    case ffi::F64:
      return 3;
    default:
      throw std::invalid_argument("an array is of a dtype that the kernel does not serve");
  }
}

// The shape of a family. An axis of length 1 takes any other length.
struct Family {
  int rank = 0;
  std::int64_t shape[kMaxRank] = {};

  explicit Family(std::initializer_list<const ffi::AnyBuffer*> members) {
    for (const auto* member : members) {
      if (!member) continue;
      const Dims dims = member->dimensions();
      if (dims.size() > kMaxRank) throw std::invalid_argument("arrays of more than 64 axes are not supported");
      if (rank && dims.size() != static_cast<std::size_t>(rank)) throw std::invalid_argument("ranks differ");
      for (std::size_t i = 0; i < dims.size(); ++i)
        if (!rank || shape[i] == 1) shape[i] = dims[i];
      rank = static_cast<int>(dims.size());
    }
  }

  View view(const ffi::AnyBuffer* buffer) const {
    View v;
    if (!buffer) return v;
    v.data = static_cast<char*>(buffer->untyped_data());
    v.rank = rank;
    std::int64_t step = kItemSize[dtype_of(*buffer)];
    for (int i = rank - 1; i >= 0; --i) {
      const std::int64_t length = buffer->dimensions()[static_cast<std::size_t>(i)];
      if (length != shape[i] && length != 1) throw std::invalid_argument("the shapes of one family differ");
      v.shape[i] = shape[i];
      v.stride[i] = length == shape[i] ? step : 0;
      step *= length;
    }
    return v;
  }
};

// Reads the next argument or result if a flag says that it is present.
template <class From>
class Reader {
 public:
  explicit Reader(const From& from) : from_(from) {}

  const ffi::AnyBuffer* next(bool present = true) {
    if (!present) return nullptr;
    auto buffer = from_.template get<ffi::AnyBuffer>(index_);
    if (buffer.has_error()) throw std::invalid_argument(buffer.error().message());
    if constexpr (std::is_same_v<From, ffi::RemainingRets>)
      held_[index_] = std::make_unique<ffi::AnyBuffer>(**buffer);
    else
      held_[index_] = std::make_unique<ffi::AnyBuffer>(*buffer);
    return held_[index_++].get();
  }

 private:
  const From& from_;
  std::size_t index_ = 0;
  std::unique_ptr<ffi::AnyBuffer> held_[kMaxOperands];
};

using Arguments = Reader<ffi::RemainingArgs>;
using Results = Reader<ffi::RemainingRets>;

char* data(const ffi::AnyBuffer* buffer) { return buffer ? static_cast<char*>(buffer->untyped_data()) : nullptr; }

template <class F>
ffi::Error guarded(ffi::ThreadPool& pool, F work) {
  lent = &pool;
  try {
    work();
  } catch (const std::invalid_argument& error) {
    return ffi::Error::InvalidArgument(error.what());
  } catch (const std::exception& error) {
    return ffi::Error::Internal(error.what());
  }
  return ffi::Error::Success();
}

Call call(const ffi::AnyBuffer& x, std::int64_t axis, double eps) {
  return {dtype_of(x), static_cast<int>(axis), eps, {on_lent_threads}};
}

// x, y -> S and/or D
ffi::Error forward_impl(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets, std::int64_t axis,
                        double eps, bool similarity, bool distance) {
  return guarded(pool, [&] {
    Arguments in(args);
    Results out(rets);
    const auto *x = in.next(), *y = in.next(), *S = out.next(similarity), *D = out.next(distance);
    forward(call(*x, axis, eps), Family({x}).view(x), Family({y}).view(y), data(S), data(D));
  });
}

// x, y, g -> the gradients in x and/or y
ffi::Error backward_impl(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets, std::int64_t axis,
                         double eps, bool need_x, bool need_y, bool negate, bool skip_zero) {
  return guarded(pool, [&] {
    Arguments in(args);
    Results out(rets);
    const auto *x = in.next(), *y = in.next(), *g = in.next(), *gx = out.next(need_x), *gy = out.next(need_y);
    const Family fx({x, gx}), fy({y, gy});
    const View a = fx.view(x), b = fy.view(y);
    const Frame frame(a, b, static_cast<int>(axis));
    View c;
    c.data = data(g);
    c.rank = static_cast<int>(g->dimensions().size());
    std::int64_t step = kItemSize[dtype_of(*g)];
    for (int i = c.rank - 1; i >= 0; --i) {
      const std::int64_t length = g->dimensions()[static_cast<std::size_t>(i)];
      c.stride[i] = length == 1 ? 0 : step;
      if (length != 1 && length != frame.shape[i < axis ? i : i + 1])
        throw std::invalid_argument("the cotangent does not have the batch shape");
      step *= length;
    }
    backward(call(*x, axis, eps), a, b, c, fx.view(gx), fy.view(gy), negate, skip_zero);
  });
}

// x, y, dx and/or dy -> the derivative along them
ffi::Error jvp_impl(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets, std::int64_t axis,
                    double eps, bool has_dx, bool has_dy, bool negate) {
  return guarded(pool, [&] {
    Arguments in(args);
    Results out(rets);
    const auto *x = in.next(), *y = in.next(), *dx = in.next(has_dx), *dy = in.next(has_dy), *J = out.next();
    const Family fx({x, dx}), fy({y, dy});
    jvp(call(*x, axis, eps), fx.view(x), fy.view(y), fx.view(dx), fy.view(dy), data(J), negate);
  });
}

// x -> its unit vector; x, g -> the product of g with the Jacobian
ffi::Error normalize_impl(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets, std::int64_t axis,
                          double eps) {
  return guarded(pool, [&] {
    Arguments in(args);
    Results out(rets);
    const auto *x = in.next(), *g = in.next(args.size() > 1), *unit = out.next();
    const Family family({x, unit});
    normalize(call(*x, axis, eps), family.view(x), family.view(g), family.view(unit));
  });
}

auto binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .RemainingArgs()
      .RemainingRets()
      .Attr<std::int64_t>("axis")
      .Attr<double>("eps");
}

XLA_FFI_DEFINE_HANDLER(forward_handler, forward_impl, binding().Attr<bool>("similarity").Attr<bool>("distance"));
XLA_FFI_DEFINE_HANDLER(
    backward_handler, backward_impl,
    binding().Attr<bool>("need_x").Attr<bool>("need_y").Attr<bool>("negate").Attr<bool>("skip_zero"));
XLA_FFI_DEFINE_HANDLER(jvp_handler, jvp_impl, binding().Attr<bool>("has_dx").Attr<bool>("has_dy").Attr<bool>("negate"));
XLA_FFI_DEFINE_HANDLER(normalize_handler, normalize_impl, binding());

}  // namespace

const int xla_interface[2] = {XLA_FFI_API_MAJOR, XLA_FFI_API_MINOR};

const XlaHandler xla_handlers[] = {
    {"cosgrad_forward", reinterpret_cast<void*>(forward_handler)},
    {"cosgrad_backward", reinterpret_cast<void*>(backward_handler)},
    {"cosgrad_jvp", reinterpret_cast<void*>(jvp_handler)},
    {"cosgrad_normalize", reinterpret_cast<void*>(normalize_handler)},
    {nullptr, nullptr},
};

}  // namespace cosgrad
