// How cublasXt calculates: with cuBLAS, on tiles of the matrices in the memory of one device. A
// tile is as large as the memory allows, mostly the whole matrix, which then travels once; where it
// is not, the tiles of a result are made one after the other, each of the pieces of a row and of a
// column. Needs <cublasXt.h>.
#pragma once

#include <algorithm>
#include <array>
#include <limits>
#include <type_traits>

#include "client/core/api.h"
#include "client/cudax/cublas/settle.h"
#include "client/cudax/cublas/xt_tiles.h"

namespace farlane::client::cudax::cublas {

// Ends a call; caught where it came in.
struct Failure {
  cublasStatus_t status;
};
inline void must(cublasStatus_t status) {
  if (status != CUBLAS_STATUS_SUCCESS) throw Failure{status};
}
inline void must(CUresult result) {
  if (result == CUDA_SUCCESS) return;
  throw Failure{result == CUDA_ERROR_OUT_OF_MEMORY   ? CUBLAS_STATUS_ALLOC_FAILED
                : result == CUDA_ERROR_INVALID_VALUE ? CUBLAS_STATUS_MAPPING_ERROR
                                                     : CUBLAS_STATUS_EXECUTION_FAILED};
}

// Numbers of the four types: float, double, cuComplex, cuDoubleComplex.
template <class T>
inline constexpr bool kIsComplex =
    std::is_same_v<T, cuComplex> || std::is_same_v<T, cuDoubleComplex>;
template <class T>
T number(double real) {
  if constexpr (kIsComplex<T>) {
    T made{};
    made.x = static_cast<decltype(made.x)>(real);
    return made;
  } else {
    return static_cast<T>(real);
  }
}
template <class T>
bool is_number(const T& a, double real) {
  if constexpr (kIsComplex<T>) {
    return static_cast<double>(a.x) == real && a.y == 0;
  } else {
    return static_cast<double>(a) == real;
  }
}
template <class T>
T conjugate(T a) {
  if constexpr (kIsComplex<T>) a.y = -a.y;
  return a;
}

// cuBLAS's functions by the type of their elements.
#define FARLANE_CUBLAS_REAL_AND_COMPLEX(name, suffix)    \
  template <class T, class... A>                         \
  void name(A... a) {                                    \
    if constexpr (std::is_same_v<T, float>) {            \
      must(cublasS##name##suffix(a...));                 \
    } else if constexpr (std::is_same_v<T, double>) {    \
      must(cublasD##name##suffix(a...));                 \
    } else if constexpr (std::is_same_v<T, cuComplex>) { \
      must(cublasC##name##suffix(a...));                 \
    } else {                                             \
      must(cublasZ##name##suffix(a...));                 \
    }                                                    \
  }
#define FARLANE_CUBLAS_COMPLEX(name, suffix)      \
  template <class T, class... A>                  \
  void name(A... a) {                             \
    if constexpr (std::is_same_v<T, cuComplex>) { \
      must(cublasC##name##suffix(a...));          \
    } else {                                      \
      must(cublasZ##name##suffix(a...));          \
    }                                             \
  }
FARLANE_CUBLAS_REAL_AND_COMPLEX(gemm, _v2_64)
FARLANE_CUBLAS_REAL_AND_COMPLEX(symm, _v2_64)
FARLANE_CUBLAS_REAL_AND_COMPLEX(syrk, _v2_64)
FARLANE_CUBLAS_REAL_AND_COMPLEX(syr2k, _v2_64)
FARLANE_CUBLAS_REAL_AND_COMPLEX(syrkx, _64)
FARLANE_CUBLAS_REAL_AND_COMPLEX(trmm, _v2_64)
FARLANE_CUBLAS_REAL_AND_COMPLEX(trsm, _v2_64)
FARLANE_CUBLAS_COMPLEX(hemm, _v2_64)
FARLANE_CUBLAS_COMPLEX(herk, _v2_64)
FARLANE_CUBLAS_COMPLEX(her2k, _v2_64)
FARLANE_CUBLAS_COMPLEX(herkx, _64)
#undef FARLANE_CUBLAS_REAL_AND_COMPLEX
#undef FARLANE_CUBLAS_COMPLEX

enum class Shape : uint8_t { kGeneral, kSymmetric, kHermitian, kTriangular };

// A matrix as it stands in a product.
struct Factor {
  Matrix matrix;
  Shape shape = Shape::kGeneral;
  cublasOperation_t op = CUBLAS_OP_N;
  cublasFillMode_t uplo = CUBLAS_FILL_MODE_LOWER;  // what of it is stored, unless it is general
  cublasDiagType_t diagonal = CUBLAS_DIAG_NON_UNIT;

  Part part() const { return uplo == CUBLAS_FILL_MODE_LOWER ? Part::kLower : Part::kUpper; }
  // Of a triangular one, after the operation.
  bool is_lower() const { return (uplo == CUBLAS_FILL_MODE_LOWER) == (op == CUBLAS_OP_N); }
  // What is not on the diagonal is either there or zero.
  bool is_zero(int64_t row, int64_t column) const {
    return shape == Shape::kTriangular && row != column && (row > column) != is_lower();
  }
};

// c = alpha left right + beta c, of m × k and k × n. With a triangular factor there is no beta, and
// c may be the other factor.
template <class T>
struct Product {
  Factor left, right;
  Matrix c;
  int64_t m = 0, n = 0, k = 0;
  T alpha{}, beta{};
  // Instead: the triangular factor times c, or c times it, shall be alpha times the c that was. The
  // other factor is c.
  bool solves = false;
};

enum class Update : uint8_t { kSyrk, kHerk, kSyr2k, kHer2k, kSyrkx, kHerkx };

// A triangle of c, n × n, gets products of n × k and k × n.
template <class T>
struct RankUpdate {
  Update kind = Update::kSyrk;
  cublasFillMode_t uplo = CUBLAS_FILL_MODE_LOWER;
  cublasOperation_t op = CUBLAS_OP_N;
  Matrix a, b, c;
  int64_t n = 0, k = 0;
  T alpha{}, beta{};  // real numbers where cuBLAS has them real

  bool is_hermitian() const {
    return kind == Update::kHerk || kind == Update::kHer2k || kind == Update::kHerkx;
  }
  bool has_b() const { return kind != Update::kSyrk && kind != Update::kHerk; }
  bool is_twofold() const { return kind == Update::kSyr2k || kind == Update::kHer2k; }
};

// One call's work. The calling thread is on the device; the handle works on its default stream.
template <class T>
class Work {
 public:
  // `block`: rows and columns of a tile, at least, where the whole is too large. `name` lives for
  // ever.
  Work(cublasHandle_t handle, int device, int64_t block, const char* name)
      : handle_(handle), device_(device), block_(block), name_(name) {}

  void run(const Product<T>& product);
  void run(const RankUpdate<T>& update);

 private:
  struct Placed {
    T* data;
    int64_t ld;
    cublasOperation_t op = CUBLAS_OP_N;
  };
  // Rows, columns and inner length of a tile.
  struct Sizes {
    int64_t m, n, k;
  };

  static T* data(const Tile& tile) { return reinterpret_cast<T*>(tile.address); }
  static size_t bytes(int64_t rows, int64_t columns) {
    constexpr int64_t kAll = std::numeric_limits<int64_t>::max() / int64_t{sizeof(T)};
    return static_cast<size_t>(rows > kAll / std::max<int64_t>(columns, 1) ? kAll
                                                                           : rows * columns) *
           sizeof(T);
  }

  template <class NeededBytes>
  Sizes reserve(Sizes sizes, const NeededBytes& needed);
  Placed hold(const Factor& factor, Slot& slot, int64_t row, int64_t column, int64_t rows,
              int64_t columns);
  void make_tile(const Product<T>& product, const Piece& piece, Sizes sizes);
  void make_diagonal(const RankUpdate<T>& u, int64_t rows, int64_t k, const Placed& a,
                     const Placed& b, const T& beta, const Placed& c);
  void make_tile(const RankUpdate<T>& update, const Piece& piece, Sizes sizes);
  void bring_back(const Matrix& matrix, const Piece& piece, const Tile& tile) {
    if (matrix.is_there) return;
    // If it could not be made, the program's memory stays as it is.
    must(settle(name_));
    must(put_back(matrix, piece, tile));
  }
  void end(const Matrix& c) {
    if (!c.is_there) return;
    must(stream_synchronize(nullptr));
    must(settle(name_));
  }

  const cublasHandle_t handle_;
  const int device_;
  const int64_t block_;
  const char* const name_;
  Slot c_, x_, y_;
};

// Device memory for tiles of at most these sizes; `needed` tells the bytes of c_, x_ and y_. Sizes
// that are equal stay so: the square tiles of a triangle's diagonal need that.
template <class T>
template <class NeededBytes>
typename Work<T>::Sizes Work<T>::reserve(Sizes sizes, const NeededBytes& needed) {
  for (;;) {
    CUresult result = CUDA_SUCCESS;
    const std::array<size_t, 3> bytes = needed(sizes);
    const std::array<Slot*, 3> slots = {&c_, &x_, &y_};
    for (size_t i = 0; i < slots.size() && result == CUDA_SUCCESS; ++i) {
      if (bytes[i] != 0) result = slots[i]->reserve(device_, bytes[i]);
    }
    if (result == CUDA_SUCCESS) return sizes;
    for (Slot* slot : slots) slot->release();
    const int64_t largest = std::max({sizes.m, sizes.n, sizes.k});
    if (result != CUDA_ERROR_OUT_OF_MEMORY || largest <= block_) must(result);
    const int64_t half = std::max(block_, (largest + 1) / 2);
    for (int64_t* size : {&sizes.m, &sizes.n, &sizes.k}) {
      if (*size == largest) *size = half;
    }
  }
}

// So much of what the factor is in the product, and how cuBLAS is to take it.
template <class T>
typename Work<T>::Placed Work<T>::hold(const Factor& factor, Slot& slot, int64_t row,
                                       int64_t column, int64_t rows, int64_t columns) {
  Piece piece{row, column, rows, columns, Part::kAll};
  cublasOperation_t op = factor.op;
  if (factor.shape != Shape::kGeneral && row == column) {
    piece.part = factor.part();
  } else {
    if (factor.shape == Shape::kSymmetric || factor.shape == Shape::kHermitian) {
      const bool is_stored = (row > column) == (factor.part() == Part::kLower);
      op = is_stored ? CUBLAS_OP_N : factor.shape == Shape::kHermitian ? CUBLAS_OP_C : CUBLAS_OP_T;
    }
    if (op != CUBLAS_OP_N) piece = {column, row, columns, rows, Part::kAll};
  }
  Tile tile;
  must(slot.hold(factor.matrix, piece, true, &tile));
  return {data(tile), tile.ld, op};
}

template <class T>
void Work<T>::make_tile(const Product<T>& p, const Piece& piece, Sizes sizes) {
  const bool is_left = p.left.shape != Shape::kGeneral;
  const bool is_special = is_left || p.right.shape != Shape::kGeneral;
  const Factor& special = is_left ? p.left : p.right;
  const bool is_triangular = is_special && special.shape == Shape::kTriangular;
  const cublasSideMode_t side = is_left ? CUBLAS_SIDE_LEFT : CUBLAS_SIDE_RIGHT;
  const T one = number<T>(1), zero = number<T>(0), minus_one = number<T>(-1);
  const int64_t rows = piece.rows, columns = piece.columns;
  // What the tile that was is multiplied with, in the first product that is added to it.
  T scale = p.solves ? p.alpha : is_triangular ? zero : p.beta;
  const bool is_empty = p.k == 0 || is_number(p.alpha, 0);
  if (is_empty && is_triangular) scale = zero;

  Tile tile;
  must(c_.hold(p.c, piece, !is_number(scale, 0), &tile));
  T* const c = data(tile);
  if (is_empty) {
    gemm<T>(handle_, CUBLAS_OP_N, CUBLAS_OP_N, rows, columns, int64_t{0}, &zero, c, tile.ld, c,
            tile.ld, &scale, c, tile.ld);
    return bring_back(p.c, piece, tile);
  }
  const auto product_at = [&](int64_t at, int64_t inner) {
    const Placed x = hold(p.left, x_, piece.row, at, rows, inner);
    const Placed y = hold(p.right, y_, at, piece.column, inner, columns);
    const Placed& a = is_left ? x : y;
    const Placed& b = is_left ? y : x;
    if (!is_special || at != (is_left ? piece.row : piece.column)) {
      gemm<T>(handle_, x.op, y.op, rows, columns, inner, p.solves ? &minus_one : &p.alpha, x.data,
              x.ld, y.data, y.ld, &scale, c, tile.ld);
    } else if (is_triangular) {
      trmm<T>(handle_, side, special.uplo, special.op, special.diagonal, rows, columns, &p.alpha,
              a.data, a.ld, b.data, b.ld, c, tile.ld);
    } else if constexpr (kIsComplex<T>) {
      if (special.shape == Shape::kHermitian) {
        hemm<T>(handle_, side, special.uplo, rows, columns, &p.alpha, a.data, a.ld, b.data, b.ld,
                &scale, c, tile.ld);
      } else {
        symm<T>(handle_, side, special.uplo, rows, columns, &p.alpha, a.data, a.ld, b.data, b.ld,
                &scale, c, tile.ld);
      }
    } else {
      symm<T>(handle_, side, special.uplo, rows, columns, &p.alpha, a.data, a.ld, b.data, b.ld,
              &scale, c, tile.ld);
    }
    scale = one;
  };
  const int64_t diagonal = is_left ? piece.row : piece.column;
  const int64_t diagonal_size = is_left ? rows : columns;
  // trmm adds nothing to what is there, so it is first; what trsm solves for is complete last.
  if (is_triangular && !p.solves) product_at(diagonal, diagonal_size);
  for (int64_t at = 0; at < p.k; at += sizes.k) {
    const bool is_zero =
        is_left ? p.left.is_zero(piece.row, at) : is_special && p.right.is_zero(at, piece.column);
    if (is_zero || (is_triangular && at == diagonal)) continue;
    product_at(at, std::min(sizes.k, p.k - at));
  }
  if (p.solves) {
    Slot& slot = is_left ? x_ : y_;
    const Placed a = hold(special, slot, diagonal, diagonal, diagonal_size, diagonal_size);
    trsm<T>(handle_, side, special.uplo, special.op, special.diagonal, rows, columns, &scale,
            a.data, a.ld, c, tile.ld);
  }
  bring_back(p.c, piece, tile);
}

template <class T>
void Work<T>::run(const Product<T>& p) {
  const bool is_left = p.left.shape != Shape::kGeneral;
  const bool is_right = p.right.shape != Shape::kGeneral;
  const Sizes sizes = reserve({p.m, p.n, std::max<int64_t>(p.k, 1)}, [&](const Sizes& s) {
    // The whole is solved with the triangle alone.
    const bool is_alone = p.solves && s.k >= p.k;
    const bool has_left = !p.left.matrix.is_there && (is_left || !is_alone);
    const bool has_right = !p.right.matrix.is_there && (is_right || !is_alone);
    return std::array<size_t, 3>{p.c.is_there ? 0 : bytes(s.m, s.n), has_left ? bytes(s.m, s.k) : 0,
                                 has_right ? bytes(s.k, s.n) : 0};
  });
  // A product in the place of a factor: what is still needed of it is not overwritten. A solution:
  // what is needed is there.
  const bool rows_fall =
      is_left && p.left.shape == Shape::kTriangular && p.left.is_lower() != p.solves;
  const bool columns_fall =
      is_right && p.right.shape == Shape::kTriangular && p.right.is_lower() == p.solves;
  const int64_t tall = (p.m + sizes.m - 1) / sizes.m, wide = (p.n + sizes.n - 1) / sizes.n;
  for (int64_t i = 0; i < tall; ++i) {
    for (int64_t j = 0; j < wide; ++j) {
      const int64_t row = (rows_fall ? tall - 1 - i : i) * sizes.m;
      const int64_t column = (columns_fall ? wide - 1 - j : j) * sizes.n;
      make_tile(
          p,
          {row, column, std::min(sizes.m, p.m - row), std::min(sizes.n, p.n - column), Part::kAll},
          sizes);
    }
  }
  end(p.c);
}

// On the diagonal, cuBLAS's own update.
template <class T>
void Work<T>::make_diagonal(const RankUpdate<T>& u, int64_t rows, int64_t k, const Placed& a,
                            const Placed& b, const T& beta, const Placed& c) {
  if constexpr (kIsComplex<T>) {
    const auto alpha_real = u.alpha.x, beta_real = beta.x;
    switch (u.kind) {
      case Update::kHerk:
        return herk<T>(handle_, u.uplo, u.op, rows, k, &alpha_real, a.data, a.ld, &beta_real,
                       c.data, c.ld);
      case Update::kHer2k:
        return her2k<T>(handle_, u.uplo, u.op, rows, k, &u.alpha, a.data, a.ld, b.data, b.ld,
                        &beta_real, c.data, c.ld);
      case Update::kHerkx:
        return herkx<T>(handle_, u.uplo, u.op, rows, k, &u.alpha, a.data, a.ld, b.data, b.ld,
                        &beta_real, c.data, c.ld);
      case Update::kSyrk:
      case Update::kSyr2k:
      case Update::kSyrkx:
        break;
    }
  }
  if (u.kind == Update::kSyrk) {
    syrk<T>(handle_, u.uplo, u.op, rows, k, &u.alpha, a.data, a.ld, &beta, c.data, c.ld);
  } else if (u.kind == Update::kSyr2k) {
    syr2k<T>(handle_, u.uplo, u.op, rows, k, &u.alpha, a.data, a.ld, b.data, b.ld, &beta, c.data,
             c.ld);
  } else {
    syrkx<T>(handle_, u.uplo, u.op, rows, k, &u.alpha, a.data, a.ld, b.data, b.ld, &beta, c.data,
             c.ld);
  }
}

template <class T>
void Work<T>::make_tile(const RankUpdate<T>& u, const Piece& piece, Sizes sizes) {
  const bool is_diagonal = piece.row == piece.column;
  const T one = number<T>(1), alpha_second = u.is_hermitian() ? conjugate(u.alpha) : u.alpha;
  const cublasOperation_t turned = u.is_hermitian() ? CUBLAS_OP_C : CUBLAS_OP_T;
  const Factor a{.matrix = u.a, .op = u.op}, b{.matrix = u.has_b() ? u.b : u.a, .op = u.op};
  T scale = u.beta;
  Tile tile;
  must(c_.hold(u.c, piece, !is_number(scale, 0), &tile));
  const Placed c = {data(tile), tile.ld};
  const bool is_empty = u.k == 0 || is_number(u.alpha, 0);
  // Rows of the one times rows of the other, which stand turned.
  const auto add = [&](const Factor& x, const Factor& y, const T& alpha, int64_t at,
                       int64_t inner) {
    const Placed left = hold(x, x_, piece.row, at, piece.rows, inner);
    const Placed right = hold(y, y_, piece.column, at, piece.columns, inner);
    gemm<T>(handle_, left.op, right.op == CUBLAS_OP_N ? turned : CUBLAS_OP_N, piece.rows,
            piece.columns, inner, &alpha, left.data, left.ld, right.data, right.ld, &scale, c.data,
            c.ld);
    scale = one;
  };
  for (int64_t at = 0; at == 0 || (at < u.k && !is_empty); at += sizes.k) {
    const int64_t inner = is_empty ? 0 : std::min(sizes.k, u.k - at);
    if (is_diagonal) {
      const Placed x = is_empty ? c : hold(a, x_, piece.row, at, piece.rows, inner);
      const Placed y = is_empty || !u.has_b() ? c : hold(b, y_, piece.row, at, piece.rows, inner);
      make_diagonal(u, piece.rows, inner, x, y, scale, c);
      scale = one;
    } else if (is_empty) {
      gemm<T>(handle_, CUBLAS_OP_N, CUBLAS_OP_N, piece.rows, piece.columns, inner, &one, c.data,
              c.ld, c.data, c.ld, &scale, c.data, c.ld);
    } else {
      add(a, b, u.alpha, at, inner);
      if (u.is_twofold()) add(b, a, alpha_second, at, inner);
    }
  }
  bring_back(u.c, piece, tile);
}

template <class T>
void Work<T>::run(const RankUpdate<T>& u) {
  const Sizes sizes = reserve({u.n, u.n, std::max<int64_t>(u.k, 1)}, [&](const Sizes& s) {
    const bool is_there = u.a.is_there && (!u.has_b() || u.b.is_there);
    const size_t factor = is_there ? 0 : bytes(s.n, s.k);
    return std::array<size_t, 3>{u.c.is_there ? 0 : bytes(s.n, s.n), factor,
                                 u.has_b() || s.n < u.n ? factor : 0};
  });
  const bool is_lower = u.uplo == CUBLAS_FILL_MODE_LOWER;
  for (int64_t row = 0; row < u.n; row += sizes.n) {
    const int64_t end = is_lower ? row + 1 : u.n;
    for (int64_t column = is_lower ? 0 : row; column < end; column += sizes.n) {
      const Part part = row != column ? Part::kAll : is_lower ? Part::kLower : Part::kUpper;
      make_tile(u,
                {row, column, std::min(sizes.n, u.n - row), std::min(sizes.n, u.n - column), part},
                sizes);
    }
  }
  end(u.c);
}

}  // namespace farlane::client::cudax::cublas
