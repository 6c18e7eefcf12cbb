// Products of matrices, by their definitions, calculated with complex numbers of double precision
// whatever the elements are. Nothing is read that cuBLAS does not read.
#include <complex>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "tests/libraries/soft_blas.h"

namespace {

using Number = std::complex<double>;
using soft_blas::wait_for;

template <class T>
Number number(const T& a) {
  if constexpr (std::is_floating_point_v<T>) {
    return {static_cast<double>(a), 0};
  } else {
    return {a.x, a.y};
  }
}
template <class T>
void set(T& to, Number a) {
  if constexpr (std::is_floating_point_v<T>) {
    to = static_cast<T>(a.real());
  } else {
    to.x = static_cast<decltype(to.x)>(a.real());
    to.y = static_cast<decltype(to.y)>(a.imag());
  }
}

// Columns `ld` apart, of which op() is meant.
template <class T>
struct Matrix {
  const T* data;
  int64_t ld;
  cublasOperation_t op = CUBLAS_OP_N;
  Number operator()(int64_t row, int64_t column) const {
    if (op == CUBLAS_OP_N) return number(data[row + column * ld]);
    const Number a = number(data[column + row * ld]);
    return op == CUBLAS_OP_C ? std::conj(a) : a;
  }
};

template <class T>
struct Symmetric {
  Matrix<T> stored;
  cublasFillMode_t uplo;
  bool is_hermitian;
  Number operator()(int64_t row, int64_t column) const {
    if (row == column) {
      const Number a = stored(row, row);
      return is_hermitian ? Number(a.real(), 0) : a;
    }
    if ((row > column) == (uplo == CUBLAS_FILL_MODE_LOWER)) return stored(row, column);
    const Number a = stored(column, row);
    return is_hermitian ? std::conj(a) : a;
  }
};

template <class T>
struct Triangular {
  Matrix<T> stored;
  cublasFillMode_t uplo;
  cublasDiagType_t diagonal;
  bool is_lower() const { return (uplo == CUBLAS_FILL_MODE_LOWER) == (stored.op == CUBLAS_OP_N); }
  Number operator()(int64_t row, int64_t column) const {
    if (row == column && diagonal == CUBLAS_DIAG_UNIT) return 1;
    if (row != column && (row > column) != is_lower()) return 0;
    return stored(row, column);
  }
};

template <class A, class B>
Number dot(const A& a, const B& b, int64_t row, int64_t column, int64_t k) {
  Number sum = 0;
  for (int64_t p = 0; p < k; ++p) sum += a(row, p) * b(p, column);
  return sum;
}

template <class T>
void put(T& to, Number product, Number beta) {
  set(to, product + (beta == 0.0 ? Number(0) : beta * number(to)));
}

bool is_ld(int64_t ld, int64_t rows) {
  return ld >= rows && ld >= 1;
}
bool is_op(cublasOperation_t op) {
  return op == CUBLAS_OP_N || op == CUBLAS_OP_T || op == CUBLAS_OP_C;
}

template <class T>
cublasStatus_t gemm(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb,
                    int64_t m, int64_t n, int64_t k, const T* alpha, const T* a, int64_t lda,
                    const T* b, int64_t ldb, const T* beta, T* c, int64_t ldc) {
  if (!is_op(transa) || !is_op(transb) || m < 0 || n < 0 || k < 0 ||
      !is_ld(lda, transa == CUBLAS_OP_N ? m : k) || !is_ld(ldb, transb == CUBLAS_OP_N ? k : n) ||
      !is_ld(ldc, m)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  // For a test of what fails.
  if (m == 777 || !wait_for(handle)) return CUBLAS_STATUS_EXECUTION_FAILED;
  const Number factor = number(*alpha);
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < m; ++i) {
      const Number sum = factor == 0.0
                             ? Number(0)
                             : dot(Matrix<T>{a, lda, transa}, Matrix<T>{b, ldb, transb}, i, j, k);
      put(c[i + j * ldc], factor * sum, number(*beta));
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

template <class T>
cublasStatus_t symm(cublasHandle_t handle, bool is_hermitian, cublasSideMode_t side,
                    cublasFillMode_t uplo, int64_t m, int64_t n, const T* alpha, const T* a,
                    int64_t lda, const T* b, int64_t ldb, const T* beta, T* c, int64_t ldc) {
  const bool is_left = side == CUBLAS_SIDE_LEFT;
  if (m < 0 || n < 0 || !is_ld(lda, is_left ? m : n) || !is_ld(ldb, m) || !is_ld(ldc, m)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (!wait_for(handle)) return CUBLAS_STATUS_EXECUTION_FAILED;
  const Symmetric<T> s{{a, lda}, uplo, is_hermitian};
  const Matrix<T> g{b, ldb};
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < m; ++i) {
      const Number sum = is_left ? dot(s, g, i, j, m) : dot(g, s, i, j, n);
      put(c[i + j * ldc], number(*alpha) * sum, number(*beta));
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

// A triangle of c: op(a) times op(b) turned, and the other way round.
template <class T>
cublasStatus_t update(cublasHandle_t handle, bool is_hermitian, bool is_twofold,
                      cublasFillMode_t uplo, cublasOperation_t trans, int64_t n, int64_t k,
                      Number alpha, const T* a, int64_t lda, const T* b, int64_t ldb, Number beta,
                      T* c, int64_t ldc) {
  const int64_t rows = trans == CUBLAS_OP_N ? n : k;
  const bool is_known = std::is_floating_point_v<T> || trans == CUBLAS_OP_N ||
                        trans == (is_hermitian ? CUBLAS_OP_C : CUBLAS_OP_T);
  if (!is_known || n < 0 || k < 0 || !is_ld(lda, rows) || !is_ld(ldb, rows) || !is_ld(ldc, n)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (!wait_for(handle)) return CUBLAS_STATUS_EXECUTION_FAILED;
  const Matrix<T> left{a, lda, trans}, right{b, ldb, trans};
  const auto turned = [&](const Matrix<T>& matrix) {
    return [&matrix, is_hermitian](int64_t row, int64_t column) {
      const Number element = matrix(column, row);
      return is_hermitian ? std::conj(element) : element;
    };
  };
  const int64_t terms = alpha == 0.0 ? 0 : k;
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < n; ++i) {
      if (i != j && (i > j) != (uplo == CUBLAS_FILL_MODE_LOWER)) continue;
      Number sum = alpha * dot(left, turned(right), i, j, terms);
      if (is_twofold) {
        sum += (is_hermitian ? std::conj(alpha) : alpha) * dot(right, turned(left), i, j, terms);
      }
      T& to = c[i + j * ldc];
      put(to, sum, beta);
      if (is_hermitian && i == j) set(to, number(to).real());
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

template <class T>
cublasStatus_t trmm(cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo,
                    cublasOperation_t trans, cublasDiagType_t diag, int64_t m, int64_t n,
                    const T* alpha, const T* a, int64_t lda, const T* b, int64_t ldb, T* c,
                    int64_t ldc) {
  const bool is_left = side == CUBLAS_SIDE_LEFT;
  if (m < 0 || n < 0 || !is_ld(lda, is_left ? m : n) || !is_ld(ldb, m) || !is_ld(ldc, m)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (!wait_for(handle)) return CUBLAS_STATUS_EXECUTION_FAILED;
  const Triangular<T> t{{a, lda, trans}, uplo, diag};
  const Matrix<T> g{b, ldb};
  std::vector<Number> product;
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < m; ++i) {
      product.push_back(number(*alpha) * (is_left ? dot(t, g, i, j, m) : dot(g, t, i, j, n)));
    }
  }
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < m; ++i) set(c[i + j * ldc], product[static_cast<size_t>(i + j * m)]);
  }
  return CUBLAS_STATUS_SUCCESS;
}

template <class T>
cublasStatus_t trsm(cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo,
                    cublasOperation_t trans, cublasDiagType_t diag, int64_t m, int64_t n,
                    const T* alpha, const T* a, int64_t lda, T* b, int64_t ldb) {
  const bool is_left = side == CUBLAS_SIDE_LEFT;
  if (m < 0 || n < 0 || !is_ld(lda, is_left ? m : n) || !is_ld(ldb, m)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (!wait_for(handle)) return CUBLAS_STATUS_EXECUTION_FAILED;
  const Triangular<T> t{{a, lda, trans}, uplo, diag};
  const int64_t order = is_left ? m : n;
  // One row or column of the unknowns after the other.
  for (int64_t other = 0; other < (is_left ? n : m); ++other) {
    const bool is_rising = t.is_lower() == is_left;
    std::vector<Number> x(static_cast<size_t>(order));
    for (int64_t step = 0; step < order; ++step) {
      const int64_t i = is_rising ? step : order - 1 - step;
      T& to = is_left ? b[i + other * ldb] : b[other + i * ldb];
      Number sum = number(*alpha) * number(to);
      for (int64_t p = 0; p < order; ++p) {
        if (p != i) sum -= (is_left ? t(i, p) : t(p, i)) * x[static_cast<size_t>(p)];
      }
      x[static_cast<size_t>(i)] = sum / t(i, i);
      set(to, x[static_cast<size_t>(i)]);
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

#define SOFT_GEMM(L, T, Int, suffix)                                                               \
  EXPORTED cublasStatus_t cublas##L##gemm##suffix(cublasHandle_t handle, cublasOperation_t transa, \
                                                  cublasOperation_t transb, Int m, Int n, Int k,   \
                                                  const T* alpha, const T* A, Int lda, const T* B, \
                                                  Int ldb, const T* beta, T* C, Int ldc) {         \
    return gemm<T>(handle, transa, transb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);          \
  }
#define SOFT_SYMM(L, T, name, is_hermitian, Int, suffix)                                         \
  EXPORTED cublasStatus_t cublas##L##name##suffix(                                               \
      cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo, Int m, Int n,         \
      const T* alpha, const T* A, Int lda, const T* B, Int ldb, const T* beta, T* C, Int ldc) {  \
    return symm<T>(handle, is_hermitian, side, uplo, m, n, alpha, A, lda, B, ldb, beta, C, ldc); \
  }
#define SOFT_RANK_K(L, T, Alpha, name, is_hermitian, Int, suffix)                               \
  EXPORTED cublasStatus_t cublas##L##name##suffix(                                              \
      cublasHandle_t handle, cublasFillMode_t uplo, cublasOperation_t trans, Int n, Int k,      \
      const Alpha* alpha, const T* A, Int lda, const Alpha* beta, T* C, Int ldc) {              \
    return update<T>(handle, is_hermitian, false, uplo, trans, n, k, number(*alpha), A, lda, A, \
                     lda, number(*beta), C, ldc);                                               \
  }
#define SOFT_RANK_2K(L, T, Beta, name, is_hermitian, is_twofold, Int, suffix)                      \
  EXPORTED cublasStatus_t cublas##L##name##suffix(                                                 \
      cublasHandle_t handle, cublasFillMode_t uplo, cublasOperation_t trans, Int n, Int k,         \
      const T* alpha, const T* A, Int lda, const T* B, Int ldb, const Beta* beta, T* C, Int ldc) { \
    return update<T>(handle, is_hermitian, is_twofold, uplo, trans, n, k, number(*alpha), A, lda,  \
                     B, ldb, number(*beta), C, ldc);                                               \
  }
#define SOFT_TRIANGULAR(L, T, Int, suffix)                                                      \
  EXPORTED cublasStatus_t cublas##L##trmm##suffix(                                              \
      cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo,                      \
      cublasOperation_t trans, cublasDiagType_t diag, Int m, Int n, const T* alpha, const T* A, \
      Int lda, const T* B, Int ldb, T* C, Int ldc) {                                            \
    return trmm<T>(handle, side, uplo, trans, diag, m, n, alpha, A, lda, B, ldb, C, ldc);       \
  }                                                                                             \
  EXPORTED cublasStatus_t cublas##L##trsm##suffix(                                              \
      cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo,                      \
      cublasOperation_t trans, cublasDiagType_t diag, Int m, Int n, const T* alpha, const T* A, \
      Int lda, T* B, Int ldb) {                                                                 \
    return trsm<T>(handle, side, uplo, trans, diag, m, n, alpha, A, lda, B, ldb);               \
  }
#define SOFT_WIDTH(L, T, Int, width)                         \
  SOFT_GEMM(L, T, Int, _v2##width)                           \
  SOFT_SYMM(L, T, symm, false, Int, _v2##width)              \
  SOFT_RANK_K(L, T, T, syrk, false, Int, _v2##width)         \
  SOFT_RANK_2K(L, T, T, syr2k, false, true, Int, _v2##width) \
  SOFT_RANK_2K(L, T, T, syrkx, false, false, Int, width)     \
  SOFT_TRIANGULAR(L, T, Int, _v2##width)
#define SOFT_HERMITIAN(L, T, Real, Int, width)                 \
  SOFT_SYMM(L, T, hemm, true, Int, _v2##width)                 \
  SOFT_RANK_K(L, T, Real, herk, true, Int, _v2##width)         \
  SOFT_RANK_2K(L, T, Real, her2k, true, true, Int, _v2##width) \
  SOFT_RANK_2K(L, T, Real, herkx, true, false, Int, width)
#define SOFT_TYPE(L, T) SOFT_WIDTH(L, T, int, ) SOFT_WIDTH(L, T, int64_t, _64)
SOFT_TYPE(S, float)
SOFT_TYPE(D, double)
SOFT_TYPE(C, cuComplex)
SOFT_TYPE(Z, cuDoubleComplex)
SOFT_HERMITIAN(C, cuComplex, float, int, )
SOFT_HERMITIAN(C, cuComplex, float, int64_t, _64)
SOFT_HERMITIAN(Z, cuDoubleComplex, double, int, )
SOFT_HERMITIAN(Z, cuDoubleComplex, double, int64_t, _64)
