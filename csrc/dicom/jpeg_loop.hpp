// Included once in each level's region: no include guard, no standard header.
//
// A difference costs the chain index -> table -> shift (about 8 cycles), whatever else is done; so several differences
// are taken a lookup where codes are short, and several streams are decoded in turns.

namespace fastimg::dicom::FASTIMG_LEVEL {
namespace {

struct PlainBlock {  // of one stream in `plain`
  static constexpr int kValues = 96;
  JpegTable::Plain cells[JpegTable::kPlainCells];
  std::uint64_t bits[kValues];
  JpegTable::Plain found[kValues];
};

#define FASTIMG_INLINE __attribute__((always_inline)) inline

// Where N streams are, stream by stream rather than in arrays: only so does all of it stay in registers.
template <int N>
struct Turns {
  Turns<N - 1> others;
  const Byte* at;
  std::uint64_t bits, count;
  std::int16_t* out;
  const JpegTable::Multi* multi;

  FASTIMG_INLINE void load(JpegStream* const* streams) {
    others.load(streams);
    const JpegStream& mine = *streams[N - 1];
    at = mine.at;
    bits = mine.bits;
    count = mine.count;
    out = mine.out;
    multi = mine.table->multi;
  }
  FASTIMG_INLINE void save(JpegStream* const* streams) const {
    others.save(streams);
    JpegStream& mine = *streams[N - 1];
    mine.at = at;
    mine.bits = bits;
    mine.count = static_cast<unsigned>(count);
    mine.out = out;
  }
  FASTIMG_INLINE void refill() {
    others.refill();
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    bits |= __builtin_bswap64(word) >> count;
    at += (63 - count) >> 3;
    count |= 56;
  }
  // Out of line: the state passes through memory only here.
  FASTIMG_INLINE std::int16_t slow(JpegStream* stream) {
    JpegStream one = *stream;
    one.at = at;
    one.bits = bits;
    one.count = static_cast<unsigned>(count);
    const std::int16_t value = one.slow();
    one.refill();
    at = one.at;
    bits = one.bits;
    count = one.count;
    stream->bad = one.bad;
    return value;
  }

  // Of `several`: room for so many values; one lookup.
  FASTIMG_INLINE bool room(std::int16_t* const* stop, std::int64_t most) const {
    return others.room(stop, most) & (stop[N - 1] - out >= most);
  }
  FASTIMG_INLINE void several(JpegStream* const* streams) {
    others.several(streams);
    const std::uint64_t cell = multi[bits >> (64 - JpegTable::kBits)];
    const std::uint64_t taken = cell >> 56;
    if (__builtin_expect(taken == 0, 0)) {
      *out++ = slow(streams[N - 1]);
      return;
    }
    std::memcpy(out, &cell, 8);
    out += cell >> 48 & 0xFF;
    bits <<= taken;
    count -= taken;
    asm("" : "+r"(count));
  }

