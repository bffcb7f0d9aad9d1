// Files and folders brought to the disk.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>
#include <thread>
#include <vector>

namespace fastimg::cohort {

// Lets the disk begin to write what stands in the file, so that the fsync that follows waits the less.
inline void begin_flush(int fd) {
#ifdef SYNC_FILE_RANGE_WRITE
  (void)::sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
#else
  (void)fd;
#endif
}

// fsync of all, four at a time: those that wait for the same commit of a journal, or the same flush of the disk's
// cache, wait for it once. Throws std::system_error with the error of one that failed.
inline void flush(const std::vector<int>& files) {
  constexpr std::size_t kTogether = 4;
  std::atomic<std::size_t> next{0};
  std::atomic<int> error{0};
  const auto some = [&] {
    for (std::size_t k; (k = next++) < files.size();) {
      int done;
      do done = ::fsync(files[k]);
      while (done != 0 && errno == EINTR);
      if (done != 0) error = errno;
    }
  };
  std::vector<std::thread> others;
  try {
    while (others.size() + 1 < std::min(kTogether, files.size())) others.emplace_back(some);
  } catch (const std::system_error&) {  // no room for threads: those that there are do it
  }
  some();
  for (auto& one : others) one.join();
  if (error != 0) throw std::system_error(error, std::generic_category());
}

}  // namespace fastimg::cohort
