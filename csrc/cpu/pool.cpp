#include "cpu/pool.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

namespace fastimg::cpu {
namespace {

thread_local bool inside_job = false;

// Loops come one after another, some microseconds apart: to sleep and be woken in between takes longer than many of
// them. A thread looks for news for a while before it sleeps.
template <class F>
bool comes_soon(F news) {
  constexpr std::chrono::microseconds kWhile{60};
  const auto began = std::chrono::steady_clock::now();
  do {
    for (int turn = 0; turn < 32; ++turn) {
      if (news()) return true;
#ifdef FASTIMG_X86
      __builtin_ia32_pause();
#elif defined(__aarch64__)
      asm volatile("isb");
#endif
    }
  } while (std::chrono::steady_clock::now() - began < kWhile);
  return false;
}

// A loop's chunks, an equal run of them for each thread. A thread begins with its own run and goes on in the others':
// what one loop left in a core's cache, the next one over the same data finds there, and results that are touched for
// the first time lie in different pages.
struct Job {
  static constexpr int kRuns = 64;
  struct alignas(64) Run {
    std::atomic<std::int64_t> next;
    std::int64_t end;
  };

  std::int64_t count, grain;
  Body body;
  void* context;
  int seats;  // further threads that may join
  int runs;
  Run run[kRuns];
  std::atomic<int> running{0};  // grows under the pool's mutex; at 0 the job may be gone
  std::exception_ptr error;

  Job(std::int64_t n, std::int64_t chunk, std::int64_t chunks, Body f, void* with, int helpers)
      : count(n), grain(chunk), body(f), context(with), seats(helpers), runs(std::min(helpers + 1, kRuns)) {
    for (int i = 0; i < runs; ++i) {
      run[i].next.store(chunks * i / runs * grain, std::memory_order_relaxed);
      run[i].end = std::min(count, chunks * (i + 1) / runs * grain);
    }
  }

  bool exhausted() const {
    for (int i = 0; i < runs; ++i)
      if (run[i].next.load(std::memory_order_relaxed) < run[i].end) return false;
    return true;
  }

  void work(std::mutex& mutex, std::size_t thread) {
    inside_job = true;
    for (int turn = 0; turn < runs; ++turn) {
      Run& mine = run[(thread + static_cast<std::size_t>(turn)) % static_cast<std::size_t>(runs)];
      for (;;) {
        const std::int64_t begin = mine.next.fetch_add(grain, std::memory_order_relaxed);
        if (begin >= mine.end) break;
        try {
          body(context, begin, std::min(begin + grain, count));
        } catch (...) {
          std::lock_guard<std::mutex> lock(mutex);
          if (!error) error = std::current_exception();
          for (int i = 0; i < runs; ++i) run[i].next.store(count, std::memory_order_relaxed);
        }
      }
    }
    inside_job = false;
  }
};

class Pool {
 public:
  void run(Job& job) {
    std::unique_lock<std::mutex> lock(mutex_);
    while (static_cast<int>(workers_.size()) < job.seats)
      workers_.emplace_back([this, own = workers_.size() + 1] { serve(own); });
    jobs_.push_back(&job);
    const bool many = job.seats > 1;
    lock.unlock();
    posted_.fetch_add(1, std::memory_order_release);  // who sees it finds the mutex free
    many ? wake_.notify_all() : wake_.notify_one();
    job.work(mutex_, 0);
    lock.lock();
    jobs_.erase(std::find(jobs_.begin(), jobs_.end(), &job));
    lock.unlock();
    const auto ended = [&] { return job.running.load(std::memory_order_acquire) == 0; };
    if (comes_soon(ended)) return;
    lock.lock();
    done_.wait(lock, ended);
  }

 private:
  void serve(std::size_t own) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      Job* job = open_job();
      if (!job) {
        const auto seen = posted_.load(std::memory_order_relaxed);
        lock.unlock();
        const bool news = comes_soon([&] { return posted_.load(std::memory_order_acquire) != seen; });
        lock.lock();
        if (!news) wake_.wait(lock, [&] { return open_job() != nullptr; });
        continue;
      }
      --job->seats;
      ++job->running;
      lock.unlock();
      job->work(mutex_, own);
      lock.lock();
      if (--job->running == 0) done_.notify_all();  // the job is not touched after that
    }
  }

  Job* open_job() {
    for (Job* job : jobs_)
      if (job->seats > 0 && !job->exhausted()) return job;
    return nullptr;
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::deque<Job*> jobs_;
  std::atomic<std::uint64_t> posted_{0};
  std::vector<std::thread> workers_;
};

// Never destroyed: its threads sleep until the process ends. After a fork the child has none of them, so it starts
// anew.
alignas(Pool) unsigned char storage[sizeof(Pool)];
Pool* pool = nullptr;
std::mutex* birth = new std::mutex;

void forget() {
  birth = new std::mutex;
  pool = nullptr;
  inside_job = false;
}

Pool& shared_pool() {
  std::lock_guard<std::mutex> lock(*birth);
  if (!pool) {
    static const int registered = pthread_atfork(nullptr, nullptr, forget);
    (void)registered;
    pool = new (storage) Pool;
  }
  return *pool;
}

std::atomic<int> configured{0};

}  // namespace

int threads() {
  const int count = configured.load(std::memory_order_relaxed);
  if (count > 0) return count;
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return std::max(1, CPU_COUNT(&allowed));
  return std::max(1u, std::thread::hardware_concurrency());
}

void set_threads(int count) { configured.store(count, std::memory_order_relaxed); }

void run(std::int64_t count, std::int64_t grain, int wanted, Body body, void* context) {
  if (count <= 0) return;
  grain = std::max<std::int64_t>(1, grain);
  const std::int64_t chunks = (count + grain - 1) / grain;
  const int helpers = static_cast<int>(std::min<std::int64_t>(chunks, wanted > 0 ? wanted : threads())) - 1;
  if (helpers <= 0 || inside_job) {
    for (std::int64_t begin = 0; begin < count; begin += grain) body(context, begin, std::min(begin + grain, count));
    return;
  }
  Job job(count, grain, chunks, body, context, helpers);
  shared_pool().run(job);
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace fastimg::cpu
