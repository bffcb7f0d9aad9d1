#include "cpu/pages.hpp"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdint>
#include <deque>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace fastimg::cpu {
namespace {

struct Block {
  void* at;
  std::size_t size;
};

void* map(std::size_t size) {
  void* const raw = mmap(nullptr, size + kPages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  char* const from = static_cast<char*>(raw);
  const std::size_t before = (kPages - reinterpret_cast<std::uintptr_t>(raw) % kPages) % kPages;
  if (before) munmap(from, before);
  munmap(from + before + size, kPages - before);
#ifdef MADV_HUGEPAGE
  madvise(from + before, size, MADV_HUGEPAGE);
#endif
  return from + before;
}

void unmap(const std::vector<Block>& blocks) {
  for (const Block& block : blocks) munmap(block.at, block.size);
}

class Pages {
 public:
  void* take(std::size_t bytes) {
    const std::size_t size = (bytes + kPages - 1) / kPages * kPages;
    if (size < bytes || size + kPages < size) return nullptr;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      const auto found = fitting(size);
      if (found != unused_.end()) {
        const Block block = *found;
        used_.emplace(block.at, Use{bytes, block.size});
        unused_.erase(found);
        kept_ -= block.size;
        return block.at;
      }
    }
    void* at = map(size);
    if (!at) {  // an address space with a limit: what lies unused may be in the way
      drop_all();
      at = map(size);
    }
    if (!at) return nullptr;
    const std::lock_guard<std::mutex> lock(mutex);
    used_.emplace(at, Use{bytes, size});
    return at;
  }

  bool give(void* at) {
    std::vector<Block> gone;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      const auto found = used_.find(at);
      if (found == used_.end()) return false;
      const Block block{at, found->second.size};
      used_.erase(found);
      if (block.size > limit_) {
        gone.push_back(block);
      } else {
        if (kept_ + block.size > limit_) drop(gone, kept_ + block.size - limit_);
#ifdef MADV_FREE
        madvise(at, block.size, MADV_FREE);  // the system takes such pages first, and without writing them anywhere
#endif
        unused_.push_back(block);
        kept_ += block.size;
      }
    }
    unmap(gone);
    return true;
  }

  std::size_t asked(void* at) {
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = used_.find(at);
    return found == used_.end() ? 0 : found->second.asked;
  }

  void limit(std::size_t bytes) {
    std::vector<Block> gone;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      limit_ = bytes;
      if (kept_ > limit_) drop(gone, kept_ - limit_);
    }
    unmap(gone);
  }

  std::size_t limit() {
    const std::lock_guard<std::mutex> lock(mutex);
    return limit_;
  }

  std::size_t kept() {
    const std::lock_guard<std::mutex> lock(mutex);
    return kept_;
  }

  void drop_all() {
    std::vector<Block> gone;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      drop(gone, kept_);
    }
    unmap(gone);
  }

  // In a child the pages are shared with the parent, and to write to one copies it: worse than a new one.
  void forget() {
    for (const Block& block : unused_) munmap(block.at, block.size);
    unused_.clear();
    kept_ = 0;
  }

  std::mutex mutex;

 private:
  struct Use {
    std::size_t asked, size;
  };

  // The smallest unused block that holds `size` and wastes an eighth of itself at most.
  std::deque<Block>::iterator fitting(std::size_t size) {
    auto best = unused_.end();
    for (auto one = unused_.begin(); one != unused_.end(); ++one)
      if (one->size >= size && one->size - size <= one->size / 8 && (best == unused_.end() || one->size <= best->size))
        best = one;
    return best;
  }

  // Unused blocks of `size` bytes together, the oldest first.
  void drop(std::vector<Block>& gone, std::size_t size) {
    for (std::size_t so_far = 0; so_far < size && !unused_.empty(); unused_.pop_front()) {
      gone.push_back(unused_.front());
      so_far += unused_.front().size;
      kept_ -= unused_.front().size;
    }
  }

  std::deque<Block> unused_;  // the oldest first
  std::unordered_map<void*, Use> used_;
  std::size_t limit_ = 0, kept_ = 0;
};

// Never destroyed: arrays outlive the module's statics.
Pages& pages() {
  static Pages* const one = [] {
    auto* const made = new Pages;
    pthread_atfork([] { pages().mutex.lock(); }, [] { pages().mutex.unlock(); },
                   [] {
                     pages().forget();
                     pages().mutex.unlock();
                   });
    return made;
  }();
  return *one;
}

}  // namespace

void* take_pages(std::size_t bytes) { return pages().take(bytes); }
bool give_pages(void* block) { return pages().give(block); }
std::size_t pages_of(void* block) { return pages().asked(block); }
std::size_t kept_limit() { return pages().limit(); }
void set_kept_limit(std::size_t bytes) { pages().limit(bytes); }
std::size_t kept() { return pages().kept(); }

}  // namespace fastimg::cpu
