// The core as TensorFlow operations, on TensorFlow's exported C interface. TensorFlow allocates the memory; the core
// starts the threads. No exception leaves a function that TensorFlow calls.
#include <bit>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bind/tensorflow_shapes.hpp"
#include "driver/driver.hpp"

namespace cosgrad::tensorflow {
namespace {

// ------------------------------------------------------------------------------------------------- attributes

struct Options {
  std::int64_t axis = -1, eps_bits = 0;
  bool negate = false, skip_zero = false;
  std::string x_name = "x", y_name = "y";

  // The interface reads floats as float32 only, so eps is passed as the bits of a float64.
  double eps() const { return std::bit_cast<double>(eps_bits); }
};

class Reader {
 public:
  explicit Reader(TF_OpKernelConstruction* context) : context_(context) {}

  void read(const char* name, std::int64_t& value) {
    if (has(name)) TF_OpKernelConstruction_GetAttrInt64(context_, name, &value, status_.get());
    check(status_);
  }
  void read(const char* name, bool& value) {
    unsigned char byte = value;
    if (has(name)) TF_OpKernelConstruction_GetAttrBool(context_, name, &byte, status_.get());
    check(status_);
    value = byte != 0;
  }
  void read(const char* name, std::string& value) {
    if (!has(name)) return;
    std::int32_t list = 0, size = 0;
    TF_OpKernelConstruction_GetAttrSize(context_, name, &list, &size, status_.get());
    check(status_);
    value.assign(static_cast<std::size_t>(size), '\0');
    TF_OpKernelConstruction_GetAttrString(context_, name, value.data(), value.size(), status_.get());
    check(status_);
  }

 private:
  bool has(const char* name) {
    const bool result = TF_OpKernelConstruction_HasAttr(context_, name, status_.get());
    check(status_);
    return result;
  }

