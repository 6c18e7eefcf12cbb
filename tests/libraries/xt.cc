// cublasXt from end to end: every routine, with matrices in host and in device memory, that fit
// into the device's and that do not, against products calculated here. What a routine must neither
// read nor write holds numbers that are none, and must hold them afterwards. Says what failed;
// exits with 0 when all is well. The argument says which case.
#include <cublasXt.h>
#include <cuda_runtime_api.h>

#include <cmath>
#include <complex>
#include <cstring>
#include <limits>
#include <memory>
#include <string_view>
#include <type_traits>
#include <vector>

#include "tests/libraries/expect.h"

namespace {

using Number = std::complex<double>;

template <class T>
inline constexpr bool kIsComplex = !std::is_floating_point_v<T>;
template <class T>
T make(Number a) {
  if constexpr (kIsComplex<T>) {
    using Real = decltype(T::x);
    return {static_cast<Real>(a.real()), static_cast<Real>(a.imag())};
  } else {
    return static_cast<T>(a.real());
  }
}
template <class T>
Number number(const T& a) {
  if constexpr (kIsComplex<T>) {
    return {a.x, a.y};
  } else {
    return a;
  }
}

// A matrix as it is meant, row and column by row and column.
struct Dense {
  size_t rows = 0, columns = 0;
  std::vector<Number> elements;
  Dense(size_t m, size_t n) : rows(m), columns(n), elements(m * n) {}
  Number& at(size_t i, size_t j) { return elements[i + j * rows]; }
  const Number& at(size_t i, size_t j) const { return elements[i + j * rows]; }
};

unsigned g_seed = 1;
template <class T>
Number random_number() {
  const auto next = [] {
    g_seed = g_seed * 1664525u + 1013904223u;
    return static_cast<double>(static_cast<int>(g_seed >> 24) - 128) / 64;
  };
  const double real = next();
  return {real, kIsComplex<T> ? next() : 0};
}
template <class T>
Dense random_dense(size_t m, size_t n) {
  Dense made(m, n);
  for (Number& element : made.elements) element = random_number<T>();
  return made;
}

Dense turned(const Dense& a, cublasOperation_t op) {
  if (op == CUBLAS_OP_N) return a;
  Dense made(a.columns, a.rows);
  for (size_t i = 0; i < a.rows; ++i) {
    for (size_t j = 0; j < a.columns; ++j) {
      made.at(j, i) = op == CUBLAS_OP_C ? std::conj(a.at(i, j)) : a.at(i, j);
    }
  }
  return made;
}
Dense product(Number alpha, const Dense& a, const Dense& b) {
  Dense made(a.rows, b.columns);
  for (size_t j = 0; j < b.columns; ++j) {
    for (size_t p = 0; p < a.columns; ++p) {
      for (size_t i = 0; i < a.rows; ++i) made.at(i, j) += alpha * a.at(i, p) * b.at(p, j);
    }
  }
  return made;
}
Dense sum(const Dense& a, Number beta, const Dense& c) {
  Dense made = a;
  for (size_t i = 0; i < made.elements.size(); ++i) {
    if (beta != 0.0) made.elements[i] += beta * c.elements[i];
  }
  return made;
}

enum class Stored { kAll, kLower, kUpper };
Stored stored(cublasFillMode_t uplo) {
  return uplo == CUBLAS_FILL_MODE_LOWER ? Stored::kLower : Stored::kUpper;
}

// Where matrices lie.
enum class Where { kHost, kDevice, kMixed, kOther };
Where g_where = Where::kHost;
size_t g_made = 0;

// A matrix in memory: columns further apart than they are long, what is not stored is not a number.
template <class T>
class Stock {
 public:
  Stock(const Dense& what, Stored part, bool is_written_only = false)
      : rows_(what.rows), columns_(what.columns), part_(part), ld_(what.rows + 3) {
    const double none = std::numeric_limits<double>::quiet_NaN();
    memory_.assign(ld_ * columns_ + 1, make<T>({none, none}));
    for (size_t j = 0; j < columns_ && !is_written_only; ++j) {
      for (size_t i = 0; i < rows_; ++i) {
        if (is_stored(i, j)) memory_[i + j * ld_] = make<T>(what.at(i, j));
      }
    }
    const bool is_on_device = g_where == Where::kDevice || g_where == Where::kOther ||
                              (g_where == Where::kMixed && g_made++ % 2 == 0);
    if (!is_on_device) return;
    OK(cudaSetDevice(g_where == Where::kOther ? 1 : 0));
    OK(cudaMalloc(reinterpret_cast<void**>(&device_), memory_.size() * sizeof(T)));
    OK(cudaMemcpy(device_, memory_.data(), memory_.size() * sizeof(T), cudaMemcpyHostToDevice));
    OK(cudaSetDevice(0));
  }
  Stock(const Stock&) = delete;
  ~Stock() { cudaFree(device_); }

