// Moves bulk data between the network and the devices through pinned slots, so that both run at the
// same time. Executor's thread only.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "generated/protocol/messages.h"
#include "generated/server/driver_table.h"
#include "server/data_look.h"
#include "server/outbox.h"
#include "server/staging.h"
#include "server/stream.h"
#include "transport/channel.h"

namespace farlane::server {

enum class CopyStep : uint8_t {
  kDone,     // issued, or failed: see the result
  kStalled,  // no staging slot is free; nothing may overtake this copy, so the log waits
};

class CopyEngine {
 public:
  CopyEngine(const DriverTable& driver, Outbox& outbox, size_t slot_bytes, size_t slots);

  // Where a frame's body goes: a staging slot, or nothing while none is free. `*result` says when
  // there is no memory for one.
  transport::MutableBytes place(uint32_t body_bytes, CUresult* result);
  // The frame is executed: its slot is free unless a copy took it.
  void end_frame();

  // Data is packed rows of `width` bytes: in the placed body if that is not empty, else inline. The
  // caller has checked the sizes and ranges; the stream's context is current.
  CopyStep copy_in(const StreamRef& stream, const protocol::message::CopyIn& copy,
                   transport::MutableBytes body, CUresult* result);
  // Call again with the same copy until it is done. What fails is told with the ticket.
  CopyStep copy_out(const StreamRef& stream, const protocol::message::CopyOut& copy);
  // Ends a ticket that never started.
  void refuse_out(uint64_t ticket, CUresult result);

  // What the devices have finished reading, in steps (data_look.h). True: a stream's next piece is.
  bool look();
  // The pieces that are not known to be read.
  void list(std::vector<DataLook>* looks);
  // The lowest ticket of those that come next on their streams and are read; kNone.
  static constexpr uint64_t kNone = UINT64_MAX;
  uint64_t next_ticket() const;
  // Hands that piece to the outbox.
  void emit_next();
  bool has_pieces() const { return !reading_.empty(); }
  // A look at the devices costs as much as a look at so many events.
  size_t looks() const { return reading_.size(); }
  // True when a slot came back that something may be waiting for.
  bool recycle();

  // Called before data of a copy is told, which may tell the client that what came before it on the
  // stream is over. `read` has fired.
  std::function<void(const Stream& stream, const EventRef& read)> before_data;

  // Drops all pieces; the devices are idle and nobody listens any more.
  void abandon();

 private:
  bool issue_piece(const StreamRef& stream, const protocol::message::CopyOut& copy, bool* stalled);
  void queue(const StreamRef& stream, CopyOutPiece piece);
  void emit(Stream& stream, CopyOutPiece& piece);
  // The stream with next_ticket(); the end: none.
  std::vector<StreamRef>::const_iterator next_stream() const;

  const DriverTable& driver_;
  Outbox& outbox_;
  StagingPool in_;
  StagingPool out_;
  StagingPool small_;  // for what travels inside records

  StagingSlot* placed_ = nullptr;
  // Bytes issued of the copy_outs under way, by ticket; of the one that is worked on.
  std::map<uint64_t, uint64_t> outs_issued_;
  uint64_t out_issued_ = 0;
  std::vector<StreamRef> reading_;  // streams with pieces
};

}  // namespace farlane::server
