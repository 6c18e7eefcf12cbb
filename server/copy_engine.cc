#include "server/copy_engine.h"

#include <algorithm>
#include <cstring>

#include "protocol/check.h"
#include "protocol/limits.h"
#include "server/device.h"

namespace farlane::server {

namespace message = protocol::message;
namespace limits = protocol::limits;
using transport::MutableBytes;

namespace {
// A pageable source up to this size is taken by the driver before the call returns, without waiting
// for the stream (CUDA driver API, "API synchronization behavior").
constexpr size_t kPageableBytesMax = 64 * 1024;
constexpr size_t kSmallSlots = 32;

// A piece that is read may have no event.
DataLook look_of(CopyOutPiece& piece) {
  return {piece.ticket, piece.offset, piece.is_read ? nullptr : piece.read.handle(), &piece.is_read,
          &piece.result};
}

CUDA_MEMCPY2D rows(size_t width, size_t height) {
  CUDA_MEMCPY2D copy{};
  copy.WidthInBytes = width;
  copy.Height = height;
  return copy;
}
}  // namespace

CopyEngine::CopyEngine(const DriverTable& driver, Outbox& outbox, size_t slot_bytes, size_t slots)
    : driver_(driver),
      outbox_(outbox),
      in_(driver, slot_bytes, slots),
      out_(driver, std::min<size_t>(slot_bytes, limits::body_bytes_max), slots),
      small_(driver, limits::inline_bytes_max, kSmallSlots) {}

MutableBytes CopyEngine::place(uint32_t body_bytes, CUresult* result) {
  FARLANE_CHECK(placed_ == nullptr, "one frame is received at a time");
  placed_ = in_.acquire(body_bytes, result);
  if (placed_ == nullptr && *result == CUDA_SUCCESS && in_.recycle()) {
    placed_ = in_.acquire(body_bytes, result);
  }
  return placed_ == nullptr ? MutableBytes() : MutableBytes(placed_->data, body_bytes);
}

void CopyEngine::end_frame() {
  if (placed_ != nullptr) in_.release(placed_);
  placed_ = nullptr;
}

CopyStep CopyEngine::copy_in(const StreamRef& stream, const message::CopyIn& copy,
                             MutableBytes body, CUresult* result) {
  const bool in_body = !body.empty();
  const size_t bytes = in_body ? body.size() : copy.data.size();
  *result = CUDA_SUCCESS;
  if (bytes == 0) return CopyStep::kDone;
  const bool linear = copy.height == 1 || copy.to_pitch == copy.width;
  if (!in_body && linear && bytes <= kPageableBytesMax) {
    *result = driver_.cuMemcpyHtoDAsync(copy.to, copy.data.data(), bytes, stream->handle);
    return CopyStep::kDone;
  }

  // A body that waited in the backlog is not in a slot any more.
  const bool in_slot = in_body && placed_ != nullptr && body.data() == placed_->data;
  const std::byte* data = in_body ? body.data() : copy.data.data();
  StagingPool& pool = in_body ? in_ : small_;
  StagingSlot* slot = placed_;
  EventRef taken;
  *result = stream->device->events.acquire(&taken);
  if (*result != CUDA_SUCCESS) return CopyStep::kDone;
  if (!in_slot) {
    slot = pool.acquire(bytes, result);
    if (slot == nullptr) return *result == CUDA_SUCCESS ? CopyStep::kStalled : CopyStep::kDone;
    std::memcpy(slot->data, data, bytes);
  }
  if (linear) {
    *result = driver_.cuMemcpyHtoDAsync(copy.to, slot->data, bytes, stream->handle);
  } else {
    CUDA_MEMCPY2D box = rows(copy.width, copy.height);
    box.srcMemoryType = CU_MEMORYTYPE_HOST;
    box.srcHost = slot->data;
    box.srcPitch = copy.width;
    box.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    box.dstDevice = copy.to;
    box.dstPitch = copy.to_pitch;
    *result = driver_.cuMemcpy2DAsync(&box, stream->handle);
  }
  if (*result == CUDA_SUCCESS) *result = driver_.cuEventRecord(taken.handle(), stream->handle);
  if (in_slot) placed_ = nullptr;
  if (*result == CUDA_SUCCESS) {
    pool.release_after(slot, std::move(taken));
  } else {
    pool.release(slot);
  }
  return CopyStep::kDone;
}

void CopyEngine::queue(const StreamRef& stream, CopyOutPiece piece) {
  piece.is_read = piece.result != CUDA_SUCCESS;
  if (stream->copy_outs.empty()) reading_.push_back(stream);
  stream->copy_outs.push_back(std::move(piece));
}

void CopyEngine::refuse_out(uint64_t ticket, CUresult result) {
  outbox_.append(message::CopyOutData{ticket, 0, result, 1, {}});
}

// Issues the piece at out_issued_. False: it was the last, or no slot is free.
bool CopyEngine::issue_piece(const StreamRef& stream, const message::CopyOut& copy, bool* stalled) {
  const uint64_t total = copy.width * copy.height;
  const bool linear = copy.height == 1 || copy.from_pitch == copy.width;
  StagingPool& pool = total <= limits::inline_bytes_max ? small_ : out_;
  const uint64_t row = linear ? 0 : out_issued_ / copy.width;
  const uint64_t column = linear ? out_issued_ : out_issued_ % copy.width;
  // As much as fits a slot: of one row, or whole rows.
  uint64_t bytes = std::min<uint64_t>(total - out_issued_, pool.slot_bytes());
  uint64_t row_count = 1;
  if (!linear) {
    if (column == 0 && copy.width <= bytes) {
      row_count = bytes / copy.width;
      bytes = row_count * copy.width;
    } else {
      bytes = std::min(bytes, copy.width - column);
    }
  }

  CopyOutPiece piece{copy.ticket,  out_issued_, bytes,   out_issued_ + bytes == total,
                     CUDA_SUCCESS, &pool,       nullptr, {}};
  piece.result = stream->device->events.acquire(&piece.read);
  if (piece.result == CUDA_SUCCESS) {
    piece.slot = pool.acquire(bytes, &piece.result);
    if (piece.slot == nullptr && piece.result == CUDA_SUCCESS) {
      *stalled = true;
      return false;
    }
  }
  const uint64_t from = copy.from + row * copy.from_pitch + column;
  if (piece.result == CUDA_SUCCESS && row_count > 1) {
    CUDA_MEMCPY2D box = rows(copy.width, row_count);
    box.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    box.srcDevice = from;
    box.srcPitch = copy.from_pitch;
    box.dstMemoryType = CU_MEMORYTYPE_HOST;
    box.dstHost = piece.slot->data;
    box.dstPitch = copy.width;
    piece.result = driver_.cuMemcpy2DAsync(&box, stream->handle);
  } else if (piece.result == CUDA_SUCCESS) {
    piece.result = driver_.cuMemcpyDtoHAsync(piece.slot->data, from, bytes, stream->handle);
  }
  if (piece.result == CUDA_SUCCESS) {
    piece.result = driver_.cuEventRecord(piece.read.handle(), stream->handle);
  }
  out_issued_ += bytes;
  const bool more = !piece.last && piece.result == CUDA_SUCCESS;
  queue(stream, std::move(piece));
  return more;
}

CopyStep CopyEngine::copy_out(const StreamRef& stream, const message::CopyOut& copy) {
  if (copy.width == 0 || copy.height == 0) {
    refuse_out(copy.ticket, CUDA_SUCCESS);
    return CopyStep::kDone;
  }
  bool stalled = false;
  if (const auto begun = outs_issued_.find(copy.ticket); begun != outs_issued_.end()) {
    out_issued_ = begun->second;
  } else {
    out_issued_ = 0;
  }
  // An earlier piece may have failed while this copy waited for a slot.
  const bool failed = out_issued_ != 0 && stream->ticket_failed == copy.ticket;
  while (!failed && issue_piece(stream, copy, &stalled)) {
  }
  if (stalled) {
    outs_issued_[copy.ticket] = out_issued_;
    return CopyStep::kStalled;
  }
  outs_issued_.erase(copy.ticket);
  return CopyStep::kDone;
}

void CopyEngine::emit(Stream& stream, CopyOutPiece& piece) {
  const CUresult result = piece.result;
  if (piece.offset == 0) stream.ticket_failed.reset();
  const bool dropped = stream.ticket_failed == piece.ticket;
  if (!dropped && result != CUDA_SUCCESS) {
    stream.ticket_failed = piece.ticket;
    outbox_.append(message::CopyOutData{piece.ticket, piece.offset, result, 1, {}});
  }
  if (dropped || result != CUDA_SUCCESS) {
    if (piece.slot != nullptr) piece.pool->release(piece.slot);
    return;
  }
  if (before_data) before_data(stream, piece.read);
  message::CopyOutData data{piece.ticket, piece.offset, CUDA_SUCCESS, piece.last ? 1u : 0u, {}};
  if (piece.pool == &small_) {
    data.data = {piece.slot->data, piece.bytes};
    outbox_.append(data);
    small_.release(piece.slot);
  } else {
    outbox_.append_with_body(data, out_, piece.slot, piece.bytes);
  }
}

bool CopyEngine::look() {
  return std::any_of(reading_.begin(), reading_.end(), [&](const StreamRef& stream) {
    return look_at(driver_, look_of(stream->copy_outs.front()));
  });
}

void CopyEngine::list(std::vector<DataLook>* looks) {
  for (const StreamRef& stream : reading_) {
    for (CopyOutPiece& piece : stream->copy_outs) {
      if (!piece.is_read) looks->push_back(look_of(piece));
    }
  }
}

std::vector<StreamRef>::const_iterator CopyEngine::next_stream() const {
  auto next = reading_.end();
  for (auto stream = reading_.begin(); stream != reading_.end(); ++stream) {
    const CopyOutPiece& piece = (*stream)->copy_outs.front();
    if (!piece.is_read) continue;
    if (next == reading_.end() || piece.ticket < (*next)->copy_outs.front().ticket) next = stream;
  }
  return next;
}

uint64_t CopyEngine::next_ticket() const {
  const auto next = next_stream();
  return next == reading_.end() ? kNone : (*next)->copy_outs.front().ticket;
}

void CopyEngine::emit_next() {
  const auto next = next_stream();
  FARLANE_CHECK(next != reading_.end(), "a piece is read");
  Stream& stream = **next;
  emit(stream, stream.copy_outs.front());
  stream.copy_outs.pop_front();
  if (stream.copy_outs.empty()) reading_.erase(next);
}

bool CopyEngine::recycle() {
  const bool in = in_.recycle();
  return small_.recycle() || in;
}

void CopyEngine::abandon() {
  for (const StreamRef& stream : reading_) {
    for (CopyOutPiece& piece : stream->copy_outs) {
      if (piece.slot != nullptr) piece.pool->release(piece.slot);
    }
    stream->copy_outs.clear();
  }
  reading_.clear();
  end_frame();
  recycle();
}

}  // namespace farlane::server
