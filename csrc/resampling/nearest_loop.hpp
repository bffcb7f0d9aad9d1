// Included once in each level's region: no include guard, no standard header.
namespace fastimg::resampling::FASTIMG_LEVEL {
namespace {

template <class T>
void pick_any(const void* source, const Picks& x, std::int64_t begin, std::int64_t end, void* to) {
  const T* __restrict from = static_cast<const T*>(source);
  T* __restrict row = static_cast<T*>(to);
  const std::int32_t* __restrict index = &x.index[0];
  for (std::int64_t i = begin; i < end; ++i) row[i] = from[index[i]];
}

#ifdef FASTIMG_AVX512
// 32 outputs are one permutation of 64 samples held as 16-bit words.
void pick_block(const std::uint8_t* from, const std::uint16_t* rel, std::uint8_t* to) {
  const __m512i low = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  const __m512i high = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 32)));
  const __m512i picked = _mm512_permutex2var_epi16(low, _mm512_loadu_si512(rel), high);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi16_epi8(picked));
}
void pick_block(const std::uint16_t* from, const std::uint16_t* rel, std::uint16_t* to) {
  const __m512i low = _mm512_loadu_si512(from), high = _mm512_loadu_si512(from + 32);
  _mm512_storeu_si512(to, _mm512_permutex2var_epi16(low, _mm512_loadu_si512(rel), high));
}
template <class T>
std::int64_t pick_words(const void* source, const Picks& x, const PickBlocks<std::uint16_t>& blocks, void* to) {
  if (!blocks.narrow) return x.low;
  const T* from = static_cast<const T*>(source);
  T* row = static_cast<T*>(to);
  for (std::int64_t b = 0; b < blocks.blocks; ++b)
    pick_block(from + blocks.base[b], &blocks.rel[b * blocks.picks], row + x.low + b * blocks.picks);
  return x.low + blocks.blocks * blocks.picks;
}

// 64 bytes are one permutation of 128. VBMI is in every processor of this level since Ice Lake, but not in the first.
__attribute__((target("avx512vbmi"))) std::int64_t pick_bytes(const void* source, const Picks& x,
                                                              const PickBlocks<std::uint8_t>& blocks, void* to) {
  const std::uint8_t* from = static_cast<const std::uint8_t*>(source);
  std::uint8_t* row = static_cast<std::uint8_t*>(to) + x.low;
  const std::int32_t* const base = blocks.base.data();
  const std::uint8_t* const rel = blocks.rel.data();
  for (std::int64_t b = 0; b < blocks.blocks; ++b) {
    const __m512i low = _mm512_loadu_si512(from + base[b]), high = _mm512_loadu_si512(from + base[b] + 64);
    _mm512_storeu_si512(row + 64 * b, _mm512_permutex2var_epi8(low, _mm512_loadu_si512(rel + 64 * b), high));
  }
  return x.low + blocks.blocks * blocks.picks;
}

std::int64_t pick_blocks(const std::uint8_t* source, const Picks& x, const PickRow& blocks, void* to) {
  static const bool vbmi = __builtin_cpu_supports("avx512vbmi");
  if (vbmi && blocks.bytes.narrow) return pick_bytes(source, x, blocks.bytes, to);
  return pick_words<std::uint8_t>(source, x, blocks.words, to);
}
std::int64_t pick_blocks(const std::uint16_t* source, const Picks& x, const PickRow& blocks, void* to) {
  return pick_words<std::uint16_t>(source, x, blocks.words, to);
}
#else
template <class T>
std::int64_t pick_blocks(const T*, const Picks& x, const PickRow&, void*) {
  return x.low;
}
#endif

template <class T>
void pick_small(const void* from, const Picks& x, const PickRow& blocks, void* row) {
  pick_any<T>(from, x, pick_blocks(static_cast<const T*>(from), x, blocks, row), x.high, row);
}
template <class T>
void pick_large(const void* from, const Picks& x, const PickRow&, void* row) {
  pick_any<T>(from, x, x.low, x.high, row);
}

}  // namespace

extern const PickTable pick_table;
const PickTable pick_table = {
    {pick_small<std::uint8_t>, pick_small<std::uint16_t>, pick_large<std::uint32_t>, pick_large<std::uint64_t>}};

}  // namespace fastimg::resampling::FASTIMG_LEVEL
