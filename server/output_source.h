// Device printf and assert text on its way to the client.
#pragma once

#include <string>

namespace farlane::server {

class OutputSource {
 public:
  virtual ~OutputSource() = default;
  // Everything that has arrived since the last call, moved to *out (fd 1) and *err (fd 2).
  virtual void take(std::string* out, std::string* err) = 0;
};

}  // namespace farlane::server
