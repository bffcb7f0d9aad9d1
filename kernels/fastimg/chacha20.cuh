// ChaCha20, RFC 8439: the block function over a state of 16 words; T is a word or a vector of words, one lane a block.
//
// Cost: 20 rounds of 4 quarter rounds of 12 operations and 16 final additions, 976 operations a 64-byte block: 15.25 a
// byte. Additions, exclusive-ors and rotations by constants only: the time does not depend on the key.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

// "expand 32-byte k"
FASTIMG_ATOM u32 chacha_constant(int i) {
  return i == 0 ? 0x61707865u : i == 1 ? 0x3320646eu : i == 2 ? 0x79622d32u : 0x6b206574u;
}

template <int N, class T>
FASTIMG_ATOM T chacha_rotate(T x) {
  return (x << N) | (x >> (32 - N));
}

// RFC 8439, 2.1
template <class T>
FASTIMG_ATOM void chacha_quarter(T& a, T& b, T& c, T& d) {
  a = a + b;
  d = chacha_rotate<16>(d ^ a);
  c = c + d;
  b = chacha_rotate<12>(b ^ c);
  a = a + b;
  d = chacha_rotate<8>(d ^ a);
  c = c + d;
  b = chacha_rotate<7>(b ^ c);
}

// 2.3: twenty rounds; the caller adds the first state.
template <class T>
FASTIMG_ATOM void chacha_rounds(T (&x)[16]) {
  for (int i = 0; i < 10; ++i) {
    chacha_quarter(x[0], x[4], x[8], x[12]);
    chacha_quarter(x[1], x[5], x[9], x[13]);
    chacha_quarter(x[2], x[6], x[10], x[14]);
    chacha_quarter(x[3], x[7], x[11], x[15]);
    chacha_quarter(x[0], x[5], x[10], x[15]);
    chacha_quarter(x[1], x[6], x[11], x[12]);
    chacha_quarter(x[2], x[7], x[8], x[13]);
    chacha_quarter(x[3], x[4], x[9], x[14]);
  }
}

// One block: key of 8 words, block counter, nonce of 3 words, all little-endian.
FASTIMG_ATOM void chacha_block(const u32* key, u32 counter, const u32* nonce, u32 (&out)[16]) {
  u32 first[16];
  for (int i = 0; i < 4; ++i) first[i] = chacha_constant(i);
  for (int i = 0; i < 8; ++i) first[4 + i] = key[i];
  first[12] = counter;
  for (int i = 0; i < 3; ++i) first[13 + i] = nonce[i];
  for (int i = 0; i < 16; ++i) out[i] = first[i];
  chacha_rounds(out);
  for (int i = 0; i < 16; ++i) out[i] = out[i] + first[i];
}

}  // namespace fastimg
