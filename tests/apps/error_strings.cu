// The name and the text of every error; nothing here needs a device.
#include "check.h"

int main() {
  int known = 0;
  for (int code = 0; code < 1000; ++code) {
    cudaError_t error = static_cast<cudaError_t>(code);
    const char *name = cudaGetErrorName(error), *text = cudaGetErrorString(error);
    if (!name || !text) {
      check::fail("code %d: null", code);
      break;
    }
    if (std::strcmp(name, "unrecognized error code") == 0) continue;
    ++known;
    std::printf("%d %s: %s\n", code, name, text);
    // Static storage: the same pointer each time.
    EXPECT(cudaGetErrorName(error) == name && cudaGetErrorString(error) == text);
  }
  std::printf("%d errors\n", known);
  std::printf("12345: %s, %s\n", cudaGetErrorName(static_cast<cudaError_t>(12345)),
              cudaGetErrorString(static_cast<cudaError_t>(12345)));
  EXPECT(known > 100);
  return check::finish();
}