  T* data() { return device_ != nullptr ? device_ : memory_.data(); }
  size_t ld() const { return ld_; }

  // It has become that, and what is not stored is what it was.
  void expect(const Dense& wanted, double tolerance, const char* what) {
    if (device_ != nullptr) {
      OK(cudaMemcpy(memory_.data(), device_, memory_.size() * sizeof(T), cudaMemcpyDeviceToHost));
    }
    for (size_t at = 0; at < memory_.size(); ++at) {
      const size_t i = at % ld_, j = at / ld_;
      if (i < rows_ && j < columns_ && is_stored(i, j)) {
        const double error = std::abs(number(memory_[at]) - wanted.at(i, j));
        if (!(error <= tolerance * (1 + std::abs(wanted.at(i, j))))) {
          std::printf("%s: (%zu, %zu) is %g%+gi and not %g%+gi\n", what, i, j,
                      number(memory_[at]).real(), number(memory_[at]).imag(),
                      wanted.at(i, j).real(), wanted.at(i, j).imag());
          std::exit(1);
        }
      } else if (!std::isnan(number(memory_[at]).real())) {
        std::printf("%s: (%zu, %zu) was written\n", what, i, j);
        std::exit(1);
      }
    }
  }

 private:
  bool is_stored(size_t i, size_t j) const {
    return part_ == Stored::kAll || (part_ == Stored::kLower ? i >= j : i <= j);
  }

  size_t rows_, columns_;
  Stored part_;
  size_t ld_;
  std::vector<T> memory_;
  T* device_ = nullptr;
};

Dense symmetric(const Dense& a, cublasFillMode_t uplo, bool is_hermitian) {
  Dense made = a;
  for (size_t i = 0; i < a.rows; ++i) {
    for (size_t j = 0; j < a.columns; ++j) {
      if (i == j && is_hermitian) made.at(i, i) = a.at(i, i).real();
      if (i == j || (i > j) == (uplo == CUBLAS_FILL_MODE_LOWER)) continue;
      made.at(i, j) = is_hermitian ? std::conj(a.at(j, i)) : a.at(j, i);
    }
  }
  return made;
}
Dense triangular(const Dense& a, cublasFillMode_t uplo, cublasDiagType_t diag) {
  Dense made = a;
  for (size_t i = 0; i < a.rows; ++i) {
    for (size_t j = 0; j < a.columns; ++j) {
      if (i == j && diag == CUBLAS_DIAG_UNIT) made.at(i, i) = 1;
      if (i != j && (i > j) != (uplo == CUBLAS_FILL_MODE_LOWER)) made.at(i, j) = 0;
    }
  }
  return made;
}

// The routines' names by the type of the elements.
#define ROUTINE(name)                                    \
  template <class T, class... A>                         \
  cublasStatus_t name(A... a) {                          \
    if constexpr (std::is_same_v<T, float>) {            \
      return cublasXtS##name(a...);                      \
    } else if constexpr (std::is_same_v<T, double>) {    \
      return cublasXtD##name(a...);                      \
    } else if constexpr (std::is_same_v<T, cuComplex>) { \
      return cublasXtC##name(a...);                      \
    } else {                                             \
      return cublasXtZ##name(a...);                      \
    }                                                    \
  }
#define COMPLEX_ROUTINE(name)                     \
  template <class T, class... A>                  \
  cublasStatus_t name(A... a) {                   \
    if constexpr (std::is_same_v<T, cuComplex>) { \
      return cublasXtC##name(a...);               \
    } else {                                      \
      return cublasXtZ##name(a...);               \
    }                                             \
  }
ROUTINE(gemm)
ROUTINE(symm)
ROUTINE(spmm)
ROUTINE(syrk)
ROUTINE(syr2k)
ROUTINE(syrkx)
ROUTINE(trmm)
ROUTINE(trsm)
COMPLEX_ROUTINE(hemm)
COMPLEX_ROUTINE(herk)
COMPLEX_ROUTINE(her2k)
COMPLEX_ROUTINE(herkx)

constexpr cublasOperation_t kOps[] = {CUBLAS_OP_N, CUBLAS_OP_T, CUBLAS_OP_C};
constexpr cublasSideMode_t kSides[] = {CUBLAS_SIDE_LEFT, CUBLAS_SIDE_RIGHT};
constexpr cublasFillMode_t kUplos[] = {CUBLAS_FILL_MODE_LOWER, CUBLAS_FILL_MODE_UPPER};
constexpr cublasDiagType_t kDiags[] = {CUBLAS_DIAG_NON_UNIT, CUBLAS_DIAG_UNIT};

struct Sizes {
  size_t m, n, k;
};

template <class T>
struct Routines {
  using Real =
      std::conditional_t<std::is_same_v<T, float> || std::is_same_v<T, cuComplex>, float, double>;
  cublasXtHandle_t handle;
  Sizes sizes;
  double tolerance = std::is_same_v<Real, float> ? 1e-3 : 1e-10;

