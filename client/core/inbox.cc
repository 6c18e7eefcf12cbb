#include "client/core/inbox.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "client/core/cudax.h"
#include "client/core/log_line.h"
#include "client/core/stats.h"
#include "generated/protocol/dispatch.h"
#include "protocol/control_client.h"
#include "protocol/sticky_errors.h"

namespace farlane::client {
namespace {

using transport::Clock;
using transport::ReceiveStatus;

// A sleeping receiver looks at the clock at least this often.
constexpr auto kWaitSlice = std::chrono::milliseconds(250);
constexpr std::chrono::nanoseconds kSliceAtMost = 2 * kWaitSlice;
// A blocked sender that another thread looks out for tries again at least this often.
constexpr auto kBlockedSlice = std::chrono::milliseconds(5);

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
      .count();
}

void spin_pause() {
  __builtin_ia32_pause();
}

}  // namespace

void PostedErrors::note(CUresult result, bool sticky) {
  int none = CUDA_SUCCESS;
  (sticky ? sticky_ : pending_).compare_exchange_strong(none, result);
}

CUresult PostedErrors::take() {
  if (const int result = sticky_.load(std::memory_order_acquire); result != CUDA_SUCCESS) {
    return static_cast<CUresult>(result);
  }
  if (pending_.load(std::memory_order_relaxed) == CUDA_SUCCESS) {
    return CUDA_SUCCESS;
  }
  return static_cast<CUresult>(pending_.exchange(CUDA_SUCCESS));
}

bool PostedErrors::note_library(uint32_t library, int status) {
  int none = 0;
  return library < kLibrariesMax && libraries_[library].compare_exchange_strong(none, status);
}

int PostedErrors::take_library(uint32_t library) {
  if (library >= kLibrariesMax || libraries_[library].load(std::memory_order_relaxed) == 0) {
    return 0;
  }
  return libraries_[library].exchange(0);
}

void PostedErrors::clear() {
  sticky_ = CUDA_SUCCESS;
  pending_ = CUDA_SUCCESS;
}

Inbox::Inbox(transport::Channel* channel, const InboxOptions& options, Loss* loss,
             PostedErrors* errors)
    : channel_(channel), options_(options), spin_(options.spin_us), loss_(loss), errors_(errors) {
  last_received_ns_ = now_ns();
}

Inbox::~Inbox() {
  for (auto& [id, ticket] : tickets_) {
    if (ticket->detached) {
      delete ticket;
    }
  }
}

void Inbox::expect(Waiter* waiter, uint64_t sequence) {
  std::lock_guard lock(mutex_);
  waiter->sequence = sequence;
  waiter->done.store(false, std::memory_order_relaxed);
  waiters_.push_back(waiter);
}

void Inbox::forget(Waiter* waiter) {
  std::lock_guard lock(mutex_);
  std::erase(waiters_, waiter);
}

void Inbox::expect(Ticket* ticket) {
  std::lock_guard lock(mutex_);
  tickets_.emplace(ticket->id, ticket);
  tickets_open_.fetch_add(1, std::memory_order_release);
  if (ticket->detached) {
    detached_open_.fetch_add(1, std::memory_order_release);
  }
}

void Inbox::abandon(Ticket* ticket) {
  {
    std::lock_guard lock(mutex_);
    if (tickets_.contains(ticket->id)) {
      ticket->detached = true;  // a thread may be receiving into it: freed there, or at the end
      detached_open_.fetch_add(1, std::memory_order_release);
      return;
    }
  }
  delete ticket;
}

bool Inbox::tickets_pending(uint64_t sequence, const std::function<bool(uint64_t)>& concerns) {
  if (!has_tickets()) {
    return false;
  }
  std::lock_guard lock(mutex_);
  return std::any_of(tickets_.begin(), tickets_.end(), [&](const auto& entry) {
    // What the server has told to be over is over for all streams, also while it is landing.
    return entry.second->sequence <= sequence &&
           (entry.second->announced || concerns(entry.second->stream));
  });
}

bool Inbox::tickets_into(uint64_t start, size_t bytes) {
  if (!has_tickets()) {
    return false;
  }
  std::lock_guard lock(mutex_);
  return std::any_of(tickets_.begin(), tickets_.end(), [&](const auto& entry) {
    const Ticket& ticket = *entry.second;
    const auto to = reinterpret_cast<uint64_t>(ticket.to);
    return to < start + bytes && start < to + ticket.pitch * (ticket.height - 1) + ticket.width;
  });
}

