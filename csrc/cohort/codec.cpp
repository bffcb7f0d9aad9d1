#include "cohort/codec.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <utility>

#include "cohort/bitshuffle.hpp"
#include "cohort/crc32c.hpp"

namespace fastimg::cohort {

Libraries libraries;

namespace {

constexpr std::size_t kHeader = 16;
constexpr std::uint8_t kByteShuffle = 1, kStored = 2, kBitShuffle = 4, kOneStream = 16;
constexpr int kLz4 = 1, kZstd = 4;
constexpr std::size_t kBlocks = 2, kLeast = 4096;

// One a thread: contexts and rooms that live as long as it does.
struct Tools {
  void* cctx = nullptr;
  void* plain = nullptr;  // for literals as they are
  void* dctx = nullptr;
  std::size_t (*free_cctx)(void*) = nullptr;
  std::size_t (*free_dctx)(void*) = nullptr;
  unsigned turn = 0;
  std::vector<std::uint8_t> planes, packed, stored;

  // With contexts that belong to the functions in place.
  Tools& current() {
    if (turn != libraries.turn) {
      clear();
      turn = libraries.turn;
    }
    if (!cctx && libraries.zstd_set && (plain = libraries.zstd_create_cctx()) && !without_literals(plain)) {
      libraries.zstd_free_cctx(plain);
      plain = nullptr;
    }
    if (!cctx && !(cctx = libraries.zstd_create_cctx())) throw std::bad_alloc();
    free_cctx = libraries.zstd_free_cctx;
    if (!dctx && !(dctx = libraries.zstd_create_dctx())) throw std::bad_alloc();
    free_dctx = libraries.zstd_free_dctx;
    return *this;
  }

  void clear() {
    if (cctx && free_cctx) free_cctx(cctx);
    if (plain && free_cctx) free_cctx(plain);
    if (dctx && free_dctx) free_dctx(dctx);
    cctx = plain = dctx = nullptr;
  }

  // Two hash tables, matches of 6 bytes at least, literals as they are: against level -1 an eighth less time to decode
  // at the same size and the same time to encode, as the sequences are fewer (zstd.h: ZSTD_cParameter).
  static bool without_literals(void* context) {
    constexpr int kLevel = 100, kMinMatch = 105, kStrategy = 107, kLiterals = 1002;
    constexpr int kDoubleFast = 2, kDisabled = 2;
    for (const auto& [parameter, value] :
         {std::pair{kLevel, 3}, {kStrategy, kDoubleFast}, {kMinMatch, 6}, {kLiterals, kDisabled}})
      if (libraries.zstd_is_error(libraries.zstd_set(context, parameter, value))) return false;
    return true;
  }