  const Number alpha = number(make<T>({0.5, -2}));
  const T alpha_given = make<T>(alpha);
  // With nothing of what was there, and with some.
  const Number betas[2] = {0, number(make<T>({-1, 0.25}))};

  void multiply() {
    for (const cublasOperation_t transa : kOps) {
      for (const cublasOperation_t transb : kOps) {
        for (const Number beta : betas) {
          const Dense a = random_dense<T>(transa == CUBLAS_OP_N ? sizes.m : sizes.k,
                                          transa == CUBLAS_OP_N ? sizes.k : sizes.m);
          const Dense b = random_dense<T>(transb == CUBLAS_OP_N ? sizes.k : sizes.n,
                                          transb == CUBLAS_OP_N ? sizes.n : sizes.k);
          const Dense c = random_dense<T>(sizes.m, sizes.n);
          Stock<T> sa(a, Stored::kAll), sb(b, Stored::kAll), sc(c, Stored::kAll, beta == 0.0);
          const T beta_given = make<T>(beta);
          OK(gemm<T>(handle, transa, transb, sizes.m, sizes.n, sizes.k, &alpha_given, sa.data(),
                     sa.ld(), sb.data(), sb.ld(), &beta_given, sc.data(), sc.ld()));
          sc.expect(sum(product(alpha, turned(a, transa), turned(b, transb)), beta, c), tolerance,
                    "gemm");
        }
      }
    }
    // Without terms, and with factors that are not looked at.
    for (const size_t k : {size_t{0}, sizes.k}) {
      const Dense c = random_dense<T>(sizes.m, sizes.n), none(sizes.m, sizes.n);
      const T zero{}, beta = make<T>(3);
      Stock<T> sc(c, Stored::kAll);
      T* const null = nullptr;
      OK(gemm<T>(handle, CUBLAS_OP_N, CUBLAS_OP_N, sizes.m, sizes.n, k,
                 k == 0 ? &alpha_given : &zero, null, sizes.m, null, sizes.k, &beta, sc.data(),
                 sc.ld()));
      sc.expect(sum(none, 3, c), tolerance, "gemm without terms");
    }
  }

  template <class Call>
  void multiply_symmetric(const char* name, bool is_hermitian, bool is_packed, const Call& call) {
    for (const cublasSideMode_t side : kSides) {
      for (const cublasFillMode_t uplo : kUplos) {
        for (const Number beta : betas) {
          const size_t order = side == CUBLAS_SIDE_LEFT ? sizes.m : sizes.n;
          const Dense a = random_dense<T>(order, order), b = random_dense<T>(sizes.m, sizes.n),
                      c = random_dense<T>(sizes.m, sizes.n);
          // A packed one: a matrix of one column.
          Dense packed(order * (order + 1) / 2, 1);
          size_t at = 0;
          for (size_t j = 0; j < order; ++j) {
            for (size_t i = 0; i < order; ++i) {
              if (uplo == CUBLAS_FILL_MODE_LOWER ? i >= j : i <= j) packed.at(at++, 0) = a.at(i, j);
            }
          }
          Stock<T> sa(is_packed ? packed : a, is_packed ? Stored::kAll : stored(uplo)),
              sb(b, Stored::kAll), sc(c, Stored::kAll, beta == 0.0);
          const T beta_given = make<T>(beta);
          OK(call(side, uplo, sa, sb, &beta_given, sc));
          const Dense full = symmetric(a, uplo, is_hermitian);
          sc.expect(
              sum(side == CUBLAS_SIDE_LEFT ? product(alpha, full, b) : product(alpha, b, full),
                  beta, c),
              tolerance, name);
        }
      }
    }
  }

  void multiply_symmetric() {
    multiply_symmetric("symm", false, false,
                       [&](auto side, auto uplo, auto& a, auto& b, const T* beta, auto& c) {
                         return symm<T>(handle, side, uplo, sizes.m, sizes.n, &alpha_given,
                                        a.data(), a.ld(), b.data(), b.ld(), beta, c.data(), c.ld());
                       });
    multiply_symmetric("spmm", false, true,
                       [&](auto side, auto uplo, auto& a, auto& b, const T* beta, auto& c) {
                         return spmm<T>(handle, side, uplo, sizes.m, sizes.n, &alpha_given,
                                        a.data(), b.data(), b.ld(), beta, c.data(), c.ld());
                       });
    if constexpr (kIsComplex<T>) {
      multiply_symmetric(
          "hemm", true, false, [&](auto side, auto uplo, auto& a, auto& b, const T* beta, auto& c) {
            return hemm<T>(handle, side, uplo, sizes.m, sizes.n, &alpha_given, a.data(), a.ld(),
                           b.data(), b.ld(), beta, c.data(), c.ld());
          });
    }
  }

