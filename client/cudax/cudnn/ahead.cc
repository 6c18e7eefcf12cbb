#include "client/cudax/cudnn/ahead.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <unordered_map>

#include "generated/client/cudnn_facts.h"
#include "protocol/cudnn_elements.h"

namespace farlane::client::cudax::cudnn {
namespace {

constexpr size_t kAheadMax = 64;       // questions of one round trip
constexpr size_t kAttributesMax = 64;  // of one family; a program asks for about ten

// What one call has filled.
struct Family {
  std::vector<uint64_t> members;  // in order
  // How many members were asked: the attribute, and the one that leads to the descriptor that has
  // it (or 0: the member itself).
  std::map<std::tuple<int, int, int>, size_t> asked;
};
struct Kin {
  std::shared_ptr<Family> family;  // null: filled alone, with `attribute` of `parent`
  size_t index = 0;
  uint64_t parent = 0;
  Attribute attribute;
  cudnnBackendDescriptorType_t type{};
};
struct Kinship {
  std::mutex mutex;
  std::unordered_map<uint64_t, Kin> by_name;  // guarded by mutex; of descriptors that live
};
Kinship& kinship() {
  static Kinship* const made = new Kinship;  // never destroyed: programs end late
  return *made;
}

cudnnBackendDescriptor_t descriptor(uint64_t name) {
  return reinterpret_cast<cudnnBackendDescriptor_t>(name);
}

// A descriptor of our own, for as long as this lives. Null: there is none to be had.
class Moment {
 public:
  explicit Moment(cudnnBackendDescriptorType_t type) {
    Call call(kLibrary, k_cudnnBackendCreateDescriptor, "cudnnBackendCreateDescriptor");
    call.value(type);
    call.made(&made_, kBackend);
    call.tells_nothing();
    if (call.post() != kLibrary.success) made_ = nullptr;
  }
  ~Moment() {
    if (made_ == nullptr) return;
    Call call(kLibrary, k_cudnnBackendDestroyDescriptor, "cudnnBackendDestroyDescriptor");
    call.ended(made_, kBackend);
    call.post();
  }
  Moment(const Moment&) = delete;
  cudnnBackendDescriptor_t get() const { return made_; }

 private:
  cudnnBackendDescriptor_t made_ = nullptr;
};

}  // namespace

Question::Question(cudnnBackendDescriptor_t of, const Attribute& attribute,
                   std::span<const cudnnBackendDescriptor_t> targets)
    : call(kLibrary, k_cudnnBackendGetAttribute, "cudnnBackendGetAttribute") {
  const size_t bytes = protocol::cudnn_element_bytes(attribute.type);
  const size_t count = attribute.has_array ? static_cast<size_t>(attribute.requested) : 0;
  call.object(of, kBackend);
  call.value(attribute.name);
  call.value(attribute.type);
  call.value(attribute.requested);
  call.whole(&found, sizeof found);
  results_bytes = sizeof found;
  call.value(uint64_t{attribute.has_array});
  if (attribute.type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    call.objects(targets.data(), targets.size(), kBackend);
    for (const cudnnBackendDescriptor_t target : targets) call.fills(target);
  } else {
    // Programs ask for more elements than they have room for; only as many as there are is
    // written.
    elements.resize(count * bytes + 1);
    call.whole(attribute.has_array ? elements.data() : nullptr, count * bytes);
    results_bytes += (count * bytes + 7) & ~size_t{7};
  }
}

// Several questions in one call, each of which may need that another one has succeeded.
class Batch {
 public:
  void add(cudnnBackendDescriptor_t of, const Attribute& attribute,
           std::span<const cudnnBackendDescriptor_t> targets, bool needs_last) {
    Entry& entry = entries_.emplace_back(of, attribute, targets);
    entry.needs_last = needs_last;
    bytes_ += sizeof(int64_t) + entry.question.results_bytes;
  }
  size_t bytes() const { return bytes_; }

  // Every answer goes where answers are kept.
  void ask() {
    Call call(kLibrary, k_cudnnBackendGetAttribute, "cudnnBackendGetAttribute");
    call.tells_nothing();
    call.value(uint64_t{0});
    call.value(uint64_t{entries_.size()});
    std::vector<std::byte> answers(bytes_);
    call.whole(answers.data(), answers.size());
    for (const Entry& entry : entries_) call.part(entry.question.call);
    if (call.ask(false) != kLibrary.success) return;
    size_t at = 0;
    bool last = false;
    for (Entry& entry : entries_) {
      int64_t is_answered = 0;
      std::memcpy(&is_answered, answers.data() + at, sizeof is_answered);
      at += sizeof is_answered;
      last = is_answered != 0 && (last || !entry.needs_last);
      if (last) {
        entry.question.call.answered({answers.data() + at, entry.question.results_bytes});
      }
      at += entry.question.results_bytes;
    }
  }