  ~Tools() { clear(); }
};
thread_local Tools tools;

std::uint8_t* planes(std::size_t size) {
  if (tools.planes.size() < size) tools.planes.resize(size);
  return tools.planes.data();
}

void put32(std::uint8_t* to, std::size_t value) {
  for (int k = 0; k < 4; ++k) to[k] = static_cast<std::uint8_t>(value >> (8 * k));
}

std::size_t get32(const std::uint8_t* from) {
  return from[0] | from[1] << 8 | from[2] << 16 | static_cast<std::size_t>(from[3]) << 24;
}

// 0 where it does not fit into `room`.
std::size_t zstd_compress(int level, const std::uint8_t* in, std::size_t size, std::uint8_t* out, std::size_t room) {
  const std::size_t done = libraries.zstd_compress(tools.current().cctx, out, room, in, size, level);
  return libraries.zstd_is_error(done) ? 0 : done;
}

// The same with literals as they are.
std::size_t zstd_compress_plain(const std::uint8_t* in, std::size_t size, std::uint8_t* out, std::size_t room) {
  void* context = tools.current().plain;
  if (!context) return zstd_compress(-1, in, size, out, room);
  const std::size_t done = libraries.zstd_compress2(context, out, room, in, size);
  return libraries.zstd_is_error(done) ? 0 : done;
}

void zstd_decompress(const std::uint8_t* in, std::size_t size, std::uint8_t* out, std::size_t expected) {
  const std::size_t done = libraries.zstd_decompress(tools.current().dctx, out, expected, in, size);
  if (libraries.zstd_is_error(done) || done != expected) throw Damaged("a chunk cannot be decoded");
}

// Bytes before the first block of a zstd frame; 0 where it has what `compress_planes` does not carry over (RFC 8878,
// 3.1.1.1).
std::size_t header_size(const std::uint8_t* frame, std::size_t size) {
  constexpr std::uint8_t kChecksum = 4, kDictionary = 3, kSingleSegment = 32;
  if (size < 5) return 0;
  const std::uint8_t told = frame[4];
  if (told & (kChecksum | kDictionary)) return 0;
  const std::size_t single = told & kSingleSegment ? 1 : 0, content[] = {single, 2, 4, 8};
  const std::size_t header = 5 + (1 - single) + content[told >> 6];
  return header < size ? header : 0;
}

// How many times more pairs of equal bytes there are, among some of them, than chance makes: 1 where they look random;
// a byte holds at least 8 - log2 of it bits.
double repetition(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kPieces = 8, kPiece = 64, kSample = kPieces * kPiece;
  if (size < kSample) return 256;
  std::uint16_t seen[256] = {};
  unsigned pairs = 0;
  for (std::size_t k = 0; k < kPieces; ++k) {
    const std::uint8_t* from = data + k * (size - kPiece) / (kPieces - 1);
    for (std::size_t i = 0; i < kPiece; ++i) pairs += seen[from[i]]++;
  }
  return pairs * (256.0 / (kSample * (kSample - 1) / 2));
}

// A zstd frame of `count` bit planes of `size` bytes each. The first planes of an image are noise: they go into blocks
// of the frame that are as they are, or the coder would mix them with the others in its statistics, which costs space
// and half of the reader's time. What entropy coding of literals saves in the rest is often little, and it doubles the
// time that is left; it is tried where the packed bytes repeat themselves, and kept where all gets a tenth smaller.
std::size_t compress_planes(int level, const std::uint8_t* planes, std::size_t count, std::size_t size,
                            std::uint8_t* out, std::size_t room) {
  constexpr std::size_t kHeader = 9, kBlockHeader = 3, kMostRaw = std::size_t{1} << 17;
  constexpr double kNoise = 1.35;  // 7.6 bits a byte
  std::size_t noise = 0;
  while (noise < count && repetition(planes + noise * size, size) < kNoise) ++noise;
  const std::size_t raw = noise * size, all = count * size, rest = all - raw;
  if (rest == 0) return 0;
  const std::size_t begin = raw ? kHeader + raw + kBlockHeader * ((raw + kMostRaw - 1) / kMostRaw) : 0;
  if (begin >= room) return 0;
  std::uint8_t* packed = out + begin;
  std::size_t done = level == 1 ? zstd_compress_plain(planes + raw, rest, packed, room - begin)
                                : zstd_compress(level, planes + raw, rest, packed, room - begin);
  const auto least_saved = static_cast<double>(begin + done) / 10;
  const double most_saved = static_cast<double>(done) * std::log2(repetition(packed, done)) / 8;
  if (level == 1 && (done == 0 || (done * 32 > rest && most_saved > least_saved))) {
    std::vector<std::uint8_t>& other = tools.packed;
    if (other.size() < rest) other.resize(rest);
    const std::size_t smaller = zstd_compress(level, planes + raw, rest, other.data(), std::min(rest, room - begin));
    if (smaller && (done == 0 || (begin + smaller) * 10 < (begin + done) * 9)) {
      std::memcpy(packed, other.data(), smaller);
      done = smaller;
    }
  }
  if (done == 0 || raw == 0) return done;
  const std::size_t header = header_size(packed, done);
  if (header == 0) return zstd_compress(level, planes, all, out, room);
  std::memmove(packed, packed + header, done - header);
  put32(out, 0xfd2fb528u);
  out[4] = 0xa0;  // one segment; four bytes of size
  put32(out + 5, all);
  std::uint8_t* to = out + kHeader;
  for (std::size_t at = 0; at < raw; at += kMostRaw) {
    const std::size_t part = std::min(kMostRaw, raw - at);
    put32(to, part << 3);  // not the last block, raw; its fourth byte is overwritten
    std::memcpy(to + kBlockHeader, planes + at, part);
    to += kBlockHeader + part;
  }
  return begin + done - header;
}

// `planes`: bit planes in `in`, or 0 where they are not.
std::size_t compress(const Codec& codec, const std::uint8_t* in, std::size_t size, std::size_t planes,
                     std::uint8_t* out, std::size_t room) {
  if (codec.coder == Coder::blosc_zstd) {  // Blosc's levels 1 to 9 stand for zstd's 1, 3 ... 15, 22
    const int level = codec.level >= 9 ? 22 : std::max(1, 2 * codec.level - 1);
    return planes ? compress_planes(level, in, planes, size / planes, out, room)
                  : zstd_compress(level, in, size, out, room);
  }
  const int done =
      libraries.lz4_compress(reinterpret_cast<const char*>(in), reinterpret_cast<char*>(out), static_cast<int>(size),
                             static_cast<int>(room), std::max(1, 10 - codec.level));
  return done > 0 ? static_cast<std::size_t>(done) : 0;
}

// One stream of a frame, `room` bytes when decoded.
void decompress(int format, const std::uint8_t* in, std::size_t size, std::uint8_t* out, std::size_t room) {
  if (size == room) {
    std::memcpy(out, in, size);
  } else if (format == kZstd) {
    zstd_decompress(in, size, out, room);
  } else if (format == kLz4) {
    const int done = libraries.lz4_decompress(reinterpret_cast<const char*>(in), reinterpret_cast<char*>(out),
                                              static_cast<int>(size), static_cast<int>(room));
    if (done < 0 || static_cast<std::size_t>(done) != room) throw Damaged("a chunk cannot be decoded");
  } else {
    throw Damaged("a chunk is compressed in a way that its metadata do not say");
  }
}

// Blosc leaves blocks alone whose number of elements is not a multiple of 8.
bool whole(std::size_t block, std::size_t size) { return block / size % 8 == 0; }

// Into `frame`, which has room for kHeader + 8 * (kBlocks + 1) + size bytes; returns how many it takes.
std::size_t encode_frame(const Codec& codec, const std::uint8_t* chunk, std::size_t size, std::uint8_t* frame) {
  // kBlocks runs of planes, so that a reader decodes no more than it needs; fewer than 8 elements at the end make a
  // block of their own, so that the others can be shuffled
  const std::size_t unit = 8 * codec.size, parts = size >= kLeast * kBlocks ? kBlocks : 1;
  const std::size_t block = size < unit  ? size
                            : parts == 1 ? size / unit * unit
                                         : (size / parts + unit - 1) / unit * unit;
  const std::size_t blocks = (size + block - 1) / block;
  const bool lz4 = codec.coder == Coder::blosc_lz4;
  frame[0] = 2;
  frame[1] = 1;
  frame[2] = static_cast<std::uint8_t>((codec.shuffle ? kBitShuffle : 0) | kOneStream | (lz4 ? kLz4 : kZstd) << 5);
  frame[3] = static_cast<std::uint8_t>(codec.size);
  put32(frame + 4, size);
  put32(frame + 8, block);
  std::size_t at = kHeader + 4 * blocks;
  bool smaller = true;
  for (std::size_t b = 0; b < blocks && smaller; ++b) {
    const std::size_t count = std::min(block, size - b * block);
    const std::uint8_t* from = chunk + b * block;
    std::size_t planes_in = 0;
    if (codec.shuffle && whole(count, codec.size)) {
      std::uint8_t* to = planes(count);
      bitshuffle().shuffle(from, to, count / codec.size, codec.size);
      std::memcpy(to + count / codec.size * codec.size, from + count / codec.size * codec.size, count % codec.size);
      from = to;
      planes_in = count % (8 * codec.size) ? 0 : 8 * codec.size;
    }
    put32(frame + kHeader + 4 * b, at);
    std::size_t done = count > 1 ? compress(codec, from, count, planes_in, frame + at + 4, count - 1) : 0;
    if (done == 0) {
      if (at + 4 + count > kHeader + size) {
        smaller = false;
        break;
      }
      std::memcpy(frame + at + 4, from, count);
      done = count;
    }
    put32(frame + at, done);
    at += 4 + done;
    smaller = at < kHeader + size;
  }
  if (!smaller) {  // as it is
    frame[2] |= kStored;
    std::memcpy(frame + kHeader, chunk, size);
    at = kHeader + size;
  }
  put32(frame + 12, at);
  return at;
}

// Elements of `item` bytes from bit planes: of the block [begin, end) of a chunk what is wanted.
void unshuffle_wanted(const std::uint8_t* planes, std::uint8_t* block, std::size_t begin, std::size_t elements,
                      std::size_t item, const Wanted& wanted) {
  const std::size_t end = begin + elements * item;
  const bool whole_slices = wanted.low == 0 && wanted.high == wanted.slice;
  std::size_t at = std::max(begin, wanted.begin), next = 0;
  const std::size_t stop = std::min(end, wanted.end);
  while (at < stop) {
    const std::size_t slice = at / wanted.slice * wanted.slice;
    const std::size_t first = whole_slices ? at : std::max(at, slice + wanted.low);
    const std::size_t last = whole_slices ? stop : std::min(stop, slice + wanted.high);
    const std::size_t from = std::max(next, (std::max(first, begin) - begin) / item);
    if (first < last && from < (last - begin) / item)
      next = bitshuffle().unshuffle(planes, block, elements, item, from, (last - begin) / item);
    at = whole_slices ? stop : slice + wanted.slice;
  }
}

void decode_frame(const std::uint8_t* frame, std::size_t frame_size, std::uint8_t* chunk, std::size_t size,
                  const Wanted& wanted) {
  if (frame_size < kHeader) throw Damaged("a chunk is cut short");
  const std::uint8_t flags = frame[2];
  const std::size_t block = get32(frame + 8);
  const std::size_t item = frame[3];  // some writers always say 1
  if ((item != 1 && item != 2 && item != 4 && item != 8) || get32(frame + 4) != size ||
      get32(frame + 12) != frame_size || flags & kByteShuffle)
    throw Damaged("a chunk is not what its metadata say");
  if (flags & kStored) {
    if (frame_size != kHeader + size) throw Damaged("a chunk is cut short");
    std::memcpy(chunk, frame + kHeader, size);
    return;
  }
  if (block == 0 || block > size || block % item) throw Damaged("a chunk is not what its metadata say");
  const std::size_t blocks = (size + block - 1) / block;
  if (frame_size < kHeader + 4 * blocks) throw Damaged("a chunk is cut short");
  for (std::size_t b = 0; b < blocks; ++b) {
    if ((b + 1) * block <= wanted.begin || b * block >= wanted.end) continue;
    const std::size_t count = std::min(block, size - b * block);
    const bool shuffled = flags & kBitShuffle && whole(count, item);
    std::uint8_t* to = shuffled ? planes(count) : chunk + b * block;
    const std::size_t streams = flags & kOneStream || count < block ? 1 : item;
    std::size_t at = get32(frame + kHeader + 4 * b);
    for (std::size_t s = 0; s < streams; ++s) {
      if (at > frame_size || frame_size - at < 4) throw Damaged("a chunk points outside itself");
      const std::size_t packed = get32(frame + at);
      at += 4;
      if (packed > frame_size - at) throw Damaged("a chunk points outside itself");
      decompress(flags >> 5, frame + at, packed, to + s * (count / streams), count / streams);
      at += packed;
    }
    if (shuffled) {
      const std::size_t elements = count / item, left = elements * item;
      unshuffle_wanted(to, chunk + b * block, b * block, elements, item, wanted);
      std::memcpy(chunk + b * block + left, to + left, count - left);
    }
  }
}

}  // namespace

void encode_chunk(const Codec& codec, const std::uint8_t* chunk, std::size_t size, std::vector<std::uint8_t>& out) {
  std::vector<std::uint8_t>& stored = tools.stored;
  const std::size_t room = std::max(libraries.zstd_bound(size), kHeader + 8 * (kBlocks + 1) + size) + 4;
  if (stored.size() < room) stored.resize(room);
  std::size_t done;
  if (codec.coder == Coder::zstd) {
    done = zstd_compress(codec.level, chunk, size, stored.data(), room - 4);
    if (done == 0) throw std::bad_alloc();
  } else {
    done = encode_frame(codec, chunk, size, stored.data());
  }
  put32(stored.data() + done, crc32c(stored.data(), done));
  out.insert(out.end(), stored.data(), stored.data() + done + 4);
}

void decode_chunk(const Codec& codec, const std::uint8_t* stored, std::size_t stored_size, std::uint8_t* chunk,
                  std::size_t size, const Wanted& wanted) {
  if (stored_size < 4 || crc32c(stored, stored_size - 4) != get32(stored + stored_size - 4))
    throw Damaged("a chunk differs from its checksum");
  stored_size -= 4;
  if (codec.coder == Coder::zstd)
    zstd_decompress(stored, stored_size, chunk, size);
  else
    decode_frame(stored, stored_size, chunk, size, wanted);
}

}  // namespace fastimg::cohort
