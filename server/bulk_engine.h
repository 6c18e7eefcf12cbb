// Copies whose data go over the bulk lanes: issues what has arrived to the devices, and hands what
// the devices have read to the lanes. Executor's thread only.
//
// A copy under way is an object of its own. Its pieces to the device may come before its command
// and in any order; is_issued() is true when the driver has them all.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "generated/protocol/messages.h"
#include "generated/server/driver_table.h"
#include "server/data_look.h"
#include "server/lanes.h"
#include "server/outbox.h"
#include "server/stream.h"
#include "transport/channel.h"

namespace farlane::server {

// A copy to the device. After an error its pieces are taken and dropped.
struct BulkIn {
  uint64_t command = 0;
  StreamRef stream;  // null only with an error
  uint64_t to = 0;
  uint64_t to_pitch = 0;
  uint64_t width = 0;
  uint64_t total_bytes = 0;
  uint64_t issued_bytes = 0;
  CUresult result = CUDA_SUCCESS;
  bool is_issued() const { return issued_bytes == total_bytes; }
};

// A copy to the client.
struct BulkOut {
  uint64_t command = 0;
  uint64_t ticket = 0;
  StreamRef stream;
  uint64_t from = 0;
  uint64_t from_pitch = 0;
  uint64_t width = 0;
  uint64_t total_bytes = 0;
  uint64_t chunk_bytes = 0;
  size_t lanes = 0;  // that it is meant for
  uint64_t issued_bytes = 0;
  uint64_t sent_bytes = 0;  // handed to lanes
  uint32_t reading = 0;     // pieces with the device
  bool passed = false;      // the log has gone on
  CUresult result = CUDA_SUCCESS;
  bool is_issued() const { return issued_bytes == total_bytes || result != CUDA_SUCCESS; }
};

class BulkEngine {
 public:
  using MakeCurrent = std::function<CUresult(Device&)>;
  BulkEngine(const DriverTable& driver, Outbox& outbox, Lanes& lanes, MakeCurrent make_current)
      : driver_(driver), outbox_(outbox), lanes_(lanes), make_current_(std::move(make_current)) {}
  BulkEngine(const BulkEngine&) = delete;

  // --- to the device
  // The copy that command `command` began; null: none is under way.
  BulkIn* find_in(uint64_t command);
  BulkIn* begin_in(BulkIn copy);
  // It is issued; its result is known to the caller.
  void end_in(uint64_t command) { ins_.erase(command); }
  // Takes what has arrived and issues what belongs to copies under way. `executed`: up to where the
  // log is done. Not "": what the client did wrong.
  std::string take(uint64_t executed, bool* any);
  // A copy waits for data, and its client has sent nothing since then; Clock's maximum: neither.
  transport::Clock::time_point silent_since() const;

  // --- to the client
  BulkOut* find_out(uint64_t command);
  BulkOut* begin_out(BulkOut copy);
  // Issues as much as there are slots for. True: all of it.
  bool issue_out(BulkOut* copy);
  // It is issued, and the log goes on. The copy may be over with this.
  void end_out(BulkOut* copy);
  // What has been read, in steps (data_look.h). True: a stream's next piece is.
  bool look();
  // The pieces that are not known to be read.
  void list(std::vector<DataLook>* looks);
  // Hands those that are to the lanes.
  void hand_over();
  // Of copies up to `ticket` whose last piece has been handed over the outbox says so: before any
  // answer that the client may take for its end.
  void tell_finished(uint64_t ticket);

  // Takes back slots that the device has read. True when there was one.
  bool recycle();
  // Of copies to the devices whose commands have begun: bytes that have not arrived.
  uint64_t bytes_to_come() const;
  // No copy to the client is under way.
  bool only_takes() const { return outs_.empty(); }
  // A look at the devices costs as much as a look at so many events.
  size_t looks() const { return reading_.size(); }
  // Something is with the devices that must be looked after.
  bool is_active() const { return !reading_.empty() || !writing_.empty(); }

  // Memory for lanes that wait for it.
  void open_lanes();

  // The devices are idle and the lanes closed: everything is dropped, the memory freed.
  void abandon();

 private:
  struct Reading {  // a piece on its way from the device
    BulkOut* copy = nullptr;
    uint64_t offset = 0;
    size_t bytes = 0;
    LaneSlot* slot = nullptr;
    CUresult result = CUDA_SUCCESS;
    EventRef event;
    bool is_read = false;  // known to be, or there is nothing to wait for
  };
  struct Writing {  // a piece on its way to the device
    LaneSlot* slot = nullptr;
    EventRef event;
  };
  template <class Piece>
  struct Queue {  // of one stream, whose events fire in order
    StreamRef stream;
    std::deque<Piece> pieces;
  };

  std::string place(const ArrivedChunk& chunk, uint64_t executed);
  std::string issue(BulkIn& copy, const ArrivedChunk& chunk);
  CUresult move_rows(bool to_device, uint64_t device, uint64_t pitch, uint64_t width,
                     uint64_t offset, uint64_t bytes, std::byte* host, CUstream stream);
  bool issue_piece(BulkOut* copy);
  static DataLook look_of(Reading& piece);
  void finish_if_over(BulkOut* copy);
  template <class Piece>
  static std::deque<Piece>& queue_of(std::vector<Queue<Piece>>& queues, const StreamRef& stream);

  const DriverTable& driver_;
  Outbox& outbox_;
  Lanes& lanes_;
  const MakeCurrent make_current_;

  std::map<uint64_t, BulkIn> ins_;  // by command
  // Pieces of copies that the log has not come to, by command. As many as there are slots.
  std::map<uint64_t, std::vector<ArrivedChunk>> early_;
  std::vector<ArrivedChunk> arrived_;
  transport::Clock::time_point last_arrival_;  // or since when more could have arrived
  std::vector<Queue<Writing>> writing_;

  std::map<uint64_t, std::unique_ptr<BulkOut>> outs_;  // by command
  std::vector<Queue<Reading>> reading_;
  std::vector<protocol::message::CopyOutData> finished_;  // copies whose last piece has gone

  std::vector<void*> memory_;  // of slots
};

}  // namespace farlane::server
