// AES-128-CTR by the processor's instructions. Included in each x86 level's region above the baseline.
//
// Of a run of 256 blocks only the last byte differs. It changes one column in the first round, and what that column
// gives to the second round is the same in every run: a table of 256 blocks a stream, entered in order (no address
// depends on a secret), and eight rounds a block are left of ten. (Bernstein and Schwabe, "New AES software speed
// records", INDOCRYPT 2008.)

template <class V>
struct Aes;

template <>
struct Aes<__m128i> {
  static constexpr int kBlocks = 1, kFlight = 8;  // blocks a vector; vectors that hide the latency of a round
  static __m128i each(__m128i block) { return block; }
  static __m128i round(__m128i x, __m128i key) { return _mm_aesenc_si128(x, key); }
  static __m128i last(__m128i x, __m128i key) { return _mm_aesenclast_si128(x, key); }
  static __m128i counters() { return _mm_setzero_si128(); }  // of blocks 0, 1, ...
  static __m128i both(__m128i a, __m128i b) { return _mm_and_si128(a, b); }
  static __m128i exclusive(__m128i a, __m128i b) { return _mm_xor_si128(a, b); }
  static __m128i load(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }
  static void store(void* to, __m128i x) { _mm_storeu_si128(static_cast<__m128i*>(to), x); }
  template <class W, bool minus>
  static __m128i sum(__m128i a, __m128i b) {
    if (sizeof(W) == 4) return minus ? _mm_sub_epi32(a, b) : _mm_add_epi32(a, b);
    return minus ? _mm_sub_epi64(a, b) : _mm_add_epi64(a, b);
  }
};

#ifdef FASTIMG_VAES
template <>
struct Aes<__m512i> {
  static constexpr int kBlocks = 4, kFlight = 16;
  static __m512i each(__m128i block) { return _mm512_broadcast_i32x4(block); }
  static __m512i round(__m512i x, __m512i key) { return _mm512_aesenc_epi128(x, key); }
  static __m512i last(__m512i x, __m512i key) { return _mm512_aesenclast_epi128(x, key); }
  static __m512i counters() {
    return _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 1 << 24, 0, 0, 0, 2 << 24, 0, 0, 0, 3 << 24);
  }
  static __m512i both(__m512i a, __m512i b) { return _mm512_and_si512(a, b); }
  static __m512i exclusive(__m512i a, __m512i b) { return _mm512_xor_si512(a, b); }
  static __m512i load(const void* from) { return _mm512_loadu_si512(from); }
  static void store(void* to, __m512i x) { _mm512_storeu_si512(to, x); }
  template <class W, bool minus>
  static __m512i sum(__m512i a, __m512i b) {
    if (sizeof(W) == 4) return minus ? _mm512_sub_epi32(a, b) : _mm512_add_epi32(a, b);
    return minus ? _mm512_sub_epi64(a, b) : _mm512_add_epi64(a, b);
  }
};
#endif

FASTIMG_ATOM __m128i round_key(const Stream& stream, int r) {
  return _mm_load_si128(reinterpret_cast<const __m128i*>(stream.round_keys) + r);
}

FASTIMG_ATOM __m128i first_column() { return _mm_setr_epi32(-1, 0, 0, 0); }

// The nonce with a counter of 0, after the first key.
FASTIMG_ATOM __m128i start_of(const Stream& stream) {
  alignas(16) std::uint8_t block[16] = {};
  std::memcpy(block, stream.nonce, 12);
  return _mm_xor_si128(_mm_load_si128(reinterpret_cast<const __m128i*>(block)), round_key(stream, 0));
}

FASTIMG_ATOM __m128i counter_of(std::uint32_t block) {
  return _mm_setr_epi32(0, 0, 0, static_cast<int>(__builtin_bswap32(block)));
}

// The second round of the column that the last byte changes, the other columns 0, without its key.
template <class V>
void second_rounds(const Stream& stream, int blocks, Run* run) {
  using A = Aes<V>;
  const V start = A::each(start_of(stream)), key = A::each(round_key(stream, 1)), column = A::each(first_column());
  const V step = A::each(counter_of(A::kBlocks));  // a sum of bytes that does not overflow within a run
  V counters = A::counters();
  for (int b = 0; b < blocks; b += A::kBlocks) {
    const V first = A::both(A::round(A::exclusive(start, counters), key), column);
    A::store(run->second + 16 * b, A::round(first, V{}));
    counters = A::template sum<std::uint32_t, false>(counters, step);
  }
}

// `block`: a multiple of 256.
template <class V, bool minus, class W>
void rounds_add(W* words, std::int64_t count, const Stream& stream, const Run& run, std::uint32_t block) {
  using A = Aes<V>;
  constexpr int kEach = sizeof(V) / sizeof(W), kWords = A::kFlight * kEach;
  V keys[11];
  for (int r = 3; r < 11; ++r) keys[r] = A::each(round_key(stream, r));
  const __m128i start = start_of(stream);
  // A round is a sum over the bytes of its block, and its key. Bytes of 0, here and in the table, add what is taken
  // off.
  const __m128i zeros = _mm_aesenc_si128(_mm_setzero_si128(), round_key(stream, 2));
  for (std::int64_t at = 0; at < count; block += 256) {
    const __m128i first = _mm_aesenc_si128(_mm_xor_si128(start, counter_of(block)), round_key(stream, 1));
    const V rest = A::each(_mm_aesenc_si128(_mm_andnot_si128(first_column(), first), zeros));
    for (int b = 0; b < 256 && at < count; b += A::kFlight * A::kBlocks, at += kWords) {
      V x[A::kFlight];
      for (int i = 0; i < A::kFlight; ++i) x[i] = A::exclusive(A::load(run.second + 16 * (b + i * A::kBlocks)), rest);
      for (int r = 3; r < 10; ++r)
        for (int i = 0; i < A::kFlight; ++i) x[i] = A::round(x[i], keys[r]);
      for (int i = 0; i < A::kFlight; ++i) x[i] = A::last(x[i], keys[10]);
      if (count - at < kWords) {
        V apart[A::kFlight];  // x itself stays in registers
        for (int i = 0; i < A::kFlight; ++i) A::store(apart + i, x[i]);
        add_buffer(words + at, apart, count - at, minus);
        continue;
      }
      for (int i = 0; i < A::kFlight; ++i) {
        W* to = words + at + i * kEach;
        A::store(to, A::template sum<W, minus>(A::load(to), x[i]));
      }
    }
  }
}
