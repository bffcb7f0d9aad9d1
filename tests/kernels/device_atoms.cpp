// The forms of atoms that only a GPU takes (where __CUDA_ARCH__ is defined), played on the CPU: every voxel of 8 and 16
// bits through its float and back, and whole parts of doubles. Prints how many differ from the plain form.
#define __CUDA_ARCH__ 900
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>

#define __device__
#define __forceinline__ inline
static inline float __int_as_float(int bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
static inline int __float_as_int(float value) {
  int bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}
static inline int __double2loint(double value) {
  long long bits;
  std::memcpy(&bits, &value, 8);
  return static_cast<int>(bits);
}

#include "fastimg/oblique.cuh"

using namespace fastimg;

template <class T>
int lifted() {
  using L = Lifted<float, T>;
  int bad = L::bias == 0;  // the GPU's form is the one that lifts
  for (int v = std::numeric_limits<T>::min(); v <= std::numeric_limits<T>::max(); ++v)
    bad += L::of(L::raw(static_cast<T>(v))) - L::bias != static_cast<float>(v);
  return bad;
}

template <class T>
int stored() {
  const int low = std::numeric_limits<T>::min(), high = std::numeric_limits<T>::max();
  int bad = 0;
  for (int v = (low - 9) * 16; v <= (high + 9) * 16; ++v) {
    const float x = static_cast<float>(v) / 16.0f, inside = x < low ? low : x > high ? high : x;
    bad += Store<false, T>::from(x) != static_cast<T>(std::nearbyint(inside));
    bad += Store<true, T>::from(x) != static_cast<T>(std::trunc(inside));
  }
  return bad;
}

int floors() {
  int bad = 0;
  unsigned long long state = 1;
  for (int n = 0; n < 2000000; ++n) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    const double near = static_cast<double>(static_cast<int>(state >> 43)) - 1e6, part = (n % 3) * 0x1p-30 - 0x1p-30;
    const double p = n % 2 ? near + part : (static_cast<double>(state >> 11) * 0x1p-53 - 0.5) * 2e9;
    int index;
    const double whole_part = floor_of(p, index);
    bad += whole_part != std::floor(p) || static_cast<double>(index) != whole_part;
  }
  return bad;
}

int main() {
  std::printf("%d %d %d %d %d\n", lifted<i8>() + lifted<u8>() + lifted<i16>() + lifted<u16>(),
              stored<i8>() + stored<u8>(), stored<i16>(), stored<u16>(), floors());
}