  template <class Call>
  void update(const char* name, bool is_hermitian, bool has_b, bool is_twofold, Number factor,
              const Call& call) {
    const cublasOperation_t turn = is_hermitian ? CUBLAS_OP_C : CUBLAS_OP_T;
    for (const cublasOperation_t trans : {CUBLAS_OP_N, turn}) {
      for (const cublasFillMode_t uplo : kUplos) {
        for (Number beta : betas) {
          if (is_hermitian) beta = beta.real();
          const bool is_turned = trans != CUBLAS_OP_N;
          const Dense a =
              random_dense<T>(is_turned ? sizes.k : sizes.n, is_turned ? sizes.n : sizes.k);
          const Dense b = has_b ? random_dense<T>(a.rows, a.columns) : a;
          const Dense c = random_dense<T>(sizes.n, sizes.n);
          Stock<T> sa(a, Stored::kAll), sb(b, Stored::kAll), sc(c, stored(uplo), beta == 0.0);
          OK(call(uplo, trans, sa, sb, beta, sc));
          const Dense x = turned(a, trans), y = turned(b, trans);
          Dense wanted = product(factor, x, turned(y, turn));
          if (is_twofold) {
            const Number second = is_hermitian ? std::conj(factor) : factor;
            wanted = sum(wanted, 1, product(second, y, turned(x, turn)));
          }
          wanted = sum(wanted, beta, c);
          for (size_t i = 0; i < sizes.n && is_hermitian; ++i) {
            wanted.at(i, i) = wanted.at(i, i).real();
          }
          sc.expect(wanted, tolerance, name);
        }
      }
    }
  }

  void update() {
    update("syrk", false, false, false, alpha,
           [&](auto uplo, auto trans, auto& a, auto&, Number beta, auto& c) {
             const T given = make<T>(beta);
             return syrk<T>(handle, uplo, trans, sizes.n, sizes.k, &alpha_given, a.data(), a.ld(),
                            &given, c.data(), c.ld());
           });
    const auto two = [&](auto routine) {
      return [&, routine](auto uplo, auto trans, auto& a, auto& b, Number beta, auto& c) {
        const T given = make<T>(beta);
        return routine(handle, uplo, trans, sizes.n, sizes.k, &alpha_given, a.data(), a.ld(),
                       b.data(), b.ld(), &given, c.data(), c.ld());
      };
    };
    update("syr2k", false, true, true, alpha, two([](auto... a) { return syr2k<T>(a...); }));
    update("syrkx", false, true, false, alpha, two([](auto... a) { return syrkx<T>(a...); }));
    if constexpr (kIsComplex<T>) {
      const auto real = static_cast<Real>(alpha.real());
      update("herk", true, false, false, alpha.real(),
             [&](auto uplo, auto trans, auto& a, auto&, Number beta, auto& c) {
               const auto given = static_cast<Real>(beta.real());
               return herk<T>(handle, uplo, trans, sizes.n, sizes.k, &real, a.data(), a.ld(),
                              &given, c.data(), c.ld());
             });
      const auto two_hermitian = [&](auto routine) {
        return [&, routine](auto uplo, auto trans, auto& a, auto& b, Number beta, auto& c) {
          const auto given = static_cast<Real>(beta.real());
          return routine(handle, uplo, trans, sizes.n, sizes.k, &alpha_given, a.data(), a.ld(),
                         b.data(), b.ld(), &given, c.data(), c.ld());
        };
      };
      update("her2k", true, true, true, alpha,
             two_hermitian([](auto... a) { return her2k<T>(a...); }));
      update("herkx", true, true, false, alpha,
             two_hermitian([](auto... a) { return herkx<T>(a...); }));
    }
    // Without terms.
    const Dense c = random_dense<T>(sizes.n, sizes.n), none(sizes.n, sizes.n);
    const T beta = make<T>(2);
    T* const null = nullptr;
    Stock<T> sc(c, Stored::kUpper);
    OK(syrk<T>(handle, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_N, sizes.n, size_t{0}, &alpha_given, null,
               sizes.n, &beta, sc.data(), sc.ld()));
    sc.expect(sum(none, 2, c), tolerance, "syrk without terms");
  }

  // Products with a triangle into another matrix and in the place of the factor; solutions.
  void triangles() {
    for (const cublasSideMode_t side : kSides) {
      for (const cublasFillMode_t uplo : kUplos) {
        for (const cublasOperation_t trans : kOps) {
          for (const cublasDiagType_t diag : kDiags) triangle(side, uplo, trans, diag);
        }
      }
    }
    const Dense b = random_dense<T>(sizes.m, sizes.n), none(sizes.m, sizes.n);
    Stock<T> sb(b, Stored::kAll);
    const T zero{};
    T* const null = nullptr;
    OK(trsm<T>(handle, CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_N, CUBLAS_DIAG_UNIT,
               sizes.m, sizes.n, &zero, null, sizes.m, sb.data(), sb.ld()));
    sb.expect(none, tolerance, "trsm of nothing");
  }