 private:
  struct Entry {
    Entry(cudnnBackendDescriptor_t of, const Attribute& attribute,
          std::span<const cudnnBackendDescriptor_t> targets)
        : question(of, attribute, targets) {}
    Question question;
    bool needs_last = false;
  };
  std::deque<Entry> entries_;
  size_t bytes_ = 0;
};

namespace {

// Whom to ask, after the one that is asked about now.
struct Plan {
  std::vector<uint64_t> members;  // the first is the one
  bool is_through = false;        // what is asked is in what `through` fills
  Attribute through;
  cudnnBackendDescriptorType_t type{};
};

Plan plan(uint64_t name, const Attribute& attribute) {
  Plan made;
  Kinship& all = kinship();
  const std::lock_guard lock(all.mutex);
  auto kin = all.by_name.find(name);
  if (kin != all.by_name.end() && kin->second.family == nullptr) {
    made.is_through = true;
    made.through = kin->second.attribute;
    made.type = kin->second.type;
    kin = all.by_name.find(kin->second.parent);
  }
  if (kin == all.by_name.end() || kin->second.family == nullptr) return {};
  Family& family = *kin->second.family;
  const std::tuple what(static_cast<int>(attribute.name), static_cast<int>(attribute.type),
                        made.is_through ? static_cast<int>(made.through.name) + 1 : 0);
  if (family.asked.size() == kAttributesMax && !family.asked.contains(what)) return {};
  size_t& asked = family.asked[what];
  const size_t first = kin->second.index;
  const size_t more = std::min({asked, kAheadMax - 1, family.members.size() - 1 - first});
  asked += 1 + more;
  if (more == 0) return {};
  made.members.assign(family.members.begin() + static_cast<std::ptrdiff_t>(first),
                      family.members.begin() + static_cast<std::ptrdiff_t>(first + 1 + more));
  return made;
}

}  // namespace

void note_filled(uint64_t of, const Attribute& attribute,
                 std::span<const cudnnBackendDescriptor_t> filled,
                 cudnnBackendDescriptorType_t type) {
  Kinship& all = kinship();
  const std::lock_guard lock(all.mutex);
  if (filled.size() == 1) {
    all.by_name[Call::bits(filled[0])] = {.parent = of, .attribute = attribute, .type = type};
    return;
  }
  const auto family = std::make_shared<Family>();
  for (const cudnnBackendDescriptor_t one : filled) {
    all.by_name[Call::bits(one)] = {.family = family, .index = family->members.size()};
    family->members.push_back(Call::bits(one));
  }
}

void forget(uint64_t descriptor) {
  Kinship& all = kinship();
  const std::lock_guard lock(all.mutex);
  all.by_name.erase(descriptor);
}

void ask_ahead(const Object& of, const Attribute& attribute, cudnnBackendDescriptorType_t type) {
  const bool fills = attribute.type == CUDNN_TYPE_BACKEND_DESCRIPTOR && attribute.has_array;
  if (fills && attribute.requested != 1) return;
  const Plan ahead = plan(of.name, attribute);
  if (ahead.members.empty() || (fills && ahead.is_through)) return;
  std::deque<Moment> moments;
  Batch batch;
  for (size_t i = 0; i < ahead.members.size(); ++i) {
    if (batch.bytes() > protocol::cudnn_answers_max) break;
    if (object_find(ahead.members[i], kBackend) == nullptr) continue;
    const cudnnBackendDescriptor_t member = descriptor(ahead.members[i]);
    if (ahead.is_through && i == 0) {
      batch.add(descriptor(of.name), attribute, {}, false);
      continue;
    }
    if (!fills && !ahead.is_through) {
      batch.add(member, attribute, {}, false);
      continue;
    }
    const Moment& moment = moments.emplace_back(ahead.is_through ? ahead.type : type);
    if (moment.get() == nullptr) break;
    const cudnnBackendDescriptor_t targets[] = {moment.get()};
    batch.add(member, fills ? attribute : ahead.through, targets, false);
    if (ahead.is_through) batch.add(moment.get(), attribute, {}, true);
  }
  batch.ask();
}

}  // namespace farlane::client::cudax::cudnn
