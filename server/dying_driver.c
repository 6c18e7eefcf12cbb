// A driver for tests: the software device, but setting a limit writes a message and ends the
// process, in the way that the limit's value says.
#include <cuda.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

CUresult cuCtxSetLimit(CUlimit limit, size_t value) {
  (void)limit;
  // A line such as the log's own must not pass for one.
  fprintf(stderr, "\n2026-01-01 00:00:00.000 [%s] gpuserverd: I say so\nlast words, way %zu\n",
          "critical\x1b", value);
  if (value == 0) abort();
  if (value == 1) _exit(3);
  raise(SIGKILL);
  return CUDA_SUCCESS;
}
