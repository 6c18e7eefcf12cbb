// The inbox's side of the bulk lanes: pieces of copies to the host that come on lanes, in any
// order, on the lanes' threads. A copy is done when the command lane has said how much was sent and
// all of it is here.
#include <algorithm>
#include <cstring>

#include "client/core/inbox.h"
#include "protocol/record.h"
#include "protocol/sticky_errors.h"

namespace farlane::client {
namespace {

bool decode_piece(transport::Bytes head, protocol::message::CopyOutData* data) {
  protocol::RecordCursor records(head);
  protocol::Record record;
  protocol::Fault fault;
  return records.next(record) && records.at_end() && !record.is_reply() &&
         record.header.op == static_cast<uint16_t>(protocol::Op::kCopyOutData) &&
         decode(record, *data, fault);
}

}  // namespace

transport::MutableBytes Inbox::place_on_lane(transport::Bytes head, uint32_t body_bytes,
                                             std::vector<std::byte>* scratch) {
  protocol::message::CopyOutData data;
  if (decode_piece(head, &data)) {
    std::lock_guard lock(mutex_);
    const auto found = tickets_.find(data.ticket);
    if (found != tickets_.end() && found->second->by_lanes) {
      Ticket& ticket = *found->second;
      const uint64_t total = uint64_t{ticket.width} * ticket.height;
      // No more than was asked for, so that nothing is written to after the copy is done.
      if (data.offset <= total && body_bytes <= total - data.offset &&
          ticket.landing + ticket.arrived + body_bytes <= total) {
        ticket.landing += body_bytes;
        if (ticket.height == 1 || ticket.pitch == ticket.width) {
          return {ticket.to + data.offset, body_bytes};
        }
      }
    }
  }
  scratch->resize(std::max<size_t>(scratch->size(), body_bytes));
  return {scratch->data(), body_bytes};
}

bool Inbox::deliver_on_lane(transport::Bytes head, transport::MutableBytes body) {
  protocol::message::CopyOutData data;
  if (body.empty() || !decode_piece(head, &data)) {
    return false;
  }
  Ticket* ticket = nullptr;
  {
    std::lock_guard lock(mutex_);
    const auto found = tickets_.find(data.ticket);
    // What place_on_lane() did not count was not asked for.
    if (found == tickets_.end() || !found->second->by_lanes ||
        found->second->landing < body.size()) {
      return false;
    }
    ticket = found->second;  // stays while something is landing
  }
  const uint64_t total = uint64_t{ticket->width} * ticket->height;
  if (data.offset > total || body.size() > total - data.offset) {
    return false;
  }
  if (body.data() != ticket->to + data.offset) {
    for (size_t done = 0; done < body.size();) {
      const uint64_t at = data.offset + done;
      const size_t column = at % ticket->width;
      const size_t part = std::min(body.size() - done, ticket->width - column);
      std::memcpy(ticket->to + at / ticket->width * ticket->pitch + column, body.data() + done,
                  part);
      done += part;
    }
  }
  last_received_ns_.store(std::chrono::duration_cast<std::chrono::nanoseconds>(
                              transport::Clock::now().time_since_epoch())
                              .count(),
                          std::memory_order_relaxed);
  bool over = false;
  {
    std::lock_guard lock(mutex_);
    ticket->landing -= body.size();
    ticket->arrived += body.size();
    over = finish_if_all_here(ticket);
  }
  if (over) {
    notify();
  }
  return true;
}

bool Inbox::all_sent(Ticket* ticket, const protocol::message::CopyOutData& last) {
  std::lock_guard lock(mutex_);
  if (last.last == 0 || ticket->announced ||
      last.offset > uint64_t{ticket->width} * ticket->height) {
    return false;
  }
  ticket->announced = true;
  ticket->expected = last.offset;
  ticket->result = static_cast<CUresult>(last.result);
  if (protocol::is_sticky(ticket->result) || (ticket->detached && ticket->result != CUDA_SUCCESS)) {
    errors_->note(ticket->result, protocol::is_sticky(ticket->result));
  }
  finish_if_all_here(ticket);
  return true;
}

// With the lock.
bool Inbox::finish_if_all_here(Ticket* ticket) {
  if (!ticket->announced || ticket->landing != 0 || ticket->arrived != ticket->expected) {
    return false;
  }
  close_ticket(ticket);
  return true;
}

void Inbox::notify() {
  channel_->wake();
  wake_followers();
}

}  // namespace farlane::client
