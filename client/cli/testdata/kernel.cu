// The smallest program with device code and a call into the runtime; doctor's tests build it in
// several ways and look at the results.
__global__ void kernel(int* out) { *out = 1; }

int main() {
  kernel<<<1, 1>>>(nullptr);
  return static_cast<int>(cudaDeviceSynchronize());
}
