// cublasXt's calculations. The result is there when a call returns, wherever the matrices lie. What
// falls short of the library: one device does all the work, the CPU none.
#include <cublasXt.h>

#include <new>

#include "client/core/cudax.h"
#include "client/cudax/cublas/xt_context.h"
#include "client/cudax/cublas/xt_work.h"

using namespace farlane::client::cudax::cublas;
namespace client = farlane::client;

namespace {

// More rows or columns than any memory holds: a negative number that was made a size_t.
constexpr size_t kSizeMax = size_t{1} << 40;

bool is_size(std::initializer_list<size_t> sizes) {
  return std::all_of(sizes.begin(), sizes.end(), [](size_t size) { return size <= kSizeMax; });
}
bool is_ld(size_t ld, size_t rows) {
  return ld <= kSizeMax && ld >= std::max<size_t>(rows, 1);
}
bool is_op(cublasOperation_t op) {
  return op == CUBLAS_OP_N || op == CUBLAS_OP_T || op == CUBLAS_OP_C;
}
bool is_uplo(cublasFillMode_t uplo) {
  return uplo == CUBLAS_FILL_MODE_LOWER || uplo == CUBLAS_FILL_MODE_UPPER;
}
bool is_side(cublasSideMode_t side) {
  return side == CUBLAS_SIDE_LEFT || side == CUBLAS_SIDE_RIGHT;
}
bool is_diag(cublasDiagType_t diag) {
  return diag == CUBLAS_DIAG_UNIT || diag == CUBLAS_DIAG_NON_UNIT;
}
// Scalars lie in host memory, always.
bool is_scalar(const void* scalar) {
  return scalar != nullptr && !client::cudax::is_device_address(reinterpret_cast<uint64_t>(scalar));
}

int64_t signed_size(size_t size) {
  return static_cast<int64_t>(size);
}

// What a call is made with.
struct Made {
  cublasXtContext& context;
  const char* name;

