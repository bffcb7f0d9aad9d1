// The C++ below Python, tested without Python: on this machine under sanitizers, and on aarch64 under qemu-user.
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "cpu/aligned.hpp"
#include "cpu/pages.hpp"
#include "cpu/pool.hpp"
#include "harmonize/window.hpp"

#define CHECK(condition)                                                   \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                        \
    }                                                                      \
  } while (false)

namespace cpu = fastimg::cpu;

static void every_index_is_visited_once() {
  for (int threads : {1, 2, 5, 100})
    for (std::int64_t count : {0, 1, 7, 1000, 4097}) {
      std::vector<std::atomic<int>> seen(count);
      cpu::parallel_for(count, 64, threads, [&](std::int64_t begin, std::int64_t end) {
        CHECK(begin % 64 == 0 && end - begin <= 64);
        for (std::int64_t i = begin; i < end; ++i) ++seen[i];
      });
      for (auto& times : seen) CHECK(times == 1);
    }
}

static void an_exception_reaches_the_caller() {
  for (int threads : {1, 4}) {
    bool caught = false;
    try {
      cpu::parallel_for(100, 1, threads, [](std::int64_t begin, std::int64_t) {
        if (begin == 37) throw std::runtime_error("37");
      });
    } catch (const std::runtime_error& error) {
      caught = std::string(error.what()) == "37";
    }
    CHECK(caught);
  }
}

static void nested_loops_do_not_wait_for_each_other() {
  std::atomic<std::int64_t> total{0};
  cpu::parallel_for(16, 1, 4, [&](std::int64_t, std::int64_t) {
    cpu::parallel_for(100, 10, 4, [&](std::int64_t begin, std::int64_t end) { total += end - begin; });
  });
  CHECK(total == 1600);
}

static void aligned_blocks_are_aligned() {
  for (std::size_t count : {0, 1, 63, 1000}) {
    const auto block = cpu::aligned<float>(count);
    CHECK(reinterpret_cast<std::uintptr_t>(block.get()) % cpu::kCacheLine == 0);
  }
  bool refused = false;
  try {
    cpu::aligned<double>(~std::size_t{0} / 4);
  } catch (const std::bad_alloc&) {
    refused = true;
  }
  CHECK(refused);
}

static void pages_belong_to_one_at_a_time() {
  cpu::set_kept_limit(3 * cpu::kPages);
  cpu::parallel_for(64, 1, 4, [](std::int64_t begin, std::int64_t) {
    const std::size_t size = cpu::kPages * static_cast<std::size_t>(1 + begin % 3) - static_cast<std::size_t>(begin);
    char* const block = static_cast<char*>(cpu::take_pages(size));
    CHECK(block && reinterpret_cast<std::uintptr_t>(block) % cpu::kPages == 0 && cpu::pages_of(block) == size);
    const char own = static_cast<char>(begin);
    for (std::size_t i = 0; i < size; i += 4096) block[i] = own;
    for (std::size_t i = 0; i < size; i += 4096) CHECK(block[i] == own);
    CHECK(!cpu::give_pages(block + 64) && cpu::give_pages(block));
  });
  CHECK(0 < cpu::kept() && cpu::kept() <= 3 * cpu::kPages);
  void* const once = cpu::take_pages(1);
  CHECK(cpu::give_pages(once) && !cpu::give_pages(once));
  cpu::set_kept_limit(0);
  CHECK(cpu::kept() == 0);
  CHECK(cpu::take_pages(~std::size_t{0} - 5) == nullptr && cpu::take_pages(std::size_t{1} << 62) == nullptr);
}

static void a_window_is_the_formula_at_every_level() {
  std::vector<std::int16_t> in(100003);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<std::int16_t>((i * 7919) % 4001 - 2000);
  std::vector<float> out(in.size());
  for (int level = 0; level <= static_cast<int>(cpu::supported()); ++level) {
    cpu::set_level(static_cast<cpu::Level>(level));
    fastimg::harmonize::window(in.data(), out.data(), in.size(), -160.f, 240.f, 1.f / 400.f, 2);
    for (std::size_t i = 0; i < in.size(); ++i) {
      float x = in[i] < -160 ? -160.f : in[i] > 240 ? 240.f : in[i];
      CHECK(out[i] == (x + 160.f) * (1.f / 400.f));
    }
  }
}

int main() {
  static const cpu::Api api{cpu::kApiVersion, cpu::run, cpu::level, cpu::threads};
  cpu::imported = &api;
  every_index_is_visited_once();
  an_exception_reaches_the_caller();
  nested_loops_do_not_wait_for_each_other();
  aligned_blocks_are_aligned();
  pages_belong_to_one_at_a_time();
  a_window_is_the_formula_at_every_level();
  std::puts("native tests passed");
}
