// The CUDA-X libraries of one session: loaded at first use, with the objects that the client named.
// One thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/cudax/call.h"

namespace farlane::server::cudax {

struct Outcome {
  int64_t status = 0;
  bool succeeded = false;
  std::string fault;  // what the peer got wrong; the session must end
  std::string what;   // of a failure, for the log
  std::vector<std::byte> results;
};

class Host {
 public:
  // `path`: folders to look in first, separated by colons.
  Host(std::string path, Names names) : path_(std::move(path)), names_(std::move(names)) {}
  Host(const Host&) = delete;

  struct Version {
    unsigned major = 0;  // 0: not loaded
    unsigned minor = 0;
    unsigned patch = 0;
    std::string text;  // where it was found, or why not
  };
  // A library nobody described is not there either.
  const Version& open(uint32_t library);
  Outcome call(uint32_t function, std::span<const std::byte> arguments, size_t results_max);

  struct Found {
    const Library* library = nullptr;
    const Function* function = nullptr;
    void* address = nullptr;  // null: this version of the library lacks it
  };
  // A function of an opened library; false with *fault set: there is none.
  bool find(uint32_t function, Found* found, std::string* fault);
  const Names& names() const { return names_; }
  // What the library exports beside what is described. Null: it does not, or is not open.
  void* symbol(uint32_t library, const char* name);

 private:
  struct Loaded {
    const Library* library = nullptr;
    void* handle = nullptr;
    Version version;
    std::vector<void*> functions;  // as in the library's table; null: not looked up, or missing
  };
  Loaded& load(uint32_t number);

  const std::string path_;
  const Names names_;
  std::map<uint32_t, Loaded> loaded_;
  Objects objects_;
};

}  // namespace farlane::server::cudax
