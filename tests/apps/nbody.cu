// All-pairs gravity with tiles in shared memory, rsqrtf and float4; compared with double on the
// CPU.
#include "check.h"

constexpr int kBlock = 64;
constexpr float kSoftening2 = 0.01f;

__global__ void forces(const float4* bodies, float3* acceleration, int n) {
  __shared__ float4 tile[kBlock];
  int i = blockIdx.x * kBlock + threadIdx.x;
  float4 me = i < n ? bodies[i] : make_float4(0, 0, 0, 0);
  float3 a = make_float3(0, 0, 0);
  for (int base = 0; base < n; base += kBlock) {
    int j = base + threadIdx.x;
    tile[threadIdx.x] = j < n ? bodies[j] : make_float4(0, 0, 0, 0);
    __syncthreads();
#pragma unroll 4
    for (int k = 0; k < kBlock; ++k) {
      float4 b = tile[k];
      float dx = b.x - me.x, dy = b.y - me.y, dz = b.z - me.z;
      float inv = rsqrtf(dx * dx + dy * dy + dz * dz + kSoftening2);
      float s = b.w * inv * inv * inv;
      a.x += dx * s;
      a.y += dy * s;
      a.z += dz * s;
    }
    __syncthreads();
  }
  if (i < n) acceleration[i] = a;
}

__global__ void integrate(float4* bodies, float3* velocity, const float3* a, float dt, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float4 p = bodies[i];
  float3 v = velocity[i];
  v.x += a[i].x * dt;
  v.y += a[i].y * dt;
  v.z += a[i].z * dt;
  p.x += v.x * dt;
  p.y += v.y * dt;
  p.z += v.z * dt;
  velocity[i] = v;
  bodies[i] = p;
}

int main(int argc, char** argv) {
  int n = 300 * check::scale(argc, argv), steps = 3;
  const float dt = 0.01f;
  std::vector<float4> bodies(n);
  check::Rng rng(8);
  for (float4& b : bodies)
    b = make_float4(rng.next_float() * 2 - 1, rng.next_float() * 2 - 1, rng.next_float() * 2 - 1,
                    rng.next_float() * 0.01f);
  std::vector<double> p(3 * n), v(3 * n), a(3 * n);
  for (int i = 0; i < n; ++i) {
    p[3 * i] = bodies[i].x;
    p[3 * i + 1] = bodies[i].y;
    p[3 * i + 2] = bodies[i].z;
  }
  check::DeviceArray<float4> dbodies(bodies);
  check::DeviceArray<float3> dvelocity(n), dacc(n);
  dvelocity.zero();
  for (int t = 0; t < steps; ++t) {
    forces<<<(n + kBlock - 1) / kBlock, kBlock>>>(dbodies.get(), dacc.get(), n);
    LAUNCH_CHECK();
    integrate<<<(n + 127) / 128, 128>>>(dbodies.get(), dvelocity.get(), dacc.get(), dt, n);
    LAUNCH_CHECK();
    for (int i = 0; i < n; ++i) {
      double s[3] = {0, 0, 0};
      for (int j = 0; j < n; ++j) {
        double d[3], r2 = kSoftening2;
        for (int c = 0; c < 3; ++c) {
          d[c] = p[3 * j + c] - p[3 * i + c];
          r2 += d[c] * d[c];
        }
        double w = bodies[j].w / (r2 * std::sqrt(r2));
        for (int c = 0; c < 3; ++c) s[c] += d[c] * w;
      }
      for (int c = 0; c < 3; ++c) a[3 * i + c] = s[c];
    }
    for (int i = 0; i < 3 * n; ++i) {
      v[i] += a[i] * dt;
      p[i] += v[i] * dt;
    }
  }
  std::vector<float4> got = dbodies.fetch();
  std::vector<float> flat;
  for (const float4& b : got) {
    flat.push_back(b.x);
    flat.push_back(b.y);
    flat.push_back(b.z);
  }
  check::close("positions", flat.data(), p.data(), flat.size(), 1e-4);
  return check::finish();
}
