#include "server/bulk_engine.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "protocol/check.h"
#include "protocol/lane_share.h"
#include "protocol/limits.h"
#include "server/device.h"
#include "server/driver_text.h"

namespace farlane::server {

namespace message = protocol::message;
using transport::Clock;

// Bytes [offset, offset + bytes) of the packed rows: at most a part of a row, whole rows, and
// another part.
CUresult BulkEngine::move_rows(bool to_device, uint64_t device, uint64_t pitch, uint64_t width,
                               uint64_t offset, uint64_t bytes, std::byte* host, CUstream stream) {
  while (bytes != 0) {
    const uint64_t row = offset / width;
    const uint64_t column = offset % width;
    const uint64_t at = device + row * pitch + column;
    uint64_t part = std::min(bytes, width - column);
    CUresult result = CUDA_SUCCESS;
    if (pitch == width) {
      part = bytes;
    } else if (column == 0 && bytes >= 2 * width) {
      CUDA_MEMCPY2D box{};
      box.WidthInBytes = width;
      box.Height = bytes / width;
      part = box.Height * width;
      (to_device ? box.srcMemoryType : box.dstMemoryType) = CU_MEMORYTYPE_HOST;
      (to_device ? box.dstMemoryType : box.srcMemoryType) = CU_MEMORYTYPE_DEVICE;
      (to_device ? box.dstDevice : box.srcDevice) = at;
      (to_device ? box.dstPitch : box.srcPitch) = pitch;
      (to_device ? box.srcPitch : box.dstPitch) = width;
      if (to_device) {
        box.srcHost = host;
      } else {
        box.dstHost = host;
      }
      result = driver_.cuMemcpy2DAsync(&box, stream);
      if (result != CUDA_SUCCESS) return result;
      offset += part;
      host += part;
      bytes -= part;
      continue;
    }
    result = to_device ? driver_.cuMemcpyHtoDAsync(at, host, part, stream)
                       : driver_.cuMemcpyDtoHAsync(host, at, part, stream);
    if (result != CUDA_SUCCESS) return result;
    offset += part;
    host += part;
    bytes -= part;
  }
  return CUDA_SUCCESS;
}

template <class Piece>
std::deque<Piece>& BulkEngine::queue_of(std::vector<Queue<Piece>>& queues,
                                        const StreamRef& stream) {
  const auto found = std::find_if(queues.begin(), queues.end(),
                                  [&](const auto& queue) { return queue.stream == stream; });
  if (found != queues.end()) return found->pieces;
  queues.push_back({stream, {}});
  return queues.back().pieces;
}

// ------------------------------------------------------------------------------ to the device

BulkIn* BulkEngine::find_in(uint64_t command) {
  const auto found = ins_.find(command);
  return found == ins_.end() ? nullptr : &found->second;
}

BulkIn* BulkEngine::begin_in(BulkIn copy) {
  last_arrival_ = Clock::now();
  BulkIn& begun = ins_[copy.command];
  begun = std::move(copy);
  const auto early = early_.find(begun.command);
  if (early != early_.end()) {
    // take() looks at them again.
    arrived_.insert(arrived_.end(), early->second.begin(), early->second.end());
    early_.erase(early);
  }
  return &begun;
}

std::string BulkEngine::take(uint64_t executed, bool* any) {
  if (lanes_.take_arrived(&arrived_)) last_arrival_ = Clock::now();
  *any = !arrived_.empty();
  std::string wrong;
  for (const ArrivedChunk& chunk : arrived_) {
    if (wrong.empty()) {
      wrong = place(chunk, executed);
    } else {
      lanes_.release_in(chunk.slot);
    }
  }
  arrived_.clear();
  if (wrong.empty() && !early_.empty() && early_.begin()->first <= executed) {
    wrong = fmt::format("data came on a lane for command {}, which is no copy over lanes",
                        early_.begin()->first);
  }
  return wrong;
}

std::string BulkEngine::place(const ArrivedChunk& chunk, uint64_t executed) {
  if (BulkIn* copy = find_in(chunk.command); copy != nullptr) return issue(*copy, chunk);
  if (chunk.command > executed) {
    early_[chunk.command].push_back(chunk);
    return "";
  }
  lanes_.release_in(chunk.slot);
  return fmt::format("data came on a lane for command {}, which is no copy under way",
                     chunk.command);
}

std::string BulkEngine::issue(BulkIn& copy, const ArrivedChunk& chunk) {
  if (chunk.offset > copy.total_bytes || chunk.bytes > copy.total_bytes - chunk.offset ||
      chunk.bytes > copy.total_bytes - copy.issued_bytes) {
    lanes_.release_in(chunk.slot);
    return fmt::format("{} bytes at {} came on a lane for copy {} of {} bytes, {} of them there",
                       chunk.bytes, chunk.offset, copy.command, copy.total_bytes,
                       copy.issued_bytes);
  }
  copy.issued_bytes += chunk.bytes;
  CUresult result = copy.result;
  EventRef read;
  if (result == CUDA_SUCCESS) result = make_current_(*copy.stream->device);
  if (result == CUDA_SUCCESS) result = copy.stream->device->events.acquire(&read);
  if (result == CUDA_SUCCESS) {
    result = move_rows(true, copy.to, copy.to_pitch, copy.width, chunk.offset, chunk.bytes,
                       chunk.slot->data, copy.stream->handle);
  }
  if (result == CUDA_SUCCESS) {
    result = driver_.cuEventRecord(read.handle(), copy.stream->handle);
  }
  if (result != CUDA_SUCCESS) {
    copy.result = result;
    lanes_.release_in(chunk.slot);
    return "";
  }
  queue_of(writing_, copy.stream).push_back({chunk.slot, std::move(read)});
  return "";
}

bool BulkEngine::recycle() {
  bool any = false;
  std::erase_if(writing_, [&](Queue<Writing>& queue) {
    while (!queue.pieces.empty()) {
      // An error means that the context is gone, and with it whoever read the slot.
      Writing& piece = queue.pieces.front();
      if (driver_.cuEventQuery(piece.event.handle()) == CUDA_ERROR_NOT_READY) return false;
      lanes_.release_in(piece.slot);
      queue.pieces.pop_front();
      any = true;
    }
    return true;
  });
  if (any) last_arrival_ = Clock::now();  // only now the client can send more
  return any;
}

Clock::time_point BulkEngine::silent_since() const {
  const bool waits = std::any_of(ins_.begin(), ins_.end(),
                                 [](const auto& entry) { return !entry.second.is_issued(); });
  // While the device holds slots the client may be unable to send.
  return waits && writing_.empty() ? last_arrival_ : Clock::time_point::max();
}

uint64_t BulkEngine::bytes_to_come() const {
  uint64_t bytes = 0;
  for (const auto& [command, copy] : ins_) bytes += copy.total_bytes - copy.issued_bytes;
  return bytes;
}

// ------------------------------------------------------------------------------ to the client

BulkOut* BulkEngine::find_out(uint64_t command) {
  const auto found = outs_.find(command);
  return found == outs_.end() ? nullptr : found->second.get();
}

BulkOut* BulkEngine::begin_out(BulkOut copy) {
  copy.lanes = protocol::lanes_of_copy(copy.total_bytes, std::max<size_t>(lanes_.open_lanes(), 1),
                                       lanes_.share_bytes());
  copy.chunk_bytes =
      protocol::limits::lane_chunk_bytes(copy.total_bytes, copy.lanes, lanes_.chunk_bytes());
  auto& begun = outs_[copy.command];
  begun = std::make_unique<BulkOut>(std::move(copy));
  return begun.get();
}

// A queue is there only as long as it has pieces. False: no slot is free.
bool BulkEngine::issue_piece(BulkOut* copy) {
  Reading piece;
  const auto mine = std::find_if(reading_.begin(), reading_.end(),
                                 [&](const auto& queue) { return queue.stream == copy->stream; });
  piece.slot = lanes_.acquire_out(mine == reading_.end() ? 0 : mine->pieces.size());
  if (piece.slot == nullptr) return false;
  piece.copy = copy;
  piece.offset = copy->issued_bytes;
  piece.bytes = std::min(copy->chunk_bytes, copy->total_bytes - copy->issued_bytes);
  piece.result = make_current_(*copy->stream->device);
  if (piece.result == CUDA_SUCCESS) {
    piece.result = copy->stream->device->events.acquire(&piece.event);
  }
  if (piece.result == CUDA_SUCCESS) {
    piece.result = move_rows(false, copy->from, copy->from_pitch, copy->width, piece.offset,
                             piece.bytes, piece.slot->data, copy->stream->handle);
  }
  if (piece.result == CUDA_SUCCESS) {
    piece.result = driver_.cuEventRecord(piece.event.handle(), copy->stream->handle);
  }
  copy->issued_bytes += piece.bytes;
  ++copy->reading;
  if (piece.result != CUDA_SUCCESS) copy->result = piece.result;
  piece.is_read = piece.result != CUDA_SUCCESS;
  queue_of(reading_, copy->stream).push_back(std::move(piece));
  return true;
}

bool BulkEngine::issue_out(BulkOut* copy) {
  while (!copy->is_issued()) {
    if (!issue_piece(copy)) return false;
  }
  return true;
}

void BulkEngine::finish_if_over(BulkOut* copy) {
  if (!copy->passed || copy->reading != 0) return;
  finished_.push_back(message::CopyOutData{copy->ticket, copy->sent_bytes, copy->result, 1, {}});
}

void BulkEngine::end_out(BulkOut* copy) {
  copy->passed = true;
  finish_if_over(copy);
  tell_finished(UINT64_MAX);
}

void BulkEngine::tell_finished(uint64_t ticket) {
  if (finished_.empty()) return;
  // What ended first was asked for first, where one stream waited for another.
  std::sort(finished_.begin(), finished_.end(),
            [](const auto& a, const auto& b) { return a.ticket < b.ticket; });
  const auto later = std::find_if(finished_.begin(), finished_.end(),
                                  [&](const auto& last) { return last.ticket > ticket; });
  if (later == finished_.begin()) return;
  for (auto last = finished_.begin(); last != later; ++last) outbox_.append(*last);
  finished_.erase(finished_.begin(), later);
  std::erase_if(
      outs_, [](const auto& entry) { return entry.second->passed && entry.second->reading == 0; });
}

// A piece that is read may have no event.
DataLook BulkEngine::look_of(Reading& piece) {
  return {piece.copy->ticket, piece.offset, piece.is_read ? nullptr : piece.event.handle(),
          &piece.is_read, &piece.result};
}

bool BulkEngine::look() {
  return std::any_of(reading_.begin(), reading_.end(), [&](Queue<Reading>& queue) {
    return look_at(driver_, look_of(queue.pieces.front()));
  });
}

void BulkEngine::list(std::vector<DataLook>* looks) {
  for (Queue<Reading>& queue : reading_) {
    for (Reading& piece : queue.pieces) {
      if (!piece.is_read) looks->push_back(look_of(piece));
    }
  }
}

void BulkEngine::hand_over() {
  std::erase_if(reading_, [&](Queue<Reading>& queue) {
    while (!queue.pieces.empty()) {
      const Reading& piece = queue.pieces.front();
      if (!piece.is_read) return false;
      BulkOut* copy = piece.copy;
      if (piece.result != CUDA_SUCCESS) copy->result = piece.result;
      if (copy->result == CUDA_SUCCESS) {
        copy->sent_bytes += piece.bytes;
        lanes_.send({copy->ticket, piece.offset, piece.bytes, piece.slot, copy->lanes});
      } else {
        lanes_.release_out(piece.slot);
      }
      --copy->reading;
      queue.pieces.pop_front();
      finish_if_over(copy);
    }
    return true;
  });
}

// ------------------------------------------------------------------------------------- memory

void BulkEngine::open_lanes() {
  while (const size_t bytes = lanes_.wanted_bytes()) {
    void* memory = nullptr;
    const CUresult result = driver_.cuMemHostAlloc(&memory, bytes, CU_MEMHOSTALLOC_PORTABLE);
    if (result == CUDA_SUCCESS) {
      memory_.push_back(memory);
    } else {
      memory = nullptr;
      spdlog::warn(
          "no pinned memory for a lane's {} bytes: {} (settings copies.lane_slots and "
          "copies.lane_chunk_bytes)",
          bytes, result_name(driver_, result));
    }
    lanes_.grant(static_cast<std::byte*>(memory));
  }
}

void BulkEngine::abandon() {
  writing_.clear();
  reading_.clear();
  early_.clear();
  arrived_.clear();
  ins_.clear();
  outs_.clear();
  for (void* memory : memory_) driver_.cuMemFreeHost(memory);
  memory_.clear();
}

}  // namespace farlane::server
