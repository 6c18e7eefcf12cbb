// The line between the supervisor and one of its workers: short messages over a unix socket that
// keeps their bounds, with a connection attached to one of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "transport/fd.h"

namespace farlane::server {

enum class LinkKind : char {
  kReady = 'r',        // worker: `text` is a farlane.control.Status with its devices
  kFailed = 'f',       // worker: it cannot start, `text` says why; it ends itself
  kEnded = 'e',        // worker: its session ended, `text` says why; it ends itself
  kErrorPipe = 'p',    // worker: what it writes on its standard error is to be found here when it
  kErrorMemory = 'm',  // is dead (server/last_words.h)
  kTake = 't',    // supervisor: the attached connection is yours; `text` is the session's token,
                  // kSessionTokenBytes long, and its name
  kLane = 'l',    // supervisor: the attached connection asks to be a bulk lane of your session
  kDrain = 'd',   // supervisor: end your session
  kShare = 's',   // worker: a question's number, a name and data to keep by it, with a descriptor
  kOpen = 'o',    // worker: a question's number and a name
  kForget = 'x',  // worker: a name that it shared
  kShared = 'a',  // supervisor: the question's number, 1 or 0, data; with the descriptor of a kOpen
};

inline constexpr size_t kSessionTokenBytes = 16;

// A number in front of a message's text, by which its answer is known.
inline constexpr size_t kQuestionBytes = 8;
std::string question_text(uint64_t question);
bool read_question(const std::string& text, uint64_t* question);

struct LinkMessage {
  LinkKind kind = LinkKind::kReady;
  std::string text;
  transport::Fd fd;  // kErrorPipe, kErrorMemory, kTake, kLane, kShare, kShared
};

enum class LinkStatus : uint8_t { kDone, kNothing, kGone };

// Both ends, for the supervisor and to be inherited by the worker.
struct LinkPair {
  transport::Fd supervisor;  // non-blocking
  transport::Fd worker;
};
bool make_link(LinkPair* pair, std::string* error);

// False: the other side is gone.
bool send_link(int link, LinkKind kind, const std::string& text, int fd = -1);
// Blocks if the socket does; kNothing only if it does not.
LinkStatus receive_link(int link, LinkMessage* message);

}  // namespace farlane::server
