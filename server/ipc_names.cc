#include "server/ipc_names.h"

#include <spdlog/spdlog.h>

#include "server/ipc.h"

namespace farlane::server {

void IpcNames::on_message(pid_t worker, int link, LinkMessage message) {
  if (message.kind == LinkKind::kForget) {
    const auto found = names_.find(message.text);
    if (found != names_.end() && found->second.owner == worker) erase(found);
    return;
  }
  uint64_t question = 0;
  if (!read_question(message.text, &question) ||
      message.text.size() < kQuestionBytes + kIpcNameBytes) {
    return;
  }
  const std::string name = message.text.substr(kQuestionBytes, kIpcNameBytes);
  std::string reply = question_text(question);
  int fd = -1;
  if (message.kind == LinkKind::kShare) {
    // A name is random: one that is there already is somebody's mistake or malice.
    bool known = false;
    const bool has_descriptor = static_cast<bool>(message.fd);
    std::string data = message.text.substr(kQuestionBytes + kIpcNameBytes);
    Count& own = counts_[worker];
    if (data.size() > kDataBytesMax) {
      spdlog::warn("worker {} cannot share what {} bytes say ({} at most)", worker, data.size(),
                   kDataBytesMax);
    } else if (own.names >= names_max_ - names_.size() ||
               (has_descriptor && own.descriptors >= kDescriptorsMax - descriptors_)) {
      spdlog::warn(
          "worker {} cannot share more: it shares {} things, {} of them memory, all sessions {} "
          "and {} (limits {} and {}, and none may have more than is left)",
          worker, own.names, own.descriptors, names_.size(), descriptors_, names_max_,
          kDescriptorsMax);
    } else {
      known =
          names_.try_emplace(name, Shared{worker, std::move(data), std::move(message.fd)}).second;
      own.names += known ? 1 : 0;
      own.descriptors += known && has_descriptor ? 1 : 0;
      descriptors_ += known && has_descriptor ? 1 : 0;
    }
    reply.push_back(known ? 1 : 0);
  } else if (const auto found = names_.find(name); found != names_.end()) {
    reply.push_back(1);
    reply += found->second.data;
    fd = found->second.fd.get();
  } else {
    reply.push_back(0);
  }
  // One that is gone needs no answer.
  static_cast<void>(send_link(link, LinkKind::kShared, reply, fd));
}

void IpcNames::erase(std::map<std::string, Shared>::iterator name) {
  const size_t descriptors = name->second.fd ? 1 : 0;
  Count& own = counts_[name->second.owner];
  --own.names;
  own.descriptors -= descriptors;
  descriptors_ -= descriptors;
  names_.erase(name);
}

void IpcNames::forget_all(pid_t worker) {
  for (auto name = names_.begin(); name != names_.end();) {
    const auto one = name++;
    if (one->second.owner == worker) erase(one);
  }
  counts_.erase(worker);
}

}  // namespace farlane::server
