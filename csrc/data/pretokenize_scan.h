// Runs of one class of characters: what the rules are made of.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "pretokenize.h"
#include "unicode_classes.h"

namespace heph {

using Bytes = const std::uint8_t*;

// Class bits of the ASCII bytes, 0 for the others.
extern const std::uint8_t kAsciiClass[256];

// A character: its class bits (0: none, or not UTF-8) and its bytes.
struct Character {
    unsigned bits;
    unsigned size;
};

// Decodes the character at `at` < `end`, which is not ASCII.
inline Character decode_wide(Bytes at, Bytes end) {
    const auto tail = [](std::uint8_t byte) { return static_cast<std::uint32_t>(byte ^ 0x80); };  // < 64 if valid
    const auto room = end - at;
    const std::uint32_t lead = at[0];
    if (lead >= 0xE0 && lead < 0xF0 && room >= 3) {
        const std::uint32_t code = (lead & 15) << 12 | tail(at[1]) << 6 | tail(at[2]);
        if ((tail(at[1]) | tail(at[2])) < 64 && code >= 0x800) return {unicode_class(code), 3};
    } else if (lead >= 0xC2 && lead < 0xE0 && room >= 2) {
        if (tail(at[1]) < 64) return {unicode_class((lead & 31) << 6 | tail(at[1])), 2};
    } else if (lead >= 0xF0 && lead < 0xF5 && room >= 4) {
        const std::uint32_t code = (lead & 7) << 18 | tail(at[1]) << 12 | tail(at[2]) << 6 | tail(at[3]);
        if ((tail(at[1]) | tail(at[2]) | tail(at[3])) < 64 && code >= 0x10000 && code < 0x110000) {
            return {unicode_class(code), 4};
        }
    }
    return {0, 1};
}

// How many of the bytes at `at` are ASCII letters: all 16 of them, or fewer.
inline unsigned ascii_letters(Bytes at) {
#if defined(__SSE2__)
    const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i lower = _mm_or_si128(text, _mm_set1_epi8(0x20));
    // 'a'..'z' become -128..-103: one signed comparison.
    const __m128i shifted = _mm_sub_epi8(lower, _mm_set1_epi8(static_cast<char>('a' + 128)));
    const __m128i is_letter = _mm_cmplt_epi8(shifted, _mm_set1_epi8(-128 + 26));
    const unsigned others = ~static_cast<unsigned>(_mm_movemask_epi8(is_letter));
    return static_cast<unsigned>(__builtin_ctz(others));  // bits 16.. are set
#else
    unsigned count = 0;
    while (count < 16 && (kAsciiClass[at[count]] & kLetters) != 0) ++count;
    return count;
#endif
}

// Scans one text; `seen` and `unknown` are the cursor's.
class Scanner {
public:
    explicit Scanner(const TextCursor& cursor) : end_(cursor.end), seen_(cursor.seen) {}

    Bytes end() const { return end_; }
    unsigned seen() const { return seen_; }
    bool unknown() const { return unknown_; }

    // The character at `at`, which may be the end: no bits, no bytes there.
    Character character(Bytes at) {
        if (at >= end_) return {0, 0};
        const unsigned bits = kAsciiClass[*at];
        if (bits != 0) return {bits, 1};
        const Character wide = decode_wide(at, end_);
        seen_ |= wide.bits;
        unknown_ |= wide.bits == 0;
        return wide;
    }

    // The end of the characters from `at` on that have a class of `mask`.
    Bytes run(Bytes at, unsigned mask) {
        for (Character next = character(at); (next.bits & mask) != 0; next = character(at)) at += next.size;
        return at;
    }

    // The end of the letters from `at` on.
    Bytes letters(Bytes at) {
        for (;;) {
            unsigned count = ascii_letters(at);
            at += count;
            while (count == 16 && at < end_) at += count = ascii_letters(at);
            if (at >= end_) return end_;
            if (*at < 0x80) return at;
            const Character wide = character(at);
            if ((wide.bits & kLetters) == 0) return at;
            at += wide.size;
        }
    }

    // The end of up to `most` characters of `mask` from `at` on.
    Bytes run_of(Bytes at, unsigned mask, unsigned most) {
        for (; most > 0; --most) {
            const Character next = character(at);
            if ((next.bits & mask) == 0) break;
            at += next.size;
        }
        return at;
    }

    // The bytes of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` at `at`, where an apostrophe stands; else 0.
    // Without case, U+017F (a long s) is an s too.
    template <bool any_case>
    unsigned contraction(Bytes at) const {
        const auto room = end_ - at;
        if (room < 2) return 0;
        constexpr std::uint8_t fold = any_case ? 0x20 : 0;
        const std::uint8_t first = at[1] | (at[1] < 0x80 ? fold : 0);
        if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
        if (room < 3) return 0;
        if (any_case && at[1] == 0xC5 && at[2] == 0xBF) return 3;
        const std::uint8_t second = at[2] | (at[2] < 0x80 ? fold : 0);
        if ((first == 'l' && second == 'l') || ((first == 'r' || first == 'v') && second == 'e')) return 3;
        return 0;
    }

private:
    Bytes end_;
    unsigned seen_;
    bool unknown_ = false;
};

}  // namespace heph