bool Inbox::take_control(std::vector<std::byte>* message) {
  if (!control_arrived_.load(std::memory_order_acquire)) {
    return false;
  }
  *message = std::move(control_);
  control_arrived_.store(false, std::memory_order_release);
  return true;
}

bool Inbox::check_silence(Clock::time_point waiting_since, const char* reason) {
  const int64_t now = now_ns();
  int64_t since_ns = std::max(
      last_received_ns_.load(std::memory_order_relaxed),
      static_cast<int64_t>(
          std::chrono::duration_cast<std::chrono::nanoseconds>(waiting_since.time_since_epoch())
              .count()));
  // Who waits looks here every kWaitSlice. Where that took far longer, this process did not run: it
  // was stopped, or its machine slept. That was not the server's silence.
  const int64_t looked_ns = std::max(looked_ns_.exchange(now, std::memory_order_relaxed), since_ns);
  since_ns = std::max(since_ns, silent_since_ns_.load(std::memory_order_relaxed)) +
             std::max<int64_t>(now - looked_ns - kSliceAtMost.count(), 0);
  silent_since_ns_.store(since_ns, std::memory_order_relaxed);
  const int64_t silent_ms = (now - since_ns) / 1'000'000;
  if (silent_ms < options_.silence_ms) {
    return false;
  }
  loss_->declare("the server " + channel_->peer_name() + " has said nothing for " +
                 std::to_string(silent_ms) + " ms while the program waited for " + reason +
                 "; the session is lost (limit: timeouts.call_timeout_ms = " +
                 std::to_string(options_.silence_ms) + ")");
  channel_->close();
  return true;
}

bool Inbox::receive_one() {
  switch (channel_->receive(*this)) {
    case ReceiveStatus::kDelivered:
      counters_.frames.fetch_add(1, std::memory_order_relaxed);
      return true;
    case ReceiveStatus::kStalled:  // place() always has a place
    case ReceiveStatus::kNothing:
      return false;
    case ReceiveStatus::kGone:
      loss_->declare("the connection to the server " + channel_->peer_name() +
                     " ended: " + channel_->close_reason() +
                     "; the session is lost (the server's log says more; see `farlane doctor`)");
      return false;
  }
  return false;
}

bool Inbox::receive_available() {
  bool any = false;
  while (receive_one()) {
    any = true;
  }
  if (any) {
    last_received_ns_.store(now_ns(), std::memory_order_relaxed);
  }
  return any;
}

void Inbox::receive_until(const std::function<bool()>& done, const char* reason,
                          Clock::time_point since) {
  bool spinning = spin_.now().count() > 0;
  // Leaves with the frame it waited for: looking for another would cost a system call.
  while (!done() && !loss_->declared()) {
    if (receive_one()) {
      last_received_ns_.store(now_ns(), std::memory_order_relaxed);
      wake_followers();
      continue;
    }
    if (spinning) {
      spin_pause();
      spinning = spin_.goes_on(Clock::now() - since);
      continue;
    }
    counters_.sleeps.fetch_add(1, std::memory_order_relaxed);
    wait_for_traffic(Clock::now() + kWaitSlice);
    if (receive_one()) {
      last_received_ns_.store(now_ns(), std::memory_order_relaxed);
      wake_followers();
    } else {
      check_silence(since, reason);
    }
  }
  spin_.waited(Clock::now() - since);
}

void Inbox::leave_role() {
  role_taken_.store(false, std::memory_order_seq_cst);
  wake_followers();
}

void Inbox::wake_followers() {
  if (followers_.load(std::memory_order_seq_cst) != 0) {
    std::lock_guard lock(follow_mutex_);
    follow_.notify_all();
  }
}

bool Inbox::wait_slow(const std::function<bool()>& done, const char* reason) {
  const stats::WaitTimer timer(reason);
  const auto since = Clock::now();
  while (!done()) {
    if (loss_->declared()) {
      return false;
    }
    if (take_role()) {
      receive_until(done, reason, since);
      leave_role();
      continue;
    }
    std::unique_lock lock(follow_mutex_);
    followers_.fetch_add(1, std::memory_order_seq_cst);
    if (role_taken_.load(std::memory_order_seq_cst) && !done() && !loss_->declared()) {
      counters_.follows.fetch_add(1, std::memory_order_relaxed);
      follow_.wait_for(lock, kWaitSlice);
    }
    followers_.fetch_sub(1, std::memory_order_seq_cst);
  }
  return true;
}

