// Pages of results that are gone, kept for the next result: the system clears each page that it hands out, which takes
// as long as many a loop does, and malloc gives every large block back at once.
#pragma once

#include <cstddef>

namespace fastimg::cpu {

constexpr std::size_t kPages = std::size_t{2} << 20;  // blocks are whole huge pages, and begin at one

// An uninitialised block; nullptr where the system has none. What one holds of an earlier result is not cleared.
void* take_pages(std::size_t bytes);

// Takes a block back, keeps it or returns it to the system. False: the address is of no such block.
bool give_pages(void* block);

// The size asked for of a block in use, 0 if the address is of none.
std::size_t pages_of(void* block);

// Bytes at most that lie unused; the system may take them where memory is short. 0 keeps none.
std::size_t kept_limit();
void set_kept_limit(std::size_t bytes);
std::size_t kept();

}  // namespace fastimg::cpu
