#include "server/link_ipc.h"

#include <cstring>

namespace farlane::server {

void LinkIpc::set_wake(std::function<void()> wake) {
  const std::lock_guard lock(mutex_);
  wake_ = std::move(wake);
}

// A supervisor that is gone takes its workers with it; nothing is missed by not looking.
void LinkIpc::share(uint64_t question, const std::string& name, const std::string& data,
                    const transport::Fd& fd) {
  static_cast<void>(
      send_link(link_, LinkKind::kShare, question_text(question) + name + data, fd.get()));
}

void LinkIpc::open(uint64_t question, const std::string& name) {
  static_cast<void>(send_link(link_, LinkKind::kOpen, question_text(question) + name));
}

void LinkIpc::forget(const std::string& name) {
  static_cast<void>(send_link(link_, LinkKind::kForget, name));
}

bool LinkIpc::take(IpcAnswer* answer) {
  const std::lock_guard lock(mutex_);
  if (answers_.empty()) return false;
  *answer = std::move(answers_.front());
  answers_.pop_front();
  return true;
}

void LinkIpc::deliver(LinkMessage message) {
  IpcAnswer answer;
  if (!read_question(message.text, &answer.question) || message.text.size() <= kQuestionBytes) {
    return;
  }
  answer.done = message.text[kQuestionBytes] != 0;
  answer.data = message.text.substr(kQuestionBytes + 1);
  answer.fd = std::move(message.fd);
  const std::lock_guard lock(mutex_);
  answers_.push_back(std::move(answer));
  if (wake_) wake_();
}

}  // namespace farlane::server
