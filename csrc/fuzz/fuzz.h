// What the fuzz programs share.  Each is a loop over seeded, independent rounds:
//
//     fuzz_json [ROUNDS] [SEED]      round i of seed S is always the same input
//
// A failed check prints the seed of its round and aborts; `fuzz_json 1 THAT_SEED` runs it alone.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace fuzz {

// splitmix64 (Steele, Lea and Flood 2014): every seed is a good one, so that rounds may be numbered.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next() {
        std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        return z ^ z >> 31;
    }
    std::size_t below(std::size_t limit) { return static_cast<std::size_t>(next() % limit); }
    bool one_in(std::size_t count) { return below(count) == 0; }
    template <typename Container>
    const typename Container::value_type& pick(const Container& items) {
        return items[below(items.size())];
    }

private:
    std::uint64_t state_;
};

inline std::uint64_t& current_seed() {
    static std::uint64_t seed = 0;
    return seed;
}

inline void print_seed() { std::fprintf(stderr, "the seed of this round: %llu\n", (unsigned long long)current_seed()); }

#define FUZZ_CHECK(condition)                                                              \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);   \
            fuzz::print_seed();                                                            \
            std::abort();                                                                  \
        }                                                                                  \
    } while (false)

// Runs round(Random&) as often as the command line says.
template <typename Round>
int run(int count, char** arguments, std::uint64_t default_rounds, Round round) {
    const std::uint64_t rounds = count > 1 ? std::strtoull(arguments[1], nullptr, 10) : default_rounds;
    const std::uint64_t seed = count > 2 ? std::strtoull(arguments[2], nullptr, 10) : 1;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    __sanitizer_set_death_callback(print_seed);
#endif
    std::set_terminate([] {
        std::fprintf(stderr, "an exception that no one expects\n");
        print_seed();
        std::abort();
    });
    for (std::uint64_t i = 0; i < rounds; ++i) {
        current_seed() = seed + i;
        Random random(seed + i);
        round(random);
    }
    std::printf("%s: %llu rounds from seed %llu\n", arguments[0], (unsigned long long)rounds, (unsigned long long)seed);
    return 0;
}

}  // namespace fuzz