void Inbox::wait_for_traffic(transport::Deadline deadline) {
  const bool for_write = blocked_senders_.load(std::memory_order_seq_cst) != 0;
  if (channel_->wait(true, for_write, deadline).writable) {
    wake_followers();
  }
}

bool Inbox::pump_once(transport::Deadline deadline) {
  if (!take_role()) {
    return false;
  }
  wait_for_traffic(deadline);
  receive_available();
  leave_role();
  return true;
}

void Inbox::wait_writable(transport::Deadline deadline) {
  blocked_senders_.fetch_add(1, std::memory_order_seq_cst);
  if (!pump_once(deadline)) {
    channel_->wake();  // whoever has the role waits anew, now also for us
    std::unique_lock lock(follow_mutex_);
    followers_.fetch_add(1, std::memory_order_seq_cst);
    if (role_taken_.load(std::memory_order_seq_cst)) {
      follow_.wait_until(lock, std::min(deadline, Clock::now() + kBlockedSlice));
    }
    followers_.fetch_sub(1, std::memory_order_seq_cst);
  }
  blocked_senders_.fetch_sub(1, std::memory_order_seq_cst);
}

void Inbox::drain() {
  if (take_role()) {
    receive_available();
    leave_role();
  }
}

Inbox::Ticket* Inbox::find_ticket(uint64_t id) {
  std::lock_guard lock(mutex_);
  auto found = tickets_.find(id);
  return found == tickets_.end() ? nullptr : found->second;
}

// With the lock. Afterwards the ticket is its caller's, or gone.
void Inbox::close_ticket(Ticket* ticket) {
  tickets_.erase(ticket->id);
  tickets_open_.fetch_sub(1, std::memory_order_release);
  if (ticket->detached) {
    detached_open_.fetch_sub(1, std::memory_order_release);
    delete ticket;
  } else {
    ticket->done.store(true, std::memory_order_seq_cst);
  }
}

transport::MutableBytes Inbox::place(transport::Bytes head, uint32_t body_bytes) {
  // Straight into the program's memory when the rows there are packed too.
  protocol::RecordCursor records(head);
  protocol::Record record;
  protocol::message::CopyOutData data;
  protocol::Fault fault;
  while (records.next(record)) {
  }
  if (static_cast<protocol::Op>(record.header.op) == protocol::Op::kCopyOutData &&
      decode(record, data, fault)) {
    const Ticket* ticket = find_ticket(data.ticket);
    if (ticket != nullptr && (ticket->height == 1 || ticket->pitch == ticket->width)) {
      const uint64_t bytes = uint64_t{ticket->width} * ticket->height;
      if (data.offset <= bytes && body_bytes <= bytes - data.offset) {
        return {ticket->to + data.offset, body_bytes};
      }
    }
  }
  if (scratch_.size() < body_bytes) {
    scratch_.resize(body_bytes);
  }
  return {scratch_.data(), body_bytes};
}

void Inbox::deliver(transport::Bytes head, transport::MutableBytes body) {
  // One receiver at a time: no need for an atomic addition.
  counters_.bytes.store(counters_.bytes.load(std::memory_order_relaxed) + head.size() + body.size(),
                        std::memory_order_relaxed);
  const protocol::DispatchResult result = protocol::dispatch_event_frame(head, body, *this);
  if (result.status == protocol::DispatchStatus::kMalformed) {
    fail("sent a malformed frame (" + result.fault.text() + ")");
  }
}

void Inbox::fail(const std::string& what) {
  loss_->declare("the server " + channel_->peer_name() + " " + what +
                 "; the session is lost (are client and server of the same release? see `farlane "
                 "doctor`)");
  channel_->close();
}

void Inbox::on_reply(const protocol::Record& record) {
  std::lock_guard lock(mutex_);
  auto found = std::find_if(waiters_.begin(), waiters_.end(), [&](const Waiter* waiter) {
    return waiter->sequence == record.header.sequence;
  });
  if (found == waiters_.end()) {
    return;  // its caller gave up
  }
  Waiter* waiter = *found;
  waiters_.erase(found);
  uint64_t* words = waiter->few.data();
  if (record.payload.size() > sizeof waiter->few) {
    waiter->many.resize((record.payload.size() + 7) / 8);
    words = waiter->many.data();
  }
  std::memcpy(words, record.payload.data(), record.payload.size());
  waiter->record.header = record.header;
  waiter->record.payload = {reinterpret_cast<const std::byte*>(words), record.payload.size()};
  waiter->done.store(true, std::memory_order_release);
}

