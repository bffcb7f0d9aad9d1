// A CUDA device played by the CPU, to run unmodified .cu files without a GPU: the threads of a block are threads (or,
// in a file without barriers, turns of a loop), __syncthreads is a barrier, __shared__ is a static, blocks run in turn.
#pragma once

#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

namespace host_cuda {

struct Dim {
  unsigned x = 1, y = 1, z = 1;
};

class Barrier {
 public:
  explicit Barrier(unsigned count) : count_(count), waiting_(count) {}
  void wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    const unsigned turn = turn_;
    if (--waiting_ == 0) {
      waiting_ = count_;
      ++turn_;
      all_.notify_all();
    } else {
      all_.wait(lock, [&] { return turn_ != turn; });
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_;
  unsigned count_, waiting_, turn_ = 0;
};

inline thread_local Dim thread_index{0, 0, 0}, block_index{0, 0, 0};
inline Dim block_size, grid_size;
inline Barrier* barrier = nullptr;
inline unsigned char* dynamic_shared = nullptr;

template <class Kernel>
void run(Dim grid, Dim block, unsigned shared, Kernel kernel) {
  std::vector<unsigned char> arena(shared + 64);
  dynamic_shared = arena.data() + (64 - reinterpret_cast<std::uintptr_t>(arena.data()) % 64);
  grid_size = grid;
  block_size = block;
  const unsigned threads = block.x * block.y * block.z;
  const auto turn = [&](unsigned thread, unsigned b) {
    thread_index = {thread % block.x, thread / block.x % block.y, thread / block.x / block.y};
    block_index = {b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y};
    kernel();
  };
  const unsigned blocks = grid.x * grid.y * grid.z;
#ifdef HOST_CUDA_THREADS
  Barrier all(threads);
  barrier = &all;
  std::vector<std::thread> team;
  for (unsigned t = 0; t < threads; ++t)
    team.emplace_back([&, t] {
      for (unsigned b = 0; b < blocks; ++b) {
        turn(t, b);
        all.wait();  // statics stand for __shared__: a block ends before the next begins
      }
    });
  for (auto& member : team) member.join();
#else
  for (unsigned b = 0; b < blocks; ++b)
    for (unsigned t = 0; t < threads; ++t) turn(t, b);
#endif
}

template <class T, class Change>
T change(T* place, Change next) {
  auto& atom = *reinterpret_cast<std::atomic<T>*>(place);
  T old = atom.load();
  while (!atom.compare_exchange_weak(old, next(old))) {
  }
  return old;
}

}  // namespace host_cuda

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __restrict__ __restrict
#define __constant__ static const
#define __shared__ static
#define __launch_bounds__(...)
#define FASTIMG_DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(host_cuda::dynamic_shared)
#define threadIdx host_cuda::thread_index
#define blockIdx host_cuda::block_index
#define blockDim host_cuda::block_size
#define gridDim host_cuda::grid_size
#ifdef HOST_CUDA_THREADS
#define __syncthreads() host_cuda::barrier->wait()
#endif

template <class T>
T __ldg(const T* place) {
  return *place;
}
template <class T>
T atomicAdd(T* p, T v) {
  return host_cuda::change(p, [&](T old) { return static_cast<T>(old + v); });
}
template <class T>
T atomicSub(T* p, T v) {
  return host_cuda::change(p, [&](T old) { return static_cast<T>(old - v); });
}
template <class T>
T atomicMin(T* p, T v) {
  return host_cuda::change(p, [&](T old) { return old < v ? old : v; });
}
template <class T>
T atomicMax(T* p, T v) {
  return host_cuda::change(p, [&](T old) { return old > v ? old : v; });
}
template <class T>
T atomicOr(T* p, T v) {
  return host_cuda::change(p, [&](T old) { return static_cast<T>(old | v); });
}
template <class T>
T atomicExch(T* p, T v) {
  return host_cuda::change(p, [&](T) { return v; });
}
template <class T>
T atomicCAS(T* p, T expected, T v) {
  return host_cuda::change(p, [&](T old) { return old == expected ? v : old; });
}
inline float __double2float_ru(double v) {
  const float near = static_cast<float>(v);
  return near < v ? std::nextafter(near, INFINITY) : near;
}
inline float __double2float_rd(double v) { return -__double2float_ru(-v); }
inline int __float2int_rn(float v) { return static_cast<int>(std::nearbyint(v)); }
inline void __threadfence() { std::atomic_thread_fence(std::memory_order_seq_cst); }