  // Of `plain`: one lookup; what is left to look up slowly.
  FASTIMG_INLINE void plain(PlainBlock* blocks, std::int64_t place) {
    others.plain(blocks, place);
    PlainBlock& mine = blocks[N - 1];
    const JpegTable::Plain cell = mine.cells[bits >> (64 - JpegTable::kPlainBits)];
    mine.bits[place] = bits;
    mine.found[place] = cell;
    bits <<= cell & 63;
    count -= cell;  // bits in its lowest byte, empty cells in the next
    asm("" : "+r"(count));
  }
  FASTIMG_INLINE std::uint64_t counts() const { return others.counts() | count; }
  FASTIMG_INLINE void settle(JpegStream* const* streams, PlainBlock* blocks, std::int64_t end) {
    others.settle(streams, blocks, end);
    const auto left = static_cast<std::int8_t>(count);
    const auto missing = static_cast<std::int64_t>((static_cast<std::uint64_t>(left) - count) >> 8 & 0xFF);
    count = static_cast<std::uint64_t>(left);
    if (left < 0) {  // into the next byte, of which the word had as much as was taken, but not always all
      bits = std::uint64_t{*at} << (56 - left);
      count += 8;
      at += 1;
    }
    for (std::int64_t place = end - missing; place < end; ++place) {
      blocks[N - 1].bits[place] = static_cast<std::uint64_t>(slow(streams[N - 1])) << 48;
      blocks[N - 1].found[place] = 16;
    }
  }
  FASTIMG_INLINE void trim() {
    others.trim();
    count &= 0xFF;
  }
  FASTIMG_INLINE void put(const PlainBlock* blocks, std::int64_t values) {
    others.put(blocks, values);
    const PlainBlock& mine = blocks[N - 1];
    for (std::int64_t i = 0; i < values; ++i)
      out[i] = static_cast<std::int16_t>((mine.bits[i] >> (-mine.found[i] & 63)) + (mine.found[i] >> 16));
    out += values;
  }
};
template <>
struct Turns<0> {
  FASTIMG_INLINE void load(JpegStream* const*) {}
  FASTIMG_INLINE void save(JpegStream* const*) const {}
  FASTIMG_INLINE void refill() {}
  FASTIMG_INLINE bool room(std::int16_t* const*, std::int64_t) const { return true; }
  FASTIMG_INLINE void several(JpegStream* const*) {}
  FASTIMG_INLINE void plain(PlainBlock*, std::int64_t) {}
  FASTIMG_INLINE std::uint64_t counts() const { return 0; }
  FASTIMG_INLINE void settle(JpegStream* const*, PlainBlock*, std::int64_t) {}
  FASTIMG_INLINE void trim() {}
  FASTIMG_INLINE void put(const PlainBlock*, std::int64_t) {}
};

template <int N>
void finish(JpegStream* const* streams, std::int16_t* const* stop) {
  for (int i = 0; i < N; ++i)
    while (streams[i]->out < stop[i]) *streams[i]->out++ = streams[i]->slow();
}

template <int N>
void several(JpegStream* const* streams, std::int64_t values) {
  constexpr int kTurns = 56 / JpegTable::kBits;  // lookups that one refill serves
  std::int16_t* stop[N];
  for (int i = 0; i < N; ++i) stop[i] = streams[i]->out + values;
  Turns<N> state;
  state.load(streams);
  while (state.room(stop, 3 * kTurns + 1)) {  // the most that the turns can yield
    state.refill();
#pragma GCC unroll 8
    for (int turn = 0; turn < kTurns; ++turn) state.several(streams);
  }
  state.save(streams);
  finish<N>(streams, stop);
}

// Of several streams a group of three differences each. The chain from one to the next is index, cell, shift; the bits
// and the cell are kept, and the differences taken from them in vectors. Where a cell is empty, so are those after it
// (nothing was taken): they are looked up one by one.
template <int N>
void plain(JpegStream* const* streams, std::int64_t values) {
  constexpr std::int64_t kGroup = 3, kMost = PlainBlock::kValues / kGroup * kGroup;
  std::int16_t* stop[N];
  PlainBlock blocks[N];  // in one place: one register reaches all of them
  for (int i = 0; i < N; ++i) {
    stop[i] = streams[i]->out + values;
    std::memcpy(blocks[i].cells, streams[i]->table->plain, sizeof blocks[i].cells);
  }
  Turns<N> state;
  state.load(streams);
  for (std::int64_t left = values / kGroup * kGroup; left > 0;) {
    const std::int64_t now = left < kMost ? left : kMost;
    for (std::int64_t done = 0; done < now;) {
      state.refill();
      state.plain(blocks, done);
      state.plain(blocks, done + 1);
      state.plain(blocks, done + 2);
      done += kGroup;
      if (__builtin_expect((state.counts() & 0xFF00) != 0, 0)) state.settle(streams, blocks, done);
      state.trim();
    }
    state.put(blocks, now);
    left -= now;
  }
  state.save(streams);
  finish<N>(streams, stop);
}

#undef FASTIMG_INLINE

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