  // In the place of factors that lie in device memory already, whose tiles are worked on there.
  struct Placed {
    cublasSideMode_t side;
    cublasFillMode_t uplo;
    cublasOperation_t trans;
    Dense a, b;
    std::unique_ptr<Stock<T>> multiplied, solved;
  };
  std::vector<Placed> place_triangles() {
    std::vector<Placed> placed;
    g_where = Where::kDevice;
    for (const cublasSideMode_t side : kSides) {
      for (const cublasFillMode_t uplo : kUplos) {
        for (const cublasOperation_t trans : kOps) {
          const size_t order = side == CUBLAS_SIDE_LEFT ? sizes.m : sizes.n;
          placed.push_back({side, uplo, trans, random_triangle(order),
                            random_dense<T>(sizes.m, sizes.n), nullptr, nullptr});
          Placed& made = placed.back();
          made.multiplied = std::make_unique<Stock<T>>(made.b, Stored::kAll);
          made.solved = std::make_unique<Stock<T>>(wanted(made), Stored::kAll);
        }
      }
    }
    g_where = Where::kHost;
    return placed;
  }
  Dense wanted(const Placed& p) const {
    const Dense full = turned(triangular(p.a, p.uplo, CUBLAS_DIAG_NON_UNIT), p.trans);
    return p.side == CUBLAS_SIDE_LEFT ? product(alpha, full, p.b) : product(alpha, p.b, full);
  }
  void triangles_in_place(const std::vector<Placed>& placed) {
    const T inverse = make<T>(1.0 / alpha);
    for (const Placed& p : placed) {
      Stock<T> a(p.a, stored(p.uplo));
      Stock<T>&b = *p.multiplied, &x = *p.solved;
      OK(trmm<T>(handle, p.side, p.uplo, p.trans, CUBLAS_DIAG_NON_UNIT, sizes.m, sizes.n,
                 &alpha_given, a.data(), a.ld(), b.data(), b.ld(), b.data(), b.ld()));
      b.expect(wanted(p), tolerance, "trmm in place on the device");
      OK(trsm<T>(handle, p.side, p.uplo, p.trans, CUBLAS_DIAG_NON_UNIT, sizes.m, sizes.n, &inverse,
                 a.data(), a.ld(), x.data(), x.ld()));
      x.expect(p.b, tolerance, "trsm on the device");
    }
  }

  // Small beside the diagonal, so that solving loses no digits.
  static Dense random_triangle(size_t order) {
    Dense a = random_dense<T>(order, order);
    for (Number& element : a.elements) element /= static_cast<double>(order);
    for (size_t i = 0; i < order; ++i) a.at(i, i) += 3;
    return a;
  }

  void triangle(cublasSideMode_t side, cublasFillMode_t uplo, cublasOperation_t trans,
                cublasDiagType_t diag) {
    const bool is_left = side == CUBLAS_SIDE_LEFT;
    const size_t order = is_left ? sizes.m : sizes.n;
    const Dense a = random_triangle(order);
    const Dense b = random_dense<T>(sizes.m, sizes.n);
    const Dense full = turned(triangular(a, uplo, diag), trans);
    const Dense wanted = is_left ? product(alpha, full, b) : product(alpha, b, full);
    Stock<T> sa(a, stored(uplo)), sb(b, Stored::kAll), sc(b, Stored::kAll, true),
        sx(wanted, Stored::kAll);
    const auto multiplied = [&](Stock<T>& c) {
      return trmm<T>(handle, side, uplo, trans, diag, sizes.m, sizes.n, &alpha_given, sa.data(),
                     sa.ld(), sb.data(), sb.ld(), c.data(), c.ld());
    };
    OK(multiplied(sc));
    sc.expect(wanted, tolerance, "trmm");
    OK(multiplied(sb));
    sb.expect(wanted, tolerance, "trmm in place");
    const T inverse = make<T>(1.0 / alpha);
    OK(trsm<T>(handle, side, uplo, trans, diag, sizes.m, sizes.n, &inverse, sa.data(), sa.ld(),
               sx.data(), sx.ld()));
    sx.expect(b, tolerance, "trsm");
  }