  TF_OpKernelConstruction* context_;
  Status status_{TF_NewStatus()};
};

void* create(TF_OpKernelConstruction* context) noexcept {
  Options* options = nullptr;
  guarded(
      [&] {
        auto made = std::make_unique<Options>();
        Reader reader(context);
        reader.read("axis", made->axis);
        reader.read("eps_bits", made->eps_bits);
        reader.read("negate", made->negate);
        reader.read("skip_zero", made->skip_zero);
        reader.read("x_name", made->x_name);
        reader.read("y_name", made->y_name);
        options = made.release();
      },
      [&](TF_Status* status) { TF_OpKernelConstruction_Failure(context, status); });
  return options;
}

void destroy(void* options) noexcept { delete static_cast<Options*>(options); }

// ------------------------------------------------------------------------------------------ tensors and shapes

std::string text(const std::int64_t* shape, int rank) {
  std::string out = "(";
  for (int i = 0; i < rank; ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + (rank == 1 ? ",)" : ")");
}

// The views that the core takes. An empty tensor may have a null address, which the core would read as absent. A scalar
// counts as a vector of length 1.
void* address(TF_Tensor* tensor) {
  static char nothing[8];
  void* data = TF_TensorData(tensor);
  return data ? data : nothing;
}

View view(TF_Tensor* tensor, std::int64_t item) {
  View v;
  v.data = static_cast<char*>(address(tensor));
  v.rank = TF_NumDims(tensor);
  if (v.rank > cosgrad::kMaxRank) throw std::invalid_argument("tensors of more than 64 axes are not supported");
  std::int64_t step = item;
  for (int i = v.rank - 1; i >= 0; --i) {
    v.shape[i] = TF_Dim(tensor, i);
    v.stride[i] = step;
    step *= v.shape[i];
  }
  return v;
}

View as_vector(View v) {
  if (v.rank == 0) {
    v.rank = 1;
    v.shape[0] = v.stride[0] = 1;
  }
  return v;
}

Dims dims(const View& v) { return {v.shape, v.shape + v.rank}; }

// One execution of an operation.
class Run {
 public:
  Run(const Options& options, TF_OpKernelContext* context) : options_(options), context_(context) {}

  const Options& options() const { return options_; }

  View input(int index) {
    TF_Tensor* tensor = nullptr;
    TF_GetInput(context_, index, &tensor, status_.get());
    check(status_);
    tensors_.emplace_back(tensor);
    if (index == 0)
      while (kTypes[dtype_] != TF_TensorType(tensor)) ++dtype_;  // the kernels are registered for these types only
    return view(tensor, item());
  }

  View output(int index, const Dims& shape) {
    std::int64_t bytes = item();
    for (const std::int64_t n : shape) bytes *= n;
    TF_Tensor* tensor = TF_AllocateOutput(context_, index, kTypes[dtype_], shape.data(), static_cast<int>(shape.size()),
                                          static_cast<std::size_t>(bytes), status_.get());
    check(status_);
    tensors_.emplace_back(tensor);
    return view(tensor, item());
  }

  // The Python frontend cannot check unknown shapes while it traces. They are checked here, with the same message.
  Dims batch(const View& x, const View& y) {
    const int rank = std::max(x.rank, y.rank);
    Dims shape(static_cast<std::size_t>(rank));
    for (int i = 0; i < rank; ++i) {
      const std::int64_t a = i < rank - x.rank ? 1 : x.shape[i - (rank - x.rank)];
      const std::int64_t b = i < rank - y.rank ? 1 : y.shape[i - (rank - y.rank)];
      if (a != b && a != 1 && b != 1)
        throw std::invalid_argument(options_.x_name + " of shape " + text(x.shape, x.rank) + " and " + options_.y_name +
                                    " of shape " + text(y.shape, y.rank) + " must broadcast to one shape");
      shape[static_cast<std::size_t>(i)] = a == 1 ? b : a;
    }
    find_axis(rank);
    if (rank) shape.erase(shape.begin() + axis_);
    return shape;
  }

  void find_axis(int rank) {
    const std::int64_t count = rank ? rank : 1, axis = options_.axis;
    if (axis < -count || axis >= count)
      throw std::invalid_argument("axis=" + std::to_string(axis) + " is out of range for tensors of rank " +
                                  std::to_string(rank));
    axis_ = static_cast<int>(axis < 0 ? axis + count : axis);
  }

  cosgrad::Call call() const { return {dtype_, axis_, options_.eps(), {}}; }

 private:
  std::int64_t item() const { return cosgrad::kItemSize[dtype_]; }

  const Options& options_;
  TF_OpKernelContext* context_;
  int dtype_ = 0, axis_ = 0;
  Status status_{TF_NewStatus()};
  std::vector<Tensor> tensors_;
};

void same_shape(const View& v, const View& like, const char* what) {
  if (dims(v) != dims(like))
    throw std::invalid_argument(std::string(what) + " of shape " + text(v.shape, v.rank) + " must have shape " +
                                text(like.shape, like.rank));
}

// -------------------------------------------------------------------------------------------------- operations

template <bool Similarity, bool Distance>
void forward(Run& run) {
  const View x = run.input(0), y = run.input(1);
  const Dims shape = run.batch(x, y);
  char* S = Similarity ? run.output(0, shape).data : nullptr;
  char* D = Distance ? run.output(Similarity ? 1 : 0, shape).data : nullptr;
  cosgrad::forward(run.call(), as_vector(x), as_vector(y), S, D);
}

template <bool X, bool Y>
void gradient(Run& run) {
  const View x = run.input(0), y = run.input(1), g = run.input(2);
  const Dims shape = run.batch(x, y);
  if (dims(g) != shape)
    throw std::invalid_argument("the cotangent of shape " + text(g.shape, g.rank) + " must have shape " +
                                text(shape.data(), static_cast<int>(shape.size())));
  const View gx = X ? as_vector(run.output(0, dims(x))) : View{};
  const View gy = Y ? as_vector(run.output(X ? 1 : 0, dims(y))) : View{};
  cosgrad::backward(run.call(), as_vector(x), as_vector(y), g, gx, gy, run.options().negate, run.options().skip_zero);
}

// A direction of shape (0,) means zeros.
View direction(const View& v, const View& like, const char* what) {
  if (v.rank == 1 && v.shape[0] == 0) return {};
  same_shape(v, like, what);
  return as_vector(v);
}

void tangent(Run& run) {
  const View x = run.input(0), y = run.input(1), dx = run.input(2), dy = run.input(3);
  const Dims shape = run.batch(x, y);
  const View out = run.output(0, shape);
  cosgrad::jvp(run.call(), as_vector(x), as_vector(y), direction(dx, x, "dx"), direction(dy, y, "dy"), out.data,
               run.options().negate);
}

template <bool Gradient>
void normalize(Run& run) {
  const View x = run.input(0), g = Gradient ? run.input(1) : View{};
  run.find_axis(x.rank);
  if (Gradient) same_shape(g, x, "the cotangent");
  const View out = run.output(0, dims(x));
  cosgrad::normalize(run.call(), as_vector(x), Gradient ? as_vector(g) : g, as_vector(out));
}

template <void (*Compute)(Run&)>
void compute(void* options, TF_OpKernelContext* context) noexcept {
  guarded(
      [&] {
        Run run(*static_cast<const Options*>(options), context);
        Compute(run);
      },
      [&](TF_Status* status) { TF_OpKernelContext_Failure(context, status); });
}

// ------------------------------------------------------------------------------------------------ registration

struct Operation {
  const char* name;
  std::vector<const char*> inputs, outputs, attributes;
  Infer infer;
  void (*compute)(void*, TF_OpKernelContext*);
};

void check_registration(const Status& status, const char* name) {
  if (TF_GetCode(status.get()) != TF_OK)
    std::fprintf(stderr, "cosgrad: TensorFlow did not take the operation %s: %s\n", name, TF_Message(status.get()));
}

void add(const Operation& operation) {
  const Status status(TF_NewStatus());
  TF_OpDefinitionBuilder* builder = TF_NewOpDefinitionBuilder(operation.name);
  TF_OpDefinitionBuilderAddAttr(builder, "T: {half, bfloat16, float, double}");
  TF_OpDefinitionBuilderAddAttr(builder, "axis: int");
  TF_OpDefinitionBuilderAddAttr(builder, "eps_bits: int");
  for (const char* spec : operation.attributes) TF_OpDefinitionBuilderAddAttr(builder, spec);
  for (const char* name : operation.inputs)
    TF_OpDefinitionBuilderAddInput(builder, (std::string(name) + ": T").c_str());
  for (const char* name : operation.outputs)
    TF_OpDefinitionBuilderAddOutput(builder, (std::string(name) + ": T").c_str());
  TF_OpDefinitionBuilderSetShapeInferenceFunction(builder, operation.infer);
  TF_RegisterOpDefinition(builder, status.get());
  check_registration(status, operation.name);
  for (const TF_DataType type : kTypes) {
    TF_KernelBuilder* kernel = TF_NewKernelBuilder(operation.name, "CPU", create, operation.compute, destroy);
    TF_KernelBuilder_TypeConstraint(kernel, "T", type, status.get());
    check_registration(status, operation.name);
    TF_RegisterKernelBuilder(operation.name, kernel, status.get());
    check_registration(status, operation.name);
  }
}

// TensorFlow takes operations that a library registers while the library is being loaded.
const bool registered = [] {
  const std::vector<const char*> names = {"x_name: string = 'x'", "y_name: string = 'y'", "skip_zero: bool = false"};
  const std::vector<const char*> signs = {"negate: bool = false", "skip_zero: bool = false"};
  add({"CosgradSimilarity", {"x", "y"}, {"similarity"}, names, infer_batch<1>, compute<forward<true, false>>});
  add({"CosgradDistance", {"x", "y"}, {"distance"}, names, infer_batch<1>, compute<forward<false, true>>});
  add({"CosgradSimilarityAndDistance",
       {"x", "y"},
       {"similarity", "distance"},
       names,
       infer_batch<2>,
       compute<forward<true, true>>});
  add({"CosgradGradient", {"x", "y", "g"}, {"gx", "gy"}, signs, infer_like<0, 1>, compute<gradient<true, true>>});
  add({"CosgradGradientX", {"x", "y", "g"}, {"gx"}, signs, infer_like<0>, compute<gradient<true, false>>});
  add({"CosgradGradientY", {"x", "y", "g"}, {"gy"}, signs, infer_like<1>, compute<gradient<false, true>>});
  add({"CosgradTangent", {"x", "y", "dx", "dy"}, {"tangent"}, signs, infer_batch<1>, compute<tangent>});
  add({"CosgradNormalize", {"x"}, {"unit"}, {}, infer_like<0>, compute<normalize<false>>});
  add({"CosgradNormalizeGradient", {"x", "g"}, {"gradient"}, {}, infer_like<0>, compute<normalize<true>>});
  return true;
}();

}  // namespace
}  // namespace cosgrad::tensorflow
