#include "server/softcuda/exec_printf.h"

#include <cstdio>
#include <cstring>

#include "server/softcuda/exec_builtin.h"
#include "server/softcuda/exec_memory.h"

namespace farlane::softcuda {
namespace {

constexpr size_t kStringBytesMax = 1u << 20;

class Formatter {
 public:
  Formatter(Warp& warp, uint32_t lane, uint64_t arguments)
      : warp_(warp), lane_(lane), arguments_(arguments) {}

  std::string run(const std::string& format) {
    size_t i = 0;
    while (i < format.size() && !warp_.faulted) {
      if (format[i] != '%') {
        out_ += format[i++];
        continue;
      }
      if (i + 1 < format.size() && format[i + 1] == '%') {
        out_ += '%';
        i += 2;
        continue;
      }
      i = conversion(format, i);
    }
    return out_;
  }
  int32_t count() const { return count_; }

 private:
  template <class T>
  T argument() {
    offset_ = (offset_ + sizeof(T) - 1) / sizeof(T) * sizeof(T);
    T value{};
    const std::byte* from = translate(warp_, lane_, Space::kGeneric, arguments_ + offset_,
                                      sizeof(T), "printf argument", 0);
    if (from != nullptr) std::memcpy(&value, from, sizeof(T));
    offset_ += sizeof(T);
    ++count_;
    return value;
  }

  template <class T>
  void print(const std::string& spec, T value) {
    int length = std::snprintf(nullptr, 0, spec.c_str(), value);
    if (length < 0) return;
    size_t at = out_.size();
    out_.resize(at + static_cast<size_t>(length) + 1);
    std::snprintf(out_.data() + at, static_cast<size_t>(length) + 1, spec.c_str(), value);
    out_.pop_back();
  }

  // Formats the conversion that starts at `i` and returns where the text goes on. What is not a
  // conversion is copied.
  size_t conversion(const std::string& format, size_t start) {
    std::string spec = "%";
    size_t i = start + 1;
    auto peek = [&] { return i < format.size() ? format[i] : '\0'; };
    while (peek() != '\0' && std::strchr("-+ #0", peek()) != nullptr) spec += format[i++];
    auto number = [&] {
      if (peek() == '*') {
        spec += std::to_string(argument<int32_t>());
        ++i;
      } else {
        while (peek() >= '0' && peek() <= '9') spec += format[i++];
      }
    };
    number();
    if (peek() == '.') {
      spec += format[i++];
      number();
    }
    int longs = 0;
    int shorts = 0;
    while (peek() != '\0' && std::strchr("hlLqjzt", peek()) != nullptr) {
      char c = format[i++];
      if (c == 'h') {
        ++shorts;
      } else {
        ++longs;
      }
    }
    const char kind = peek();
    ++i;
    switch (kind) {
      case 'd':
      case 'i':
        if (longs > 0) {
          print(spec + "ll" + kind, argument<long long>());
        } else {
          print(spec + std::string(static_cast<size_t>(shorts), 'h') + kind, argument<int32_t>());
        }
        break;
      case 'u':
      case 'o':
      case 'x':
      case 'X':
        if (longs > 0) {
          print(spec + "ll" + kind, argument<unsigned long long>());
        } else {
          print(spec + std::string(static_cast<size_t>(shorts), 'h') + kind, argument<uint32_t>());
        }
        break;
      case 'c':
        print(spec + kind, argument<int32_t>());
        break;
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
      case 'a':
      case 'A':
        print(spec + kind, argument<double>());
        break;
      case 'p':
        print(spec + kind, reinterpret_cast<void*>(argument<uint64_t>()));
        break;
      case 's': {
        uint64_t address = argument<uint64_t>();
        std::string text = "(null)";
        if (address != 0 && !read_string(warp_, lane_, address, &text)) {
          raise_fault(warp_, Fault::kIllegalAddress, lane_,
                      "printf of a string at " + hex(address));
        }
        print(spec + kind, text.c_str());
        break;
      }
      default:
        out_.append(format, start, i - start);
        break;
    }
    return i;
  }

  Warp& warp_;
  uint32_t lane_;
  uint64_t arguments_;
  uint64_t offset_ = 0;
  int32_t count_ = 0;
  std::string out_;
};

}  // namespace

bool read_string(Warp& warp, uint32_t lane, uint64_t address, std::string* text) {
  text->clear();
  while (text->size() < kStringBytesMax) {
    const std::byte* from = find_host(warp, lane, Space::kGeneric, address++, 1);
    if (from == nullptr) return false;
    char c = static_cast<char>(load_relaxed<std::byte>(from));
    if (c == '\0') return true;
    text->push_back(c);
  }
  return true;
}

int32_t device_printf(Warp& warp, uint32_t lane, uint64_t format, uint64_t arguments) {
  std::string text;
  if (!read_string(warp, lane, format, &text)) {
    raise_fault(warp, Fault::kIllegalAddress, lane, "printf with a format at " + hex(format));
    return -1;
  }
  Formatter formatter(warp, lane, arguments);
  std::string out = formatter.run(text);
  if (warp.faulted || warp.grid->config->output == nullptr) return -1;
  warp.grid->config->output->write_stdout(out);
  return formatter.count();
}

}  // namespace farlane::softcuda
