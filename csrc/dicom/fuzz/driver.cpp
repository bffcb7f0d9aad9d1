// Replays a corpus through the fuzz target with any compiler: driver FILE... [--mutants N]; each file, then N mutants
// of it.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

// A block of exactly its size, so that AddressSanitizer sees the first byte beyond it.
void run(const Bytes& bytes) {
  std::unique_ptr<std::uint8_t[]> block(new std::uint8_t[bytes.size()]);
  if (!bytes.empty()) std::memcpy(block.get(), bytes.data(), bytes.size());
  LLVMFuzzerTestOneInput(block.get(), bytes.size());
}

Bytes mutant(Bytes bytes, std::mt19937_64& random) {
  static constexpr std::uint32_t kLengths[] = {0, 8, 0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 0x80000000};
  for (std::uint64_t turns = 1 + random() % 5; turns-- && bytes.size() > 8;) {
    const std::size_t at = random() % bytes.size();
    switch (random() % 5) {
      case 0:
        bytes[at] ^= static_cast<std::uint8_t>(1u << random() % 8);
        break;
      case 1:
        bytes.resize(at);
        break;
      case 2:
        if (at + 4 <= bytes.size()) std::memcpy(&bytes[at], &kLengths[random() % 6], 4);
        break;
      case 3:
        bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                    bytes.begin() + static_cast<std::ptrdiff_t>(std::min(bytes.size(), at + 1 + random() % 30)));
        break;
      default: {
        const std::uint8_t item[8] = {
            0xFE, 0xFF, static_cast<std::uint8_t>(random() % 2 ? 0x00 : 0xDD), 0xE0, 0xFF, 0xFF, 0xFF, 0xFF};
        if (at + 8 <= bytes.size()) std::memcpy(&bytes[at], item, 8);
      }
    }
  }
  return bytes;
}

}  // namespace

int main(int count, char** arguments) {
  long mutants = 0, done = 0;
  std::vector<std::string> files;
  for (int i = 1; i < count; ++i) {
    if (!std::strcmp(arguments[i], "--mutants") && i + 1 < count)
      mutants = std::atol(arguments[++i]);
    else
      files.emplace_back(arguments[i]);
  }
  std::mt19937_64 random(1);
  for (const std::string& name : files) {
    std::ifstream file(name, std::ios::binary);
    const Bytes bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    run(bytes);
    ++done;
    for (long i = 0; i < mutants; ++i, ++done) run(mutant(bytes, random));
  }
  std::printf("%ld\n", done);
  return 0;
}
