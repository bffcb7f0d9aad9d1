// Included once in each level's region: no include guard, no standard header.
//
// A difference costs the chain index -> table -> shift (about 8 cycles), whatever else is done; so several differences
// are taken a lookup where codes are short, and several streams are decoded in turns.

namespace fastimg::dicom::FASTIMG_LEVEL {
namespace {

template <int N>
struct Turns {  // the state of N streams, in registers where they suffice
  const Byte* at[N];
  std::uint64_t bits[N];
  std::uint64_t count[N];
  std::int16_t *out[N], *stop[N];

  static __attribute__((always_inline)) std::uint64_t word(const Byte* p) {
    std::uint64_t w;
    std::memcpy(&w, p, 8);
    return __builtin_bswap64(w);
  }
  __attribute__((always_inline)) void load(JpegStream* const* streams, std::int64_t values) {
    for (int i = 0; i < N; ++i) {
      at[i] = streams[i]->at;
      bits[i] = streams[i]->bits;
      count[i] = streams[i]->count;
      out[i] = streams[i]->out;
      stop[i] = streams[i]->out + values;
    }
  }
  __attribute__((always_inline)) void save(JpegStream* const* streams) {
    for (int i = 0; i < N; ++i) {
      streams[i]->at = at[i];
      streams[i]->bits = bits[i];
      streams[i]->count = static_cast<unsigned>(count[i]);
      streams[i]->out = out[i];
    }
  }
  __attribute__((always_inline)) void refill(int i) {
    bits[i] |= word(at[i]) >> count[i];
    at[i] += (63 - count[i]) >> 3;
    count[i] |= 56;
  }
  // Out of line: the state passes through memory only here.
  __attribute__((always_inline)) void slow(JpegStream* stream, int i) {
    JpegStream one = *stream;
    one.at = at[i];
    one.bits = bits[i];
    one.count = static_cast<unsigned>(count[i]);
    *out[i]++ = one.slow();
    one.refill();
    at[i] = one.at;
    bits[i] = one.bits;
    count[i] = one.count;
    stream->bad = one.bad;
  }
};

template <int N>
void finish(JpegStream* const* streams, std::int16_t* const* stop) {
  for (int i = 0; i < N; ++i)
    while (streams[i]->out < stop[i]) *streams[i]->out++ = streams[i]->slow();
}

template <int N>
void several(JpegStream* const* streams, std::int64_t values) {
  constexpr int kTurns = 56 / JpegTable::kBits;  // lookups that one refill serves
  Turns<N> state;
  state.load(streams, values);
  const JpegTable::Multi* tables[N];
  for (int i = 0; i < N; ++i) tables[i] = streams[i]->table->multi;
  for (;;) {
    bool room = true;  // for the most that the turns can yield
    for (int i = 0; i < N; ++i) room &= state.stop[i] - state.out[i] >= 3 * kTurns + 1;
    if (!room) break;
    for (int i = 0; i < N; ++i) state.refill(i);
#pragma GCC unroll 8
    for (int turn = 0; turn < kTurns; ++turn) {
#pragma GCC unroll 4
      for (int i = 0; i < N; ++i) {
        const std::uint64_t cell = tables[i][state.bits[i] >> (64 - JpegTable::kBits)];
        const std::uint64_t taken = cell >> 56;
        if (__builtin_expect(taken == 0, 0)) {
          state.slow(streams[i], i);
          continue;
        }
        std::memcpy(state.out[i], &cell, 8);
        state.out[i] += cell >> 48 & 0xFF;
        state.bits[i] <<= taken;
        state.count[i] -= taken;
      }
    }
  }
  state.save(streams);
  finish<N>(streams, state.stop);
}

template <int N>
void plain(JpegStream* const* streams, std::int64_t values) {
  Turns<N> state;
  state.load(streams, values);
  const JpegTable::Plain* tables[N];
  for (int i = 0; i < N; ++i) tables[i] = streams[i]->table->plain;
  for (std::int64_t done = 0; done + 3 <= values; done += 3) {
    for (int i = 0; i < N; ++i) state.refill(i);
#pragma GCC unroll 3
    for (int turn = 0; turn < 3; ++turn) {
#pragma GCC unroll 4
      for (int i = 0; i < N; ++i) {
        const JpegTable::Plain cell = tables[i][state.bits[i] >> (64 - JpegTable::kBits)];
        if (__builtin_expect(cell.total == 0, 0)) {
          state.slow(streams[i], i);
          continue;
        }
        const std::uint64_t low = state.bits[i] >> (64 - cell.total) & ((std::uint64_t{1} << cell.size) - 1);
        *state.out[i]++ = static_cast<std::int16_t>(static_cast<int>(low) + cell.base);
        state.bits[i] <<= cell.total;
        state.count[i] -= cell.total;
      }
    }
  }
  state.save(streams);
  finish<N>(streams, state.stop);
}

// out[i] = start + deltas[0] + ... + deltas[i] (+ above[i] for predictor 4), modulo 2^16.
template <bool kAbove>
void running(std::uint16_t start, const std::int16_t* deltas, const std::uint16_t* above, std::uint16_t* out,
             std::int64_t columns) {
  std::int64_t i = 0;
#ifdef FASTIMG_X86
  __m128i carry = _mm_set1_epi16(static_cast<short>(start));
  for (; i + 8 <= columns; i += 8) {
    __m128i sums = _mm_loadu_si128(reinterpret_cast<const __m128i*>(deltas + i));
    sums = _mm_add_epi16(sums, _mm_slli_si128(sums, 2));
    sums = _mm_add_epi16(sums, _mm_slli_si128(sums, 4));
    sums = _mm_add_epi16(_mm_add_epi16(sums, _mm_slli_si128(sums, 8)), carry);
    carry = _mm_shuffle_epi32(_mm_shufflehi_epi16(sums, 0xFF), 0xFF);
    if (kAbove) sums = _mm_add_epi16(sums, _mm_loadu_si128(reinterpret_cast<const __m128i*>(above + i)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), sums);
  }
  start = static_cast<std::uint16_t>(_mm_extract_epi16(carry, 7));
#endif
  for (; i < columns; ++i) {
    start = static_cast<std::uint16_t>(start + deltas[i]);
    out[i] = kAbove ? static_cast<std::uint16_t>(start + above[i]) : start;
  }
}

void first_row(std::uint16_t value, const std::int16_t* deltas, std::uint16_t* out, std::int64_t columns) {
  running<false>(value, deltas, nullptr, out, columns);
}

// The first sample of a row is predicted by the one above it, whatever the predictor (T.81 H.1.2.1).
void row(int predictor, std::int16_t* deltas, const std::uint16_t* above, std::uint16_t* out, std::int64_t columns) {
  switch (predictor) {
    case 1:
      return running<false>(above[0], deltas, nullptr, out, columns);
    case 2:
      for (std::int64_t i = 0; i < columns; ++i) out[i] = static_cast<std::uint16_t>(above[i] + deltas[i]);
      return;
    case 3:
      out[0] = static_cast<std::uint16_t>(above[0] + deltas[0]);
      for (std::int64_t i = 1; i < columns; ++i) out[i] = static_cast<std::uint16_t>(above[i - 1] + deltas[i]);
      return;
    case 4:
      return running<true>(0, deltas, above, out, columns);
    case 5:
      for (std::int64_t i = 1; i < columns; ++i)
        deltas[i] = static_cast<std::int16_t>(deltas[i] + ((above[i] - above[i - 1]) >> 1));
      return running<false>(above[0], deltas, nullptr, out, columns);
    case 6:
      out[0] = static_cast<std::uint16_t>(above[0] + deltas[0]);
      for (std::int64_t i = 1; i < columns; ++i)
        out[i] = static_cast<std::uint16_t>(above[i] + ((out[i - 1] - above[i - 1]) >> 1) + deltas[i]);
      return;
    default:
      out[0] = static_cast<std::uint16_t>(above[0] + deltas[0]);
      for (std::int64_t i = 1; i < columns; ++i)
        out[i] = static_cast<std::uint16_t>(((out[i - 1] + above[i]) >> 1) + deltas[i]);
  }
}

}  // namespace

extern const JpegLoops jpeg_loops;
const JpegLoops jpeg_loops = {{nullptr, several<1>, several<2>, nullptr, several<4>},
                              {nullptr, plain<1>, plain<2>, nullptr, plain<4>},
                              row,
                              first_row};

}  // namespace fastimg::dicom::FASTIMG_LEVEL
