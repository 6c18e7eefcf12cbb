// Kernels of the system tests. extern "C", so that they are found by their plain names.
extern "C" {

// Applied twice in the wrong order it gives another result: shows what ran when.
__global__ void scale_add(unsigned* data, unsigned count, unsigned factor, unsigned summand) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) data[i] = data[i] * factor + summand;
}

// Ends when somebody else has stored a non-zero value.
__global__ void wait_for(volatile unsigned* gate) {
  while (*gate == 0) {
  }
}

__global__ void store(unsigned* address, unsigned value) {
  *address = value;
}
}