  int device() const { return context.devices.front(); }
  template <class T>
  Matrix matrix(const T* address, size_t ld) const {
    return matrix_at(address, signed_size(ld), sizeof(T), device());
  }
  template <class Task>
  void run(const Task& task) const {
    Work<std::remove_cvref_t<decltype(task.alpha)>>(context.blas, device(), context.block_dim, name)
        .run(task);
  }
};

// A call whose arguments may be right: `nothing` tells that there is nothing to do. `work` makes
// it of a Made.
template <class Nothing, class Function>
cublasStatus_t enter(cublasXtHandle_t handle, const char* name, bool is_right, Nothing&& nothing,
                     Function&& work) {
  const std::shared_ptr<cublasXtContext> context = xt_find(handle);
  if (context == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!is_right) return CUBLAS_STATUS_INVALID_VALUE;
  try {
    if (nothing()) return CUBLAS_STATUS_SUCCESS;
    const std::lock_guard lock(context->mutex);
    if (context->devices.empty()) return CUBLAS_STATUS_NOT_INITIALIZED;
    const OnDevice on(context->devices.front());
    if (!on.is_on()) return CUBLAS_STATUS_EXECUTION_FAILED;
    must(earlier_status());
    work(Made{*context, name});
    return CUBLAS_STATUS_SUCCESS;
  } catch (const Failure& failure) {
    return failure.status;
  } catch (const std::bad_alloc&) {
    return CUBLAS_STATUS_ALLOC_FAILED;
  }
}

void need(bool is_there) {
  if (!is_there) throw Failure{CUBLAS_STATUS_INVALID_VALUE};
}

// Whether c = alpha x + beta c leaves c as it is. `is_empty`: x has no terms.
template <class Alpha, class Beta>
bool leaves(const Alpha* alpha, const Beta* beta, bool is_empty) {
  need(is_scalar(alpha) && is_scalar(beta));
  return (is_empty || is_number(*alpha, 0)) && is_number(*beta, 1);
}

template <class T>
cublasStatus_t multiply(cublasXtHandle_t handle, const char* name, cublasOperation_t transa,
                        cublasOperation_t transb, size_t m, size_t n, size_t k, const T* alpha,
                        const T* A, size_t lda, const T* B, size_t ldb, const T* beta, T* C,
                        size_t ldc) {
  const bool is_right = is_op(transa) && is_op(transb) && is_size({m, n, k}) &&
                        is_ld(lda, transa == CUBLAS_OP_N ? m : k) &&
                        is_ld(ldb, transb == CUBLAS_OP_N ? k : n) && is_ld(ldc, m);
  return enter(
      handle, name, is_right, [&] { return m == 0 || n == 0 || leaves(alpha, beta, k == 0); },
      [&](const Made& made) {
        need(C != nullptr && (k == 0 || is_number(*alpha, 0) || (A != nullptr && B != nullptr)));
        made.run(Product<T>{.left = {.matrix = made.matrix(A, lda), .op = transa},
                            .right = {.matrix = made.matrix(B, ldb), .op = transb},
                            .c = made.matrix(C, ldc),
                            .m = signed_size(m),
                            .n = signed_size(n),
                            .k = signed_size(k),
                            .alpha = *alpha,
                            .beta = *beta});
      });
}

// A symmetric or Hermitian matrix times B, or B times it; packed, it has no `lda`.
template <class T>
cublasStatus_t multiply_symmetric(cublasXtHandle_t handle, const char* name, Shape shape,
                                  cublasSideMode_t side, cublasFillMode_t uplo, size_t m, size_t n,
                                  const T* alpha, const T* A, size_t lda, bool is_packed,
                                  const T* B, size_t ldb, const T* beta, T* C, size_t ldc) {
  const size_t order = side == CUBLAS_SIDE_LEFT ? m : n;
  const bool is_right = is_side(side) && is_uplo(uplo) && is_size({m, n}) &&
                        (is_packed || is_ld(lda, order)) && is_ld(ldb, m) && is_ld(ldc, m);
  return enter(
      handle, name, is_right, [&] { return m == 0 || n == 0 || leaves(alpha, beta, false); },
      [&](const Made& made) {
        need(C != nullptr && (is_number(*alpha, 0) || (A != nullptr && B != nullptr)));
        Factor a{.shape = shape, .uplo = uplo};
        a.matrix = is_packed
                       ? packed_matrix(A, signed_size(order), a.part(), sizeof(T), made.device())
                       : made.matrix(A, lda);
        const Factor b{.matrix = made.matrix(B, ldb)};
        made.run(Product<T>{.left = side == CUBLAS_SIDE_LEFT ? a : b,
                            .right = side == CUBLAS_SIDE_LEFT ? b : a,
                            .c = made.matrix(C, ldc),
                            .m = signed_size(m),
                            .n = signed_size(n),
                            .k = signed_size(order),
                            .alpha = *alpha,
                            .beta = *beta});
      });
}

// A triangular matrix times B, or B times it, into C; or solved for B, which then is C.
template <class T>
cublasStatus_t multiply_triangular(cublasXtHandle_t handle, const char* name, bool solves,
                                   cublasSideMode_t side, cublasFillMode_t uplo,
                                   cublasOperation_t trans, cublasDiagType_t diag, size_t m,
                                   size_t n, const T* alpha, const T* A, size_t lda, const T* B,
                                   size_t ldb, T* C, size_t ldc) {
  const size_t order = side == CUBLAS_SIDE_LEFT ? m : n;
  const bool is_right = is_side(side) && is_uplo(uplo) && is_op(trans) && is_diag(diag) &&
                        is_size({m, n}) && is_ld(lda, order) && is_ld(ldb, m) && is_ld(ldc, m);
  return enter(
      handle, name, is_right, [&] { return m == 0 || n == 0; },
      [&](const Made& made) {
        need(is_scalar(alpha) && C != nullptr &&
             (is_number(*alpha, 0) || (A != nullptr && B != nullptr)));
        const Factor a{.matrix = made.matrix(A, lda),
                       .shape = Shape::kTriangular,
                       .op = trans,
                       .uplo = uplo,
                       .diagonal = diag};
        const Factor b{.matrix = made.matrix(B, ldb)};
        made.run(Product<T>{.left = side == CUBLAS_SIDE_LEFT ? a : b,
                            .right = side == CUBLAS_SIDE_LEFT ? b : a,
                            .c = made.matrix(C, ldc),
                            .m = signed_size(m),
                            .n = signed_size(n),
                            .k = signed_size(order),
                            .alpha = *alpha,
                            .beta = number<T>(0),
                            .solves = solves});
      });
}

// `Alpha` and `Beta`: T, or the real type. Without B there is a `B` of null and its `ldb` is lda.
template <class T, class Alpha, class Beta>
cublasStatus_t update(cublasXtHandle_t handle, const char* name, Update kind, cublasFillMode_t uplo,
                      cublasOperation_t trans, size_t n, size_t k, const Alpha* alpha, const T* A,
                      size_t lda, const T* B, size_t ldb, const Beta* beta, T* C, size_t ldc) {
  RankUpdate<T> task{
      .kind = kind, .uplo = uplo, .op = trans, .n = signed_size(n), .k = signed_size(k)};
  // Of complex numbers the one kind turns, the other turns and conjugates.
  const bool is_known = !kIsComplex<T> || trans == CUBLAS_OP_N ||
                        trans == (task.is_hermitian() ? CUBLAS_OP_C : CUBLAS_OP_T);
  const size_t rows = trans == CUBLAS_OP_N ? n : k;
  const bool is_right = is_uplo(uplo) && is_op(trans) && is_known && is_size({n, k}) &&
                        is_ld(lda, rows) && is_ld(ldb, rows) && is_ld(ldc, n);
  return enter(
      handle, name, is_right, [&] { return n == 0 || leaves(alpha, beta, k == 0); },
      [&](const Made& made) {
        const auto value = [](const auto& scalar) {
          if constexpr (std::is_same_v<std::remove_cvref_t<decltype(scalar)>, T>) {
            return scalar;
          } else {
            return number<T>(scalar);
          }
        };
        need(C != nullptr &&
             (k == 0 || is_number(*alpha, 0) || (A != nullptr && (B != nullptr || !task.has_b()))));
        task.alpha = value(*alpha);
        task.beta = value(*beta);
        task.a = made.matrix(A, lda);
        if (task.has_b()) task.b = made.matrix(B, ldb);
        task.c = made.matrix(C, ldc);
        made.run(task);
      });
}

}  // namespace

