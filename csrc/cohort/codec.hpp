// Chunks to and from the bytes that Zarr stores: Blosc-1 frames (zstd or lz4, bitshuffle) and plain zstd frames, each
// followed by the CRC-32C of itself.
//
// The entropy coders are those of libzstd and liblz4, handed over as addresses (the ones that imagecodecs carries); the
// framing and the shuffle are ours, so that contexts are made once a thread and not once a block, which is what costs
// c-blosc a third of its time on chunks of 64 KB. Frames: c-blosc 1.21, README_CHUNK_FORMAT.rst.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace fastimg::cohort {

// A stored byte differs from what was written.
struct Damaged : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// libzstd's and liblz4's functions, by their own names and signatures.
struct Libraries {
  void* (*zstd_create_cctx)();
  void* (*zstd_create_dctx)();
  std::size_t (*zstd_free_cctx)(void*);  // these two may be null: nothing is to be freed
  std::size_t (*zstd_free_dctx)(void*);
  std::size_t (*zstd_compress)(void*, void* out, std::size_t room, const void* in, std::size_t size, int level);
  std::size_t (*zstd_decompress)(void*, void* out, std::size_t room, const void* in, std::size_t size);
  unsigned (*zstd_is_error)(std::size_t);
  std::size_t (*zstd_bound)(std::size_t);
  std::size_t (*zstd_set)(void*, int parameter, int value);  // null where parameters cannot be set
  std::size_t (*zstd_compress2)(void*, void* out, std::size_t room, const void* in, std::size_t size);
  int (*lz4_compress)(const char* in, char* out, int size, int room, int acceleration);
  int (*lz4_decompress)(const char* in, char* out, int size, int room);
  unsigned turn;  // rises when other functions are put in place: contexts of the ones before are not theirs
};
extern Libraries libraries;

enum class Coder { zstd, blosc_zstd, blosc_lz4 };

struct Codec {
  Coder coder;
  int level;         // as in the codec's settings: Blosc's 1 to 9, or zstd's own
  bool shuffle;      // bit planes; of Blosc only
  std::size_t size;  // bytes of an element: 1, 2, 4 or 8
};

// Appends the stored form of a chunk of `size` bytes to `out`.
void encode_chunk(const Codec& codec, const std::uint8_t* chunk, std::size_t size, std::vector<std::uint8_t>& out);

// Bytes of a chunk that a reader asks for: of [begin, end) those whose place in their slice of `slice` bytes is in
// [low, high).
struct Wanted {
  std::size_t begin, end, slice, low, high;
};

// The opposite: into `chunk`, which has `size` bytes, at least those wanted. Throws Damaged; `stored` may hold any
// bytes, and all of them are checked.
void decode_chunk(const Codec& codec, const std::uint8_t* stored, std::size_t stored_size, std::uint8_t* chunk,
                  std::size_t size, const Wanted& wanted);

}  // namespace fastimg::cohort
