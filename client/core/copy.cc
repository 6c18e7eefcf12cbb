// Copies and fills. Host memory is read when the call is made and written by the time CUDA
// promises; device ranges are checked here, so that a bad pointer is an error of the call that has
// it.
#include <algorithm>
#include <cstring>
#include <vector>

#include "client/core/call.h"
#include "client/core/session.h"
#include "protocol/limits.h"

namespace farlane::client {
namespace {

namespace limits = protocol::limits;

// One slice of a box: `height` rows of `width` bytes.
struct Plane {
  uint64_t to = 0;
  uint64_t from = 0;
  size_t to_pitch = 0;
  size_t from_pitch = 0;
  size_t width = 0;
  size_t height = 0;
};

// A box is its first slice, and those that lie behind it.
Plane first_slice(const Copy& box) {
  const bool flat = box.height == 1 && box.depth == 1;  // then no pitch matters
  return {box.to,    box.from,  flat ? box.width : box.to_pitch, flat ? box.width : box.from_pitch,
          box.width, box.height};
}
void advance(const Copy& box, Plane* slice) {
  slice->to += box.to_slice;
  slice->from += box.from_slice;
}

// From the first byte of a plane to behind its last.
uint64_t span_bytes(size_t pitch, size_t width, size_t height) {
  return pitch * (height - 1) + width;
}

// Rows that follow each other without a gap are one row.
bool is_packed(size_t pitch, size_t width, size_t height) {
  return height == 1 || pitch == width;
}

size_t inline_bytes_max(const Session* s) {
  return std::min<size_t>(static_cast<size_t>(s->settings().inline_bytes_max),
                          limits::inline_bytes_max);
}

size_t chunk_bytes_max(const Session* s) {
  return std::min<size_t>(static_cast<size_t>(s->settings().copy_chunk_bytes),
                          limits::body_bytes_max);
}

// The command that moves a plane, as far as it tells where the ends on the device are.
template <class M>
M command_of(const Stream* stream, const Plane& plane) {
  M command{};
  if constexpr (requires { command.stream; }) {
    command.stream = stream->id;
  }
  if constexpr (requires { command.to; }) {
    command.to = plane.to;
    command.to_pitch = plane.to_pitch;
  }
  if constexpr (requires { command.from; }) {
    command.from = plane.from;
    command.from_pitch = plane.from_pitch;
  }
  command.width = plane.width;
  command.height = plane.height;
  return command;
}

void pack_rows(const Plane& plane, std::byte* out) {
  for (size_t row = 0; row < plane.height; ++row) {
    std::memcpy(out + row * plane.width,
                reinterpret_cast<const std::byte*>(plane.from + row * plane.from_pitch),
                plane.width);
  }
}

// Posts one piece that fits a chunk. `ticket`: of the host call at whose place in the stream it
// happens; 0: at the stream's end.
CUresult copy_in_piece(Session* s, Stream* stream, const Plane& plane, uint64_t ticket) {
  const size_t bytes = plane.width * plane.height;
  const bool packed = is_packed(plane.from_pitch, plane.width, plane.height);
  std::vector<std::byte> rows;
  if (!packed) {
    rows.resize(bytes);
    pack_rows(plane, rows.data());
  }
  const transport::Bytes data{packed ? reinterpret_cast<const std::byte*>(plane.from) : rows.data(),
                              bytes};
  const auto post = [&](auto command) {
    if (bytes <= inline_bytes_max(s)) {
      command.data = data;
      return s->post(command);
    }
    return s->post_with_body(command, {&data, 1});
  };
  if (ticket != 0) {
    auto command = command_of<message::HostCallCopy>(stream, plane);
    command.ticket = ticket;
    return posted(post(command));
  }
  const uint64_t sequence = post(command_of<message::CopyIn>(stream, plane));
  s->touch(stream, sequence);
  return posted(sequence);
}

// The data go over the bulk lanes, from the program's memory. Returns when they have been taken,
// unless `in_background`: then whoever frees the memory waits for that.
CUresult copy_in_bulk(Session* s, Stream* stream, const Plane& plane, bool in_background) {
  auto copy = std::make_shared<Lanes::Outgoing>();
  copy->from = reinterpret_cast<const std::byte*>(plane.from);
  copy->pitch = plane.from_pitch;
  copy->width = plane.width;
  copy->height = plane.height;
  const uint64_t sequence = s->lanes().queue(copy, [&](auto queue) {
    return s->log().append(command_of<message::CopyInLanes>(stream, plane), queue);
  });
  if (sequence == 0) {
    return kServerLost;
  }
  s->touch(stream, sequence);
  s->lanes().start(*copy);
  if (in_background) {
    s->courier().wake();
    return CUDA_SUCCESS;
  }
  if (!s->log().flush() ||
      !s->inbox().wait_until([&] { return copy->taken.load(std::memory_order_acquire); },
                             "the server to take a copy's data")) {
    s->lanes().quit();
    return kServerLost;
  }
  return CUDA_SUCCESS;
}

CUresult copy_in_pieces(Session* s, Stream* stream, Plane plane, uint64_t ticket) {
  const size_t chunk = chunk_bytes_max(s);
  if (is_packed(plane.from_pitch, plane.width, plane.height) &&
      is_packed(plane.to_pitch, plane.width, plane.height)) {
    plane.width *= plane.height;
    plane.height = 1;
  }
  // Whole rows where they fit a chunk, parts of a row where they do not.
  for (size_t row = 0; row < plane.height;) {
    const size_t rows = std::clamp<size_t>(chunk / plane.width, 1, plane.height - row);
    for (size_t column = 0; column < plane.width; column += chunk) {
      Plane piece = plane;
      piece.to += row * plane.to_pitch + column;
      piece.from += row * plane.from_pitch + column;
      piece.width = std::min(chunk, plane.width - column);
      piece.height = rows;
      const CUresult result = copy_in_piece(s, stream, piece, ticket);
      if (result != CUDA_SUCCESS) {
        return result;
      }
    }
    row += rows;
  }
  return CUDA_SUCCESS;
}

// Something earlier may still write the source: a host function, or a copy to the host.
bool may_change(Session* s, const Plane& plane) {
  return s->host_calls().pending() ||
         s->inbox().tickets_into(plane.from,
                                 span_bytes(plane.from_pitch, plane.width, plane.height));
}

// The source is read when the stream gets there. Until then it is the program's duty to keep it,
// and ours when it frees it.
CUresult copy_in_when_due(Session* s, Stream* stream, const Plane& plane) {
  HostCalls::Call call;
  call.kind = HostCalls::Kind::kCopy;
  call.reads_start = plane.from;
  call.reads_bytes = span_bytes(plane.from_pitch, plane.width, plane.height);
  call.work = [s, plane](CUresult status, uint64_t ticket) {
    if (status == CUDA_SUCCESS) {
      copy_in_pieces(s, nullptr, plane, ticket);
    }
  };
  const uint64_t sequence = s->host_calls().add(stream->id, std::move(call));
  if (sequence == 0) {
    return kServerLost;
  }
  s->touch(stream, sequence);
  return CUDA_SUCCESS;
}

// `async`: the source is pinned and need not be taken before this returns.
CUresult copy_in(Session* s, Stream* stream, const Plane& plane, bool async) {
  if (async && may_change(s, plane)) {
    return copy_in_when_due(s, stream, plane);
  }
  if (s->lanes().carry(uint64_t{plane.width} * plane.height)) {
    return copy_in_bulk(s, stream, plane, async);
  }
  return copy_in_pieces(s, stream, plane, 0);
}

CUresult copy_out(Session* s, Stream* stream, const Plane& plane, bool async) {
  // On the heap: when the session is lost in between, the receiver may still look at it.
  auto* ticket = new Inbox::Ticket;
  ticket->id = s->next_ticket.fetch_add(1);
  ticket->stream = stream->id.bits();
  ticket->to = reinterpret_cast<std::byte*>(plane.to);
  ticket->pitch = plane.to_pitch;
  ticket->width = plane.width;
  ticket->height = plane.height;
  ticket->detached = async;
  const bool by_lanes = s->lanes().carry(uint64_t{plane.width} * plane.height);
  ticket->by_lanes = by_lanes;
  const auto expect = [&](uint64_t number) {
    ticket->sequence = number;
    s->inbox().expect(ticket);
  };
  const auto post = [&](auto command) {
    command.ticket = ticket->id;
    return async ? s->log().append(command, expect) : s->log().send_now(command, {}, expect);
  };
  const uint64_t sequence = by_lanes ? post(command_of<message::CopyOutLanes>(stream, plane))
                                     : post(command_of<message::CopyOut>(stream, plane));
  if (sequence == 0) {
    s->inbox().abandon(ticket);
    return kServerLost;
  }
  s->touch(stream, sequence);
  if (!by_lanes) {
    raise_to(stream->told_by_data, sequence);
  }
  if (async) {
    s->courier().wake();
    return CUDA_SUCCESS;
  }
  if (!s->inbox().wait_until([&] { return ticket->done.load(std::memory_order_acquire); },
                             "a copy to the host")) {
    s->lanes().quit();
    s->inbox().abandon(ticket);
    return kServerLost;
  }
  const CUresult result = ticket->result;
  delete ticket;
  // Copies before it are over too, but what came on lanes may still be landing.
  if (!s->inbox().wait_until(
          [&] {
            return !s->inbox().tickets_pending(
                sequence, [&](uint64_t bits) { return bits == stream->id.bits(); });
          },
          "data of copies to the host")) {
    s->lanes().quit();
    return kServerLost;
  }
  if (result != CUDA_SUCCESS) {
    stream->told_by_data = 0;  // it may have failed before the work in front of it was done
    return result;
  }
  // It was the last thing on its stream, and it is done.
  raise_to(stream->finished_sequence, stream->is_legacy() ? 0 : sequence);
  return CUDA_SUCCESS;
}

CUresult copy_within(Session* s, Stream* stream, const Plane& plane) {
  return posted(s->post_to(stream, command_of<message::CopyWithin>(stream, plane)));
}

// The device reads or writes the host's memory itself. False: this is none that the server maps, or
// one whose few bytes travel faster with the log.
bool copy_shared(Session* s, Stream* stream, CUstream handle, const Plane& plane, bool to_device,
                 bool async, CUresult* result) {
  const uint64_t host = to_device ? plane.from : plane.to;
  SharedRange range;
  if (!shared_range(
          host,
          span_bytes(to_device ? plane.from_pitch : plane.to_pitch, plane.width, plane.height),
          &range)) {
    return false;
  }
  if (!async && plane.width * plane.height <= inline_bytes_max(s) &&
      !(to_device && range.written)) {
    return false;
  }
  if (!to_device && async && !range.written) {
    note_written(host);
  }
  if (to_device) {
    auto command = command_of<message::CopyInShared>(stream, plane);
    command.region = range.region;
    command.from = range.offset;
    *result = posted(s->post_to(stream, command));
  } else {
    auto command = command_of<message::CopyOutShared>(stream, plane);
    command.region = range.region;
    command.to = range.offset;
    *result = posted(s->post_to(stream, command));
  }
  if (*result == CUDA_SUCCESS && !async) {
    *result = stream_synchronize(handle);
  }
  return true;
}

CUresult copy_on_host(CUstream stream, const Plane& plane) {
  if (const CUresult result = stream_synchronize(stream); result != CUDA_SUCCESS) {
    return result;
  }
  for (size_t row = 0; row < plane.height; ++row) {
    std::memmove(reinterpret_cast<void*>(plane.to + row * plane.to_pitch),
                 reinterpret_cast<const void*>(plane.from + row * plane.from_pitch), plane.width);
  }
  return CUDA_SUCCESS;
}

// With one address space a kind is a hint, as in CUDA: what is called host but is a device address
// is the device's. What is called device and is not fails its range check.
bool is_device(Session* s, Place place, uint64_t address) {
  return place == Place::kDevice || s->is_device_address(address);
}

// Of an end of which not all is the device's. Windows of device addresses are reserved here, but
// the address of a module's variable is the driver's choice, and the program may have memory of its
// own there: what is called host is a variable's only if all of it is.
bool is_host_after_all(Session* s, Place place, uint64_t address) {
  return place == Place::kHost && s->device_of(address) == nullptr;
}

// Pageable memory may be reused as soon as the call returns, in CUDA too.
bool is_pinned(uint64_t address) {
  return pointer_facts(address).kind == PointerFacts::Kind::kPinnedHost;
}

// Programs rely on it that what a synchronous call wrote is there for the later work of any stream.
// With one stream its order sees to that, and stream_create() for the streams to come.
CUresult settle(const Stream& ordered, CUstream stream) {
  Device& device = *ordered.device;
  if (!device.several_streams.load(std::memory_order_acquire)) {
    device.unsettled_sequence.store(ordered.last_sequence.load(std::memory_order_relaxed),
                                    std::memory_order_seq_cst);
    // Whoever makes one says so first and then looks at what is unsettled.
    if (!device.several_streams.load(std::memory_order_seq_cst)) {
      return CUDA_SUCCESS;
    }
  }
  return stream_synchronize(stream);
}

bool fits(uint64_t pitch, uint64_t width, uint64_t height) {
  uint64_t bytes = 0;
  return !__builtin_mul_overflow(pitch, height, &bytes) && bytes < uint64_t{1} << 62 &&
         (height <= 1 || pitch >= width);
}

// Host memory is read and written when the graph runs: see graph_copies.h.
CUresult capture_copy(Session* s, Stream* stream, Capture& capture, Copy box, bool to_device,
                      bool from_device) {
  if (!to_device || !from_device) {
    std::lock_guard lock(s->captures.mutex());
    const CUresult result = capture.contents.copies.replace_host_ends(
        stream->device->ordinal, !to_device, !from_device, &box);
    if (result != CUDA_SUCCESS) {
      capture.broken = true;
      return result;
    }
  }
  Plane plane = first_slice(box);
  for (size_t slice = 0; slice < box.depth; ++slice, advance(box, &plane)) {
    if (s->post(command_of<message::CopyWithin>(stream, plane)) == 0) {
      return kServerLost;
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace

CUresult check_copy_ends(Session* s, const Copy& box, bool* to_device, bool* from_device) {
  Plane plane = first_slice(box);
  if (!fits(plane.to_pitch, plane.width, plane.height) ||
      !fits(plane.from_pitch, plane.width, plane.height)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *to_device = is_device(s, box.to_place, box.to);
  *from_device = is_device(s, box.from_place, box.from);
  const uint64_t to_bytes = span_bytes(plane.to_pitch, plane.width, plane.height);
  const uint64_t from_bytes = span_bytes(plane.from_pitch, plane.width, plane.height);
  // All slices are checked before the first one moves.
  for (size_t slice = 0; slice < box.depth; ++slice, advance(box, &plane)) {
    Device* owner = nullptr;
    if (*to_device && !s->is_device_range(plane.to, to_bytes, &owner)) {
      if (!is_host_after_all(s, box.to_place, plane.to)) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      *to_device = false;
    }
    if (*from_device && !s->is_device_range(plane.from, from_bytes, &owner)) {
      if (!is_host_after_all(s, box.from_place, plane.from)) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      *from_device = false;
    }
  }
  return CUDA_SUCCESS;
}

CUresult copy_to_host_later(const Copy& box, CUstream stream) {
  Call call;
  Stream* ordered = call.stream(stream);
  if (ordered == nullptr) {
    return call.error;
  }
  Plane plane = first_slice(box);
  for (size_t slice = 0; slice < box.depth; ++slice, advance(box, &plane)) {
    if (const CUresult result = copy_out(call.session, ordered, plane, true);
        result != CUDA_SUCCESS) {
      return result;
    }
  }
  return CUDA_SUCCESS;
}

CUresult copy(const Copy& box, CUstream stream, bool async) {
  Call call;
  call.take_earlier();
  Stream* ordered = call.stream(stream);
  const CaptureRef capture = call.admit(ordered, async);
  if (!call) {
    return call.error;
  }
  const RelaxedCapture ours;
  if (box.width == 0 || box.height == 0 || box.depth == 0) {
    return CUDA_SUCCESS;
  }
  bool to_device = false;
  bool from_device = false;
  if (const CUresult wrong = check_copy_ends(call.session, box, &to_device, &from_device);
      wrong != CUDA_SUCCESS) {
    return wrong;
  }
  if (capture != nullptr) {
    return capture_copy(call.session, ordered, *capture, box, to_device, from_device);
  }
  Plane plane = first_slice(box);
  for (size_t slice = 0; slice < box.depth; ++slice, advance(box, &plane)) {
    CUresult result = CUDA_SUCCESS;
    if (call->shared_regions.load(std::memory_order_relaxed) != 0 && to_device != from_device &&
        copy_shared(call.session, ordered, stream, plane, to_device, async, &result)) {
      if (result != CUDA_SUCCESS) {
        return result;
      }
      continue;
    }
    if (to_device && !from_device && !async && may_change(call.session, plane)) {
      result = stream_synchronize(stream);
    }
    if (result != CUDA_SUCCESS) {
      return result;
    }
    if (to_device) {
      result = from_device ? copy_within(call.session, ordered, plane)
                           : copy_in(call.session, ordered, plane, async && is_pinned(plane.from));
    } else if (from_device) {
      result = copy_out(call.session, ordered, plane, async && is_pinned(plane.to));
    } else {
      result = copy_on_host(stream, plane);
    }
    if (result != CUDA_SUCCESS) {
      return result;
    }
  }
  return to_device && !async ? settle(*ordered, stream) : CUDA_SUCCESS;
}

CUresult fill(CUdeviceptr to, size_t pitch, uint32_t value, unsigned element_bytes, size_t width,
              size_t height, CUstream stream, bool async) {
  Call call;
  call.take_earlier();
  Stream* ordered = call.stream(stream);
  const CaptureRef capture = call.admit(ordered, async);
  if (!call) {
    return call.error;
  }
  const RelaxedCapture ours;
  if (element_bytes != 1 && element_bytes != 2 && element_bytes != 4) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (width == 0 || height == 0) {
    return CUDA_SUCCESS;
  }
  size_t row_bytes = 0;
  if (__builtin_mul_overflow(width, static_cast<size_t>(element_bytes), &row_bytes) ||
      to % element_bytes != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const size_t row_pitch = height == 1 ? row_bytes : pitch;
  Device* owner = nullptr;
  if (!fits(row_pitch, row_bytes, height) || row_pitch % element_bytes != 0 ||
      !call->is_device_range(to, span_bytes(row_pitch, row_bytes, height), &owner)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const uint64_t sequence = call->post(message::Fill{.stream = ordered->id,
                                                     .to = to,
                                                     .pitch = row_pitch,
                                                     .value = value,
                                                     .element_bytes = element_bytes,
                                                     .width = width,
                                                     .height = height});
  if (sequence == 0) {
    return kServerLost;
  }
  if (capture != nullptr) {
    return CUDA_SUCCESS;
  }
  call->touch(ordered, sequence);
  return async ? CUDA_SUCCESS : settle(*ordered, stream);
}

}  // namespace farlane::client