extern "C" {

#define FARLANE_XT(L, T)                                                                           \
  cublasStatus_t cublasXt##L##gemm(cublasXtHandle_t handle, cublasOperation_t transa,              \
                                   cublasOperation_t transb, size_t m, size_t n, size_t k,         \
                                   const T* alpha, const T* A, size_t lda, const T* B, size_t ldb, \
                                   const T* beta, T* C, size_t ldc) {                              \
    return multiply<T>(handle, "cublasXt" #L "gemm", transa, transb, m, n, k, alpha, A, lda, B,    \
                       ldb, beta, C, ldc);                                                         \
  }                                                                                                \
  cublasStatus_t cublasXt##L##symm(cublasXtHandle_t handle, cublasSideMode_t side,                 \
                                   cublasFillMode_t uplo, size_t m, size_t n, const T* alpha,      \
                                   const T* A, size_t lda, const T* B, size_t ldb, const T* beta,  \
                                   T* C, size_t ldc) {                                             \
    return multiply_symmetric<T>(handle, "cublasXt" #L "symm", Shape::kSymmetric, side, uplo, m,   \
                                 n, alpha, A, lda, false, B, ldb, beta, C, ldc);                   \
  }                                                                                                \
  cublasStatus_t cublasXt##L##spmm(                                                                \
      cublasXtHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo, size_t m, size_t n,   \
      const T* alpha, const T* AP, const T* B, size_t ldb, const T* beta, T* C, size_t ldc) {      \
    return multiply_symmetric<T>(handle, "cublasXt" #L "spmm", Shape::kSymmetric, side, uplo, m,   \
                                 n, alpha, AP, 0, true, B, ldb, beta, C, ldc);                     \
  }                                                                                                \
  cublasStatus_t cublasXt##L##trmm(                                                                \
      cublasXtHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo,                       \
      cublasOperation_t trans, cublasDiagType_t diag, size_t m, size_t n, const T* alpha,          \
      const T* A, size_t lda, const T* B, size_t ldb, T* C, size_t ldc) {                          \
    return multiply_triangular<T>(handle, "cublasXt" #L "trmm", false, side, uplo, trans, diag, m, \
                                  n, alpha, A, lda, B, ldb, C, ldc);                               \
  }                                                                                                \
  cublasStatus_t cublasXt##L##trsm(cublasXtHandle_t handle, cublasSideMode_t side,                 \
                                   cublasFillMode_t uplo, cublasOperation_t trans,                 \
                                   cublasDiagType_t diag, size_t m, size_t n, const T* alpha,      \
                                   const T* A, size_t lda, T* B, size_t ldb) {                     \
    return multiply_triangular<T>(handle, "cublasXt" #L "trsm", true, side, uplo, trans, diag, m,  \
                                  n, alpha, A, lda, B, ldb, B, ldb);                               \
  }                                                                                                \
  cublasStatus_t cublasXt##L##syrk(cublasXtHandle_t handle, cublasFillMode_t uplo,                 \
                                   cublasOperation_t trans, size_t n, size_t k, const T* alpha,    \
                                   const T* A, size_t lda, const T* beta, T* C, size_t ldc) {      \
    return update<T>(handle, "cublasXt" #L "syrk", Update::kSyrk, uplo, trans, n, k, alpha, A,     \
                     lda, static_cast<const T*>(nullptr), lda, beta, C, ldc);                      \
  }                                                                                                \
  cublasStatus_t cublasXt##L##syr2k(cublasXtHandle_t handle, cublasFillMode_t uplo,                \
                                    cublasOperation_t trans, size_t n, size_t k, const T* alpha,   \
                                    const T* A, size_t lda, const T* B, size_t ldb, const T* beta, \
                                    T* C, size_t ldc) {                                            \
    return update<T>(handle, "cublasXt" #L "syr2k", Update::kSyr2k, uplo, trans, n, k, alpha, A,   \
                     lda, B, ldb, beta, C, ldc);                                                   \
  }                                                                                                \
  cublasStatus_t cublasXt##L##syrkx(cublasXtHandle_t handle, cublasFillMode_t uplo,                \
                                    cublasOperation_t trans, size_t n, size_t k, const T* alpha,   \
                                    const T* A, size_t lda, const T* B, size_t ldb, const T* beta, \
                                    T* C, size_t ldc) {                                            \
    return update<T>(handle, "cublasXt" #L "syrkx", Update::kSyrkx, uplo, trans, n, k, alpha, A,   \
                     lda, B, ldb, beta, C, ldc);                                                   \
  }
