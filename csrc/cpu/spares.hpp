// Working memory that chunks hand on to one another, so that a loop makes as many as it has threads: fresh pages cost a
// clearing.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

namespace fastimg::cpu {

template <class T>
class Spares {
 public:
  // f(T&): with one that nobody uses; made from `arguments` where there is none.
  template <class F, class... Arguments>
  void with(F f, const Arguments&... arguments) {
    std::unique_ptr<T> one = take();
    if (!one) one = std::make_unique<T>(arguments...);
    f(*one);
    const std::lock_guard<std::mutex> lock(mutex_);
    spare_.push_back(std::move(one));
  }

 private:
  std::unique_ptr<T> take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (spare_.empty()) return nullptr;
    std::unique_ptr<T> one = std::move(spare_.back());
    spare_.pop_back();
    return one;
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<T>> spare_;
};

}  // namespace fastimg::cpu