bool Inbox::on(const protocol::RecordHeader&, const protocol::message::ControlReply& reply) {
  if (is_open_.load(std::memory_order_relaxed)) {
    protocol::control::Control control;
    std::string wrong;
    const protocol::control::Goodbye* goodbye = nullptr;
    if (protocol::control::decode(reply.message, &control, &wrong)) {
      goodbye = std::get_if<protocol::control::Goodbye>(&control);
    }
    if (goodbye != nullptr) {
      loss_->declare("the server " + channel_->peer_name() +
                     " ended the session: " + goodbye->text);
      channel_->close();
    }
    return true;
  }
  if (control_arrived_.load(std::memory_order_acquire)) {
    return true;  // one at a time is all that a server sends; a second one has nothing to say to us
  }
  control_.assign(reply.message.begin(), reply.message.end());
  control_arrived_.store(true, std::memory_order_release);
  return true;
}

void Inbox::on(const protocol::RecordHeader&, const protocol::message::Ack& ack) {
  taken_bytes_.store(ack.taken_bytes, std::memory_order_release);
}

void Inbox::on(const protocol::RecordHeader&, const protocol::message::PostedError& error) {
  const auto result = static_cast<CUresult>(error.result);
  log_line(LogLevel::kInfo, error.what);
  errors_->note(result, error.sticky != 0 || protocol::is_sticky(result));
}

void Inbox::on(const protocol::RecordHeader&, const protocol::message::CudaxError& error) {
  // Its status comes out of another call, or of none if the program makes no more: here is its
  // name.
  const bool is_told = errors_->note_library(error.function >> 16, error.status);
  log_line(is_told ? LogLevel::kWarning : LogLevel::kInfo, error.what);
}

void Inbox::on(const protocol::RecordHeader&, const protocol::message::CudaxState& state) {
  if (!state.what.empty()) {
    log_line(LogLevel::kInfo, state.what);
  }
  cudax::note_status(state.object, state.status, state.what);
}

void Inbox::on(const protocol::RecordHeader&, const protocol::message::Output& output) {
  // Through stdio, so that it keeps its order with what the program itself prints.
  std::FILE* file = output.fd == 2 ? stderr : stdout;
  std::fwrite(output.text.data(), 1, output.text.size(), file);
}

void Inbox::on(const protocol::RecordHeader&, const protocol::message::HostCallDue& due) {
  const auto result = static_cast<CUresult>(due.result);
  if (protocol::is_sticky(result)) {
    errors_->note(result, true);
  }
  if (host_call_due_) {
    host_call_due_(due.ticket, result);
  }
}

bool Inbox::on(const protocol::RecordHeader&, const protocol::message::CopyOutData& data,
               std::span<std::byte> body) {
  Ticket* ticket = find_ticket(data.ticket);
  if (ticket == nullptr) {
    return true;
  }
  if (ticket->by_lanes) {
    if (!all_sent(ticket, data)) {
      fail("sent data of a copy on the wrong connection");
      return false;
    }
    return true;
  }
  const std::span<const std::byte> bytes =
      data.data.empty() ? std::span<const std::byte>(body) : data.data;
  const uint64_t total = uint64_t{ticket->width} * ticket->height;
  if (data.offset > total || bytes.size() > total - data.offset) {
    fail("sent more bytes than a copy asked for");
    return false;
  }
  if (bytes.data() != ticket->to + data.offset) {
    size_t done = 0;
    while (done < bytes.size()) {
      const uint64_t at = data.offset + done;
      const size_t row = at / ticket->width;
      const size_t column = at % ticket->width;
      const size_t part = std::min(bytes.size() - done, ticket->width - column);
      std::memcpy(ticket->to + row * ticket->pitch + column, bytes.data() + done, part);
      done += part;
    }
  }
  if (data.last != 0) {
    ticket->result = static_cast<CUresult>(data.result);
    // A waiting caller returns its own copy's error; nobody else would tell a detached one's.
    if (protocol::is_sticky(ticket->result) ||
        (ticket->detached && ticket->result != CUDA_SUCCESS)) {
      errors_->note(ticket->result, protocol::is_sticky(ticket->result));
    }
    std::lock_guard lock(mutex_);
    close_ticket(ticket);
  }
  return true;
}

}  // namespace farlane::client