FARLANE_XT(S, float)
FARLANE_XT(D, double)
FARLANE_XT(C, cuComplex)
FARLANE_XT(Z, cuDoubleComplex)
#undef FARLANE_XT

#define FARLANE_XT_HERMITIAN(L, T, Real)                                                           \
  cublasStatus_t cublasXt##L##hemm(cublasXtHandle_t handle, cublasSideMode_t side,                 \
                                   cublasFillMode_t uplo, size_t m, size_t n, const T* alpha,      \
                                   const T* A, size_t lda, const T* B, size_t ldb, const T* beta,  \
                                   T* C, size_t ldc) {                                             \
    return multiply_symmetric<T>(handle, "cublasXt" #L "hemm", Shape::kHermitian, side, uplo, m,   \
                                 n, alpha, A, lda, false, B, ldb, beta, C, ldc);                   \
  }                                                                                                \
  cublasStatus_t cublasXt##L##herk(cublasXtHandle_t handle, cublasFillMode_t uplo,                 \
                                   cublasOperation_t trans, size_t n, size_t k, const Real* alpha, \
                                   const T* A, size_t lda, const Real* beta, T* C, size_t ldc) {   \
    return update<T>(handle, "cublasXt" #L "herk", Update::kHerk, uplo, trans, n, k, alpha, A,     \
                     lda, static_cast<const T*>(nullptr), lda, beta, C, ldc);                      \
  }                                                                                                \
  cublasStatus_t cublasXt##L##her2k(cublasXtHandle_t handle, cublasFillMode_t uplo,                \
                                    cublasOperation_t trans, size_t n, size_t k, const T* alpha,   \
                                    const T* A, size_t lda, const T* B, size_t ldb,                \
                                    const Real* beta, T* C, size_t ldc) {                          \
    return update<T>(handle, "cublasXt" #L "her2k", Update::kHer2k, uplo, trans, n, k, alpha, A,   \
                     lda, B, ldb, beta, C, ldc);                                                   \
  }                                                                                                \
  cublasStatus_t cublasXt##L##herkx(cublasXtHandle_t handle, cublasFillMode_t uplo,                \
                                    cublasOperation_t trans, size_t n, size_t k, const T* alpha,   \
                                    const T* A, size_t lda, const T* B, size_t ldb,                \
                                    const Real* beta, T* C, size_t ldc) {                          \
    return update<T>(handle, "cublasXt" #L "herkx", Update::kHerkx, uplo, trans, n, k, alpha, A,   \
                     lda, B, ldb, beta, C, ldc);                                                   \
  }
FARLANE_XT_HERMITIAN(C, cuComplex, float)
FARLANE_XT_HERMITIAN(Z, cuDoubleComplex, double)
#undef FARLANE_XT_HERMITIAN

}  // extern "C"