  void all() {
    multiply();
    multiply_symmetric();
    update();
    triangles();
  }
};

cublasXtHandle_t make_handle(int device = 0) {
  cublasXtHandle_t handle = nullptr;
  OK(cublasXtCreate(&handle));
  OK(cublasXtDeviceSelect(handle, 1, &device));
  return handle;
}

template <class T>
void all(cublasXtHandle_t handle, Sizes sizes) {
  Routines<T>{.handle = handle, .sizes = sizes}.all();
}
void all_types(cublasXtHandle_t handle, Sizes sizes) {
  all<float>(handle, sizes);
  all<double>(handle, sizes);
  all<cuComplex>(handle, sizes);
  all<cuDoubleComplex>(handle, sizes);
}

void host() {
  const cublasXtHandle_t handle = make_handle();
  all_types(handle, {13, 9, 7});
  all_types(handle, {4, 11, 20});
  all<double>(handle, {1, 1, 1});
  // A triangle of more columns than are fetched at a time.
  Routines<float>{.handle = handle, .sizes = {3, 300, 2}}.update();
  Routines<float>{.handle = handle, .sizes = {300, 2, 1}}.triangles();
  OK(cublasXtDestroy(handle));
}

void device() {
  const cublasXtHandle_t handle = make_handle();
  g_where = Where::kDevice;
  all_types(handle, {13, 9, 7});
  g_where = Where::kMixed;
  all_types(handle, {8, 9, 10});
  all_types(handle, {9, 8, 5});
  OK(cublasXtDestroy(handle));
}

// The first of those selected calculates, whichever is current, and with what lies on another one.
void devices() {
  cublasXtHandle_t handle = nullptr;
  OK(cublasXtCreate(&handle));
  int chosen[] = {1, 0}, boards = 0;
  OK(cublasXtGetNumBoards(2, chosen, &boards));
  EXPECT(boards == 2);
  OK(cublasXtDeviceSelect(handle, 2, chosen));
  for (const Where where : {Where::kHost, Where::kDevice, Where::kOther}) {
    g_where = where;
    all<float>(handle, {5, 6, 7});
  }
  int current = -1;
  OK(cudaGetDevice(&current));
  EXPECT(current == 0);
  int same[] = {1, 1};
  EXPECT(cublasXtDeviceSelect(handle, 2, same) == CUBLAS_STATUS_INVALID_VALUE);
  OK(cublasXtDestroy(handle));
}

// Memory for a few small tiles and no more.
void tiles() {
  const cublasXtHandle_t handle = make_handle();
  OK(cublasXtSetBlockDim(handle, 8));
  const Sizes sizes = {45, 41, 38};  // of 16 bytes each: more than a block
  constexpr size_t kBlockBytes = 16 << 10;
  all<cuDoubleComplex>(handle, {3, 3, 3});  // what the library itself needs is there
  Routines<cuDoubleComplex> routines{.handle = handle, .sizes = sizes};
  const auto placed = routines.place_triangles();
  std::vector<void*> blocks;
  void* block = nullptr;
  while (cudaMalloc(&block, kBlockBytes) == cudaSuccess) blocks.push_back(block);
  EXPECT(cudaGetLastError() == cudaErrorMemoryAllocation && blocks.size() > 100);
  // Not beside each other.
  for (const size_t i : {10, 20, 30}) {
    OK(cudaFree(blocks[i]));
  }
  routines.all();
  routines.triangles_in_place(placed);
  all<float>(handle, {90, 80, 70});
  // Tiles are to be larger: what could be done is not, and nothing is written.
  OK(cublasXtSetBlockDim(handle, 1000));
  const cuDoubleComplex one = {1, 0};
  std::vector<cuDoubleComplex> a(sizes.m * sizes.m), c(sizes.m * sizes.m, {7, 7});
  EXPECT(cublasXtZgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, sizes.m, sizes.m, sizes.m, &one, a.data(),
                       sizes.m, a.data(), sizes.m, &one, c.data(),
                       sizes.m) == CUBLAS_STATUS_ALLOC_FAILED);
  EXPECT(c.front().x == 7 && c.back().y == 7);
  OK(cublasXtDestroy(handle));
}

