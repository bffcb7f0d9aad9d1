// What an atom is: a small pure function, one formula, the same text for CPU and GPU.
//
// Atoms are static and always inlined, so that a CPU stub of one ISA level never shares code with another. They use
// + - * / sqrt in a fixed order, with contraction off on both sides; minima and maxima are ternaries (fminf stops GCC's
// vectoriser). No header may be included here but other atoms: NVRTC compiles these files without any.
#pragma once

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define FASTIMG_ATOM static __host__ __device__ __forceinline__
#define FASTIMG_MEMBER __host__ __device__ __forceinline__
#else
#define FASTIMG_ATOM static inline __attribute__((always_inline))
#define FASTIMG_MEMBER inline __attribute__((always_inline))
#endif

namespace fastimg {

using i8 = signed char;
using u8 = unsigned char;
using i16 = short;
using u16 = unsigned short;
using i32 = int;
using u32 = unsigned int;
using i64 = long long;
using u64 = unsigned long long;

}  // namespace fastimg

// The value stays in its register: a compiler short of registers would make it anew in every turn of a loop.
#ifdef __CUDA_ARCH__
#define FASTIMG_KEPT(value) fastimg::kept(value)
namespace fastimg {
static __device__ __forceinline__ void kept(int& value) { asm volatile("" : "+r"(value)); }
static __device__ __forceinline__ void kept(i64& value) { asm volatile("" : "+l"(value)); }
}  // namespace fastimg
#else
#define FASTIMG_KEPT(value) ((void)0)
#endif

// Shared memory whose size is given at launch: FASTIMG_DYNAMIC_SHARED(float, tile); one a kernel.
#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define FASTIMG_DYNAMIC_SHARED(type, name) extern __shared__ type name[]
#endif
