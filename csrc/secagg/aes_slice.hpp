// AES-128-CTR on bit slices, constant time, without tables: bit b of byte p of many blocks in one vector s[p][b].
// Included in each level's region. V is a vector of 64-bit words; one pass makes 8 * sizeof(V) blocks.
//
// In this layout ShiftRows is a renaming, counters need no transposition (their low planes are constants), and only the
// result is transposed.
// Cost: about 25,000 vector operations a pass: 16 of 8 x 115 in the S-boxes of each of 10 rounds, the rest linear.

template <class V>
struct Slices {
  V at[16][8];  // [byte][bit]
};

template <class V>
void add_key(Slices<V>& s, const std::uint64_t* planes) {
  for (int p = 0; p < 16; ++p)
    for (int b = 0; b < 8; ++b) s.at[p][b] ^= planes[8 * p + b];
}

template <class V>
void sub_shift(const Slices<V>& in, Slices<V>& out) {
  for (int p = 0; p < 16; ++p) {
    V q[8];
    for (int b = 0; b < 8; ++b) q[b] = in.at[(5 * p) % 16][b];  // ShiftRows: byte r + 4c comes from r + 4((c + r) % 4)
    sbox(q);
    for (int b = 0; b < 8; ++b) out.at[p][b] = q[b];
  }
}

template <class V>
void mix_columns(const Slices<V>& in, Slices<V>& out) {
  for (int c = 0; c < 16; c += 4)
    for (int r = 0; r < 4; ++r) {
      const V(&a)[8] = in.at[c + r];
      const V(&n)[8] = in.at[c + (r + 1) % 4];
      const V(&o)[8] = in.at[c + (r + 2) % 4];
      const V(&l)[8] = in.at[c + (r + 3) % 4];
      const V top = a[7] ^ n[7];  // doubled: x^8 = x^4 + x^3 + x + 1
      for (int b = 0; b < 8; ++b) {
        V v = n[b] ^ o[b] ^ l[b];
        if (b) v ^= a[b - 1] ^ n[b - 1];
        if (b == 0 || b == 1 || b == 3 || b == 4) v ^= top;
        out.at[c + r][b] = v;
      }
    }
}

// Rows and columns of 64 x 64 bits change places, in every element of V at once.
template <class V>
void transpose64(V* rows) {
  std::uint64_t mask = 0x00000000ffffffffull;
  for (int j = 32; j; j >>= 1, mask ^= mask << j)
    for (int k = 0; k < 64; k = ((k | j) + 1) & ~j) {
      const V t = ((rows[k] >> j) ^ rows[k + j]) & mask;
      rows[k + j] ^= t;
      rows[k] ^= t << j;
    }
}

template <class V>
void sliced_blocks(std::uint64_t* out, const std::uint64_t* planes, const std::uint8_t* nonce, std::uint32_t block) {
  constexpr int kElements = sizeof(V) / 8, kBlocks = 64 * kElements;
  static const std::uint64_t kLow[6] = {0xaaaaaaaaaaaaaaaaull, 0xccccccccccccccccull, 0xf0f0f0f0f0f0f0f0ull,
                                        0xff00ff00ff00ff00ull, 0xffff0000ffff0000ull, 0xffffffff00000000ull};
  Slices<V> s, t;
  for (int p = 0; p < 12; ++p)
    for (int b = 0; b < 8; ++b) s.at[p][b] = V{} + (0 - static_cast<std::uint64_t>(nonce[p] >> b & 1));
  for (int bit = 0; bit < 32; ++bit) {
    V plane = V{} + (0 - static_cast<std::uint64_t>(block >> bit & 1));
    if (bit < 6)
      plane = V{} + kLow[bit];
    else if (1u << bit < static_cast<unsigned>(kBlocks))
      for (int e = 0; e < kElements; ++e) plane[e] = 0 - static_cast<std::uint64_t>(e >> (bit - 6) & 1);
    s.at[15 - bit / 8][bit % 8] = plane;
  }
  add_key(s, planes);
  for (int round = 1; round < 10; ++round) {
    sub_shift(s, t);
    mix_columns(t, s);
    add_key(s, planes + 128 * round);
  }
  sub_shift(s, t);
  add_key(t, planes + 1280);
  for (int half = 0; half < 2; ++half) {
    V* rows = &t.at[8 * half][0];
    transpose64(rows);
    for (int e = 0; e < kElements; ++e)
      for (int l = 0; l < 64; ++l) out[2 * (64 * e + l) + half] = rows[l][e];
  }
}

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "keystream words are little-endian: add a byte swap for this machine"
#endif

template <class V, class W>
void sliced_add(W* words, std::int64_t count, const Stream& stream, std::uint32_t block) {
  constexpr int kBlocks = 8 * sizeof(V), kWords = 16 * kBlocks / sizeof(W);
  std::uint64_t planes[11 * 128];
  for (int i = 0; i < 11 * 128; ++i)
    planes[i] = 0 - static_cast<std::uint64_t>(stream.round_keys[i / 8] >> (i % 8) & 1);
  std::uint64_t buffer[2 * kBlocks];
  for (std::int64_t at = 0; at < count; at += kWords, block += kBlocks) {
    sliced_blocks<V>(buffer, planes, stream.nonce, block);
    add_buffer(words + at, buffer, count - at < kWords ? count - at : kWords, stream.minus);
  }
  wipe(planes, sizeof planes);
}
