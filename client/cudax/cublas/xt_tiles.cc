#include "client/cudax/cublas/xt_tiles.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "client/core/api.h"

namespace farlane::client::cudax::cublas {
namespace {

// Columns of a triangle that are fetched as one box: few copies, and little beside the triangle.
constexpr int64_t kFetchedColumns = 128;
// Of a triangle on its way back, in host memory at a time.
constexpr int64_t kBackBytes = 64 << 20;

uint64_t element_at(const Matrix& matrix, int64_t row, int64_t column) {
  const int64_t n = matrix.packed_order;
  int64_t index = 0;
  switch (matrix.packed) {
    case Part::kAll:
      index = row + column * matrix.ld;
      break;
    case Part::kLower:
      index = row + column * (2 * n - column - 1) / 2;
      break;
    case Part::kUpper:
      index = row + column * (column + 1) / 2;
      break;
  }
  return matrix.address + static_cast<uint64_t>(index) * matrix.element_bytes;
}

// The rows of columns [from, to) of the piece in which there is something of it.
struct Rows {
  int64_t from, to;
};
Rows rows_of(const Piece& piece, int64_t from, int64_t to) {
  switch (piece.part) {
    case Part::kLower:
      return {from, piece.rows};
    case Part::kUpper:
      return {0, std::min(to, piece.rows)};
    case Part::kAll:
      break;
  }
  return {0, piece.rows};
}

// `columns` columns from `column` on: all of the tile, or what the part has of it.
CUresult fetch(const Matrix& matrix, const Piece& piece, const Tile& tile, int64_t column,
               int64_t columns) {
  const Rows rows = rows_of(piece, column, column + columns);
  const size_t bytes = matrix.element_bytes;
  Copy copy;
  copy.from = element_at(matrix, piece.row + rows.from, piece.column + column);
  copy.to = tile.address + static_cast<uint64_t>(rows.from + column * tile.ld) * bytes;
  copy.to_place = Place::kDevice;
  copy.width = static_cast<size_t>(rows.to - rows.from) * bytes;
  copy.height = static_cast<size_t>(columns);
  copy.from_pitch = columns == 1 ? copy.width : static_cast<size_t>(matrix.ld) * bytes;
  copy.to_pitch = columns == 1 ? copy.width : static_cast<size_t>(tile.ld) * bytes;
  return client::copy(copy, nullptr, true);
}

// The same way back, into the first rows of a box.
CUresult bring(const Matrix& matrix, const Piece& piece, const Tile& tile, int64_t column,
               int64_t columns, uint64_t to, int64_t to_ld) {
  const Rows rows = rows_of(piece, column, column + columns);
  const size_t bytes = matrix.element_bytes;
  Copy copy;
  copy.from = tile.address + static_cast<uint64_t>(rows.from + column * tile.ld) * bytes;
  copy.from_place = Place::kDevice;
  copy.to = to;
  copy.width = static_cast<size_t>(rows.to - rows.from) * bytes;
  copy.height = static_cast<size_t>(columns);
  copy.from_pitch = static_cast<size_t>(tile.ld) * bytes;
  copy.to_pitch = static_cast<size_t>(to_ld) * bytes;
  return client::copy(copy, nullptr, false);
}

// A triangle: by way of boxes in host memory, as there is no copy of triangles.
CUresult put_back_triangle(const Matrix& matrix, const Piece& piece, const Tile& tile) {
  const size_t bytes = matrix.element_bytes;
  const bool is_on_host = pointer_facts(matrix.address).kind != PointerFacts::Kind::kDevice;
  const int64_t width = std::clamp<int64_t>(kBackBytes / (piece.rows * static_cast<int64_t>(bytes)),
                                            1, piece.columns);
  std::vector<std::byte> box(static_cast<size_t>(piece.rows * width) * bytes);
  for (int64_t column = 0; column < piece.columns; column += width) {
    const int64_t end = std::min(column + width, piece.columns);
    const Rows boxed = rows_of(piece, column, end);
    if (const CUresult result =
            bring(matrix, piece, tile, column, end - column, reinterpret_cast<uint64_t>(box.data()),
                  boxed.to - boxed.from);
        result != CUDA_SUCCESS) {
      return result;
    }
    for (int64_t j = column; j < end; ++j) {
      const Rows rows = rows_of(piece, j, j + 1);
      const std::byte* from =
          box.data() +
          static_cast<size_t>((j - column) * (boxed.to - boxed.from) + rows.from - boxed.from) *
              bytes;
      Copy copy;
      copy.from = reinterpret_cast<uint64_t>(from);
      copy.from_place = Place::kHost;
      copy.to = element_at(matrix, piece.row + rows.from, piece.column + j);
      copy.width = static_cast<size_t>(rows.to - rows.from) * bytes;
      if (is_on_host) {
        std::memcpy(reinterpret_cast<void*>(copy.to), from, copy.width);
      } else if (const CUresult result = client::copy(copy, nullptr, true);
                 result != CUDA_SUCCESS) {
        return result;
      }
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace

Matrix matrix_at(const void* address, int64_t ld, size_t element_bytes, int device) {
  Matrix matrix;
  matrix.address = reinterpret_cast<uint64_t>(address);
  matrix.ld = ld;
  matrix.element_bytes = element_bytes;
  const PointerFacts facts = pointer_facts(matrix.address);
  matrix.is_there = facts.kind == PointerFacts::Kind::kDevice &&
                    (facts.device == device || can_access_peer(device, facts.device));
  return matrix;
}

Matrix packed_matrix(const void* address, int64_t order, Part part, size_t element_bytes,
                     int device) {
  Matrix matrix = matrix_at(address, 0, element_bytes, device);
  matrix.packed_order = order;
  matrix.packed = part;
  matrix.is_there = false;  // it is unpacked on its way
  return matrix;
}

CUresult Slot::reserve(int device, size_t bytes) {
  return memory_allocate(device, std::max<size_t>(bytes, 1), &address_);
}

void Slot::release() {
  if (address_ != 0) memory_free(address_);
  address_ = 0;
}

CUresult Slot::hold(const Matrix& matrix, const Piece& piece, bool fetches, Tile* tile) {
  if (matrix.is_there) {
    *tile = {element_at(matrix, piece.row, piece.column), matrix.ld};
    return CUDA_SUCCESS;
  }
  *tile = {address_, std::max<int64_t>(piece.rows, 1)};
  if (fetches && held_ == matrix.address && held_ld_ == matrix.ld && piece_ == piece) {
    return CUDA_SUCCESS;
  }
  held_ = 0;
  if (!fetches) return CUDA_SUCCESS;
  const bool is_box = piece.part == Part::kAll && matrix.packed == Part::kAll;
  const int64_t step = matrix.packed != Part::kAll ? 1 : is_box ? piece.columns : kFetchedColumns;
  for (int64_t column = 0; column < piece.columns; column += step) {
    const CUresult result =
        fetch(matrix, piece, *tile, column, std::min(step, piece.columns - column));
    if (result != CUDA_SUCCESS) return result;
  }
  held_ = matrix.address;
  held_ld_ = matrix.ld;
  piece_ = piece;
  return CUDA_SUCCESS;
}

CUresult put_back(const Matrix& matrix, const Piece& piece, const Tile& tile) {
  if (matrix.is_there) return CUDA_SUCCESS;
  if (piece.part != Part::kAll) return put_back_triangle(matrix, piece, tile);
  return bring(matrix, piece, tile, 0, piece.columns, element_at(matrix, piece.row, piece.column),
               matrix.ld);
}

}  // namespace farlane::client::cudax::cublas
