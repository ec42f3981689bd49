// A read miss of ArgoDSM: node 0 writes pages that it is the home of; node 1 loads each once, out of order, and times that.
// Prints, for each round: pages, wrong values, median and p99 in microseconds.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "argo.hpp"

namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kAllPages = 8192;
constexpr std::size_t kPages = 2048;
// As in bench/src/sweep.rs.
constexpr std::size_t kStride = 1597;
constexpr int kRounds = 5;

using Word = volatile std::uint64_t;

void time_loads(char *base, const std::vector<std::size_t> &pages, int round) {
  std::vector<double> times;
  std::size_t wrong = 0;
  for (std::size_t index = 0; index < pages.size(); index++) {
    const std::size_t page = pages[index * kStride % pages.size()];
    const auto begun = std::chrono::steady_clock::now();
    const std::uint64_t found = *reinterpret_cast<Word *>(base + page * kPageBytes);
    const auto ended = std::chrono::steady_clock::now();
    times.push_back(std::chrono::duration<double, std::micro>(ended - begun).count());
    wrong += found != page + 1 + round;
  }
  std::sort(times.begin(), times.end());
  std::printf("pages=%zu wrong=%zu median_us=%.1f p99_us=%.1f\n", times.size(), wrong, times[times.size() / 2],
              times[times.size() * 99 / 100]);
  std::fflush(stdout);
}

}  // namespace

int main() {
  argo::init(256UL << 20, 64UL << 20);
  char *base = argo::conew_array<char>(kAllPages * kPageBytes);
  std::vector<std::size_t> pages;
  for (std::size_t page = 0; page < kAllPages && pages.size() < kPages; page++) {
    if (argo::get_homenode(base + page * kPageBytes) == 0) pages.push_back(page);
  }
  for (int round = 0; round < kRounds; round++) {
    if (argo::node_id() == 0) {
      for (std::size_t page : pages) *reinterpret_cast<Word *>(base + page * kPageBytes) = page + 1 + round;
    }
    argo::barrier();
    if (argo::node_id() == 1) time_loads(base, pages, round);
    argo::barrier();
  }
  argo::finalize();
}