// As the library itself answers without a device (13.1), and where that would fall over.
void arguments() {
  EXPECT(cublasXtCreate(nullptr) == CUBLAS_STATUS_INVALID_VALUE);
  cublasXtHandle_t handle = nullptr;
  OK(cublasXtCreate(&handle));
  int number = -7, first[] = {0}, wrong[] = {-1}, large[] = {99};
  OK(cublasXtMaxBoards(&number));
  EXPECT(number == 1024);
  EXPECT(cublasXtMaxBoards(nullptr) == CUBLAS_STATUS_INVALID_VALUE);
  OK(cublasXtGetNumBoards(1, first, &number));
  EXPECT(number == 1);
  OK(cublasXtGetNumBoards(0, first, nullptr));
  EXPECT(cublasXtGetNumBoards(1, wrong, &number) == CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(cublasXtGetNumBoards(1, nullptr, &number) == CUBLAS_STATUS_INVALID_VALUE);

  cublasXtPinnedMemMode_t mode = CUBLASXT_PINNING_ENABLED;
  OK(cublasXtGetPinningMemMode(handle, &mode));
  EXPECT(mode == CUBLASXT_PINNING_DISABLED);
  OK(cublasXtSetPinningMemMode(handle, CUBLASXT_PINNING_ENABLED));
  OK(cublasXtGetPinningMemMode(handle, &mode));
  EXPECT(mode == CUBLASXT_PINNING_ENABLED);
  EXPECT(cublasXtGetPinningMemMode(handle, nullptr) == CUBLAS_STATUS_INVALID_VALUE);
  OK(cublasXtGetBlockDim(handle, &number));
  EXPECT(number == 1024);
  OK(cublasXtSetBlockDim(handle, 100'000));
  OK(cublasXtGetBlockDim(handle, &number));
  EXPECT(number == 100'000);
  EXPECT(cublasXtSetBlockDim(handle, 0) == CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(cublasXtGetBlockDim(handle, nullptr) == CUBLAS_STATUS_INVALID_VALUE);
  OK(cublasXtSetCpuRoutine(handle, CUBLASXT_GEMM, CUBLASXT_FLOAT, &number));
  OK(cublasXtSetCpuRatio(handle, CUBLASXT_GEMM, CUBLASXT_DOUBLECOMPLEX, 0.5f));
  EXPECT(cublasXtSetCpuRatio(handle, CUBLASXT_SYRK, CUBLASXT_FLOAT, 0.5f) ==
         CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT(cublasXtSetCpuRoutine(handle, CUBLASXT_ROUTINE_MAX, CUBLASXT_FLOAT, &number) ==
         CUBLAS_STATUS_INVALID_VALUE);

  const float one = 1, zero = 0;
  float a = 2, c = 3;
  const auto product = [&](cublasXtHandle_t on, cublasOperation_t transa, cublasOperation_t transb,
                           size_t m, size_t n, size_t k, size_t lda, size_t ldb, size_t ldc) {
    return cublasXtSgemm(on, transa, transb, m, n, k, &one, &a, lda, &a, ldb, &one, &c, ldc);
  };
  constexpr cublasOperation_t kN = CUBLAS_OP_N, kT = CUBLAS_OP_T;
  constexpr cublasFillMode_t kUpper = CUBLAS_FILL_MODE_UPPER;
  // No device is selected.
  EXPECT(product(handle, kN, kN, 1, 1, 1, 1, 1, 1) == CUBLAS_STATUS_NOT_INITIALIZED);
  EXPECT(cublasXtDeviceSelect(handle, 0, first) == CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(cublasXtDeviceSelect(handle, -1, first) == CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(cublasXtDeviceSelect(handle, 1, nullptr) == CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(cublasXtDeviceSelect(handle, 1, large) == CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(product(handle, kN, kN, 1, 1, 1, 1, 1, 1) == CUBLAS_STATUS_NOT_INITIALIZED);
  OK(cublasXtDeviceSelect(handle, 1, first));
  OK(cublasXtDeviceSelect(handle, 1, first));

  EXPECT(product(handle, kN, kN, 2, 1, 1, 1, 1, 2) == CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(product(handle, kN, kN, 2, 1, 1, 2, 1, 1) == CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(product(handle, kN, kN, 1, 1, 2, 1, 1, 1) == CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(product(handle, kT, kN, 1, 1, 2, 1, 2, 1) == CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(product(handle, kN, kN, 0, 1, 1, 0, 1, 0) == CUBLAS_STATUS_INVALID_VALUE);
  constexpr auto kMinusOne = static_cast<size_t>(-1);
  EXPECT(product(handle, kN, kN, kMinusOne, 1, 1, kMinusOne, 1, kMinusOne) ==
         CUBLAS_STATUS_INVALID_VALUE);
  // Nothing to do, and nothing to look at.
  OK(product(handle, kN, kN, 0, 1, 1, 1, 1, 1));
  OK(product(handle, kN, kN, 1, 1, 0, 1, 1, 1));
  OK(cublasXtSgemm(handle, kN, kN, 0, 0, 0, nullptr, nullptr, 1, nullptr, 1, nullptr, nullptr, 1));
  OK(cublasXtSgemm(handle, kN, kN, 1, 1, 1, &zero, nullptr, 1, nullptr, 1, &one, nullptr, 1));
  EXPECT(cublasXtSgemm(handle, kN, kN, 1, 1, 1, nullptr, &a, 1, &a, 1, &one, &c, 1) ==
         CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(cublasXtSgemm(handle, kN, kN, 1, 1, 1, &one, nullptr, 1, &a, 1, &one, &c, 1) ==
         CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(cublasXtSgemm(handle, kN, kN, 1, 1, 1, &one, &a, 1, &a, 1, &one, nullptr, 1) ==
         CUBLAS_STATUS_INVALID_VALUE);
  float* on_device = nullptr;
  OK(cudaMalloc(reinterpret_cast<void**>(&on_device), sizeof(float)));
  EXPECT(cublasXtSgemm(handle, kN, kN, 1, 1, 1, on_device, &a, 1, &a, 1, &one, &c, 1) ==
         CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(cublasXtSsyrk(handle, CUBLAS_FILL_MODE_FULL, kN, 1, 1, &one, &a, 1, &one, &c, 1) ==
         CUBLAS_STATUS_INVALID_VALUE);
  const cuComplex z = {1, 1};
  cuComplex r = {5, 5};
  EXPECT(cublasXtCherk(handle, kUpper, kT, 1, 1, &one, &z, 1, &one, &r, 1) ==
         CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(cublasXtCsyrk(handle, kUpper, CUBLAS_OP_C, 1, 1, &z, &z, 1, &z, &r, 1) ==
         CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(cublasXtStrmm(handle, CUBLAS_SIDE_LEFT, kUpper, kN, CUBLAS_DIAG_UNIT, 2, 1, &one, &a, 1,
                       &a, 2, &c, 2) == CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(cublasXtSspmm(handle, CUBLAS_SIDE_LEFT, kUpper, 2, 1, &one, &a, &a, 2, &one, &c, 1) ==
         CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(c == 3 && r.x == 5);
  OK(product(handle, kN, kN, 1, 1, 1, 1, 1, 1));
  EXPECT(c == 7);

  // No handle.
  OK(cublasXtDestroy(handle));
  for (const cublasXtHandle_t none : {static_cast<cublasXtHandle_t>(nullptr), handle}) {
    EXPECT(cublasXtDestroy(none) == CUBLAS_STATUS_INVALID_VALUE);
    EXPECT(cublasXtDeviceSelect(none, 1, first) == CUBLAS_STATUS_INVALID_VALUE);
    EXPECT(cublasXtSetBlockDim(none, 1024) == CUBLAS_STATUS_INVALID_VALUE);
    EXPECT(cublasXtSetPinningMemMode(none, CUBLASXT_PINNING_DISABLED) ==
           CUBLAS_STATUS_INVALID_VALUE);
    EXPECT(cublasXtSetCpuRatio(none, CUBLASXT_GEMM, CUBLASXT_FLOAT, 0) ==
           CUBLAS_STATUS_INVALID_VALUE);
    EXPECT(product(none, kN, kN, 1, 1, 1, 1, 1, 1) == CUBLAS_STATUS_NOT_INITIALIZED);
  }
}

// What fails on the server is this call's error, and leaves the program's memory alone.
void failures() {
  const cublasXtHandle_t handle = make_handle();
  // So many the stand-in does not take.
  constexpr size_t kRows = 777;
  const float one = 1;
  std::vector<float> a(kRows, 1), c(kRows, 5);
  const auto product = [&](size_t rows) {
    return cublasXtSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, rows, 1, 1, &one, a.data(), rows,
                         a.data(), 1, &one, c.data(), rows);
  };
  EXPECT(product(kRows) == CUBLAS_STATUS_EXECUTION_FAILED);
  EXPECT(c.front() == 5 && c.back() == 5);
  OK(product(kRows - 1));
  EXPECT(c.front() == 6 && c.back() == 5);
  // What failed before it belongs to the call that is told of it.
  cublasHandle_t other = nullptr;
  OK(cublasCreate(&other));
  OK(cublasSgemm(other, CUBLAS_OP_N, CUBLAS_OP_N, -1, 1, 1, &one, a.data(), 1, a.data(), 1, &one,
                 c.data(), 1));
  OK(cudaDeviceSynchronize());
  EXPECT(product(1) == CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(c.front() == 6);
  OK(product(1));
  EXPECT(c.front() == 7);
  OK(cublasDestroy(other));
  OK(cublasXtDestroy(handle));
}

// The server has no such library.
void missing() {
  cublasXtHandle_t handle = nullptr;
  OK(cublasXtCreate(&handle));
  int device = 0;
  EXPECT(cublasXtDeviceSelect(handle, 1, &device) == CUBLAS_STATUS_NOT_INITIALIZED);
  const float one = 1;
  float c = 2;
  EXPECT(cublasXtSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, &one, 1, &one, 1, &one, &c,
                       1) == CUBLAS_STATUS_NOT_INITIALIZED);
  EXPECT(c == 2);
  OK(cublasXtDestroy(handle));
}

}  // namespace

int main(int argc, char** argv) {
  struct Case {
    std::string_view name;
    void (*run)();
  };
  constexpr Case kCases[] = {{"arguments", arguments}, {"host", host},   {"device", device},
                             {"devices", devices},     {"tiles", tiles}, {"failures", failures},
                             {"missing", missing}};
  for (const Case& each : kCases) {
    if (argc > 1 && argv[1] == each.name) {
      each.run();
      return 0;
    }
  }
  std::printf("which case?\n");
  return 2;
}
