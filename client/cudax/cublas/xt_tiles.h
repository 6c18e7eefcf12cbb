// Matrices of cublasXt, which lie in host memory (or any device's), and their pieces in the memory
// of the device that calculates. Columns lie one behind the other, `ld` elements apart.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>

namespace farlane::client::cudax::cublas {

// What of a square piece is there: the rest is neither read nor written.
enum class Part : uint8_t { kAll, kLower, kUpper };

struct Matrix {
  uint64_t address = 0;
  int64_t ld = 0;
  size_t element_bytes = 0;
  // Symmetric and packed: of each column of a square matrix of this order only this part.
  int64_t packed_order = 0;
  Part packed = Part::kAll;
  // The device can work on it where it is.
  bool is_there = false;
};
// `device`: the one that calculates.
Matrix matrix_at(const void* address, int64_t ld, size_t element_bytes, int device);
Matrix packed_matrix(const void* address, int64_t order, Part part, size_t element_bytes,
                     int device);

// Rows and columns from (row, column) on.
struct Piece {
  int64_t row = 0, column = 0;
  int64_t rows = 0, columns = 0;
  Part part = Part::kAll;
  friend bool operator==(const Piece&, const Piece&) = default;
};

// Where a piece is in device memory.
struct Tile {
  CUdeviceptr address = 0;
  int64_t ld = 0;
};

// Device memory for one piece at a time.
class Slot {
 public:
  Slot() = default;
  Slot(const Slot&) = delete;
  ~Slot() { release(); }

  // CUDA_ERROR_OUT_OF_MEMORY: the device has not got that much.
  CUresult reserve(int device, size_t bytes);
  void release();

  // The piece, copied here unless it is here already or the device can work on it where it is; the
  // copy is ordered with the default stream. `fetches` false: only its place.
  CUresult hold(const Matrix& matrix, const Piece& piece, bool fetches, Tile* tile);

 private:
  CUdeviceptr address_ = 0;
  uint64_t held_ = 0;  // the matrix; 0: none
  int64_t held_ld_ = 0;
  Piece piece_;
};

// The other way: what the device has made of the piece. In host memory it is there on return, and
// what is not part of it has not been touched.
CUresult put_back(const Matrix& matrix, const Piece& piece, const Tile& tile);

}  // namespace farlane::client::cudax::cublas
