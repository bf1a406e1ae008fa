// Up to 63 bytes of ASCII at a time, as one bit mask per class.  Where each kind of pretoken may begin and where it
// ends is worked out for the whole window by a few operations; a pretoken is then a shift and a count of zeros.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "pretokenize.h"

namespace heph {

// Bit i of each mask is byte i of the window; no bit is set from `size` on, where text ends or is not ASCII.
struct Classes {
    std::uint64_t upper = 0;
    std::uint64_t lower = 0;
    std::uint64_t number = 0;
    std::uint64_t space = 0;    // white space, with
    std::uint64_t blank = 0;    // ' ' and
    std::uint64_t newline = 0;  // \n, \r
    std::uint64_t slash = 0;
    std::uint64_t apostrophe = 0;
    std::uint64_t letter = 0;  // upper | lower
    std::uint64_t other = 0;   // neither letter, number nor white space
    unsigned size = 0;
};
constexpr unsigned kWindow = 63;
constexpr std::uint64_t kWindowEnd = std::uint64_t{1} << kWindow;  // stops every count of zeros

// Where words, signs and numbers begin, each with the white space or sign that it takes along, and the places
// behind their ends; what begins with white space and is none of them is white space.
struct Window {
    std::uint64_t begin;   // of any of the three
    std::uint64_t prefix;  // begins a word, but is no letter: a place behind it is not yet the end
    std::uint64_t end;
    std::uint64_t word;    // begins a word
    std::uint64_t number;
    std::uint64_t space;
    std::uint64_t newline;
    std::uint64_t apostrophe;
    unsigned size;
};

// The places behind runs.
inline std::uint64_t ends_of(std::uint64_t mask) { return (mask << 1) & ~mask; }

// The places behind runs of signs and the line breaks that follow them: [^\s\p{L}\p{N}]+[\r\n]*, and [\r\n/]* with
// `slash`.  An addition carries through the line breaks, to the place behind them.
inline std::uint64_t sign_ends(const Classes& is, bool slash) {
    const std::uint64_t tail = slash ? is.newline | is.slash : is.newline;
    const std::uint64_t first = is.newline & (is.other << 1);
    return (ends_of(is.other) & ~is.newline) | ((tail + first) & ~tail);
}

// The bytes of the white space at `at`, and of the run that it is part of: \s*[\r\n]+|\s+(?!\S)|\s+
struct SpaceCut {
    unsigned size;
    unsigned run;
};
inline SpaceCut cut_spaces(std::uint64_t space, std::uint64_t newline, unsigned at) {
    const auto run = static_cast<unsigned>(__builtin_ctzll(~(space >> at)));
    const std::uint64_t breaks = (newline >> at) & ((std::uint64_t{1} << run) - 1);
    if (breaks != 0) return {64 - static_cast<unsigned>(__builtin_clzll(breaks)), run};
    return {run - (run > 1), run};
}

#if defined(__SSE2__)

inline Classes classes_at(const std::uint8_t* at, const std::uint8_t* end) {
    Classes is;
    std::uint64_t wide = kWindowEnd;
    for (unsigned part = 0; part < 64; part += 16) {
        const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + part));
        const auto bits = [part](__m128i mask) {
            return static_cast<std::uint64_t>(static_cast<unsigned>(_mm_movemask_epi8(mask))) << part;
        };
        // Bytes first..first + count - 1, by one signed comparison.
        const auto range = [text](int first, int count) {
            const __m128i shifted = _mm_sub_epi8(text, _mm_set1_epi8(static_cast<char>(first + 128)));
            return _mm_cmplt_epi8(shifted, _mm_set1_epi8(static_cast<char>(count - 128)));
        };
        const auto equal = [text](char byte) { return _mm_cmpeq_epi8(text, _mm_set1_epi8(byte)); };
        const __m128i blank = equal(' ');
        wide |= bits(text);
        is.upper |= bits(range('A', 26));
        is.lower |= bits(range('a', 26));
        is.number |= bits(range('0', 10));
        is.blank |= bits(blank);
        is.space |= bits(_mm_or_si128(blank, range('\t', 5)));
        is.newline |= bits(_mm_or_si128(equal('\n'), equal('\r')));
        is.slash |= bits(equal('/'));
        is.apostrophe |= bits(equal('\''));
    }
    is.size = static_cast<unsigned>(__builtin_ctzll(wide));
    if (end - at < is.size) is.size = static_cast<unsigned>(end - at);
    const std::uint64_t valid = (std::uint64_t{1} << is.size) - 1;
    is.upper &= valid;
    is.lower &= valid;
    is.number &= valid;
    is.space &= valid;
    is.blank &= valid;
    is.newline &= valid;
    is.slash &= valid;
    is.apostrophe &= valid;
    is.letter = is.upper | is.lower;
    is.other = valid & ~(is.letter | is.number | is.space);
    return is;
}

// Pretokens of the window at `from`, up to the first that its bytes do not decide; returns where that begins.
template <typename Rule, typename Scan>
const std::uint8_t* split_window(const Scan& scan, const std::uint8_t* from, const std::uint8_t* end,
                                 const std::uint8_t**& out, const std::uint8_t** last) {
    const Window window = Rule::window(classes_at(from, end));
    const std::uint64_t ends = window.end | kWindowEnd;
    unsigned at = 0;
    while (out < last && at < window.size) {
        unsigned stop;
        unsigned seen;
        if (Rule::kContractions == Rule::kFirst && (window.apostrophe >> at & 1) != 0) {
            if (at + 3 >= window.size) break;
            const unsigned size = scan.template contraction<Rule::kAnyCase>(from + at);
            if (size != 0) {
                at += size;
                *out++ = from + at;
                continue;
            }
        }
        if ((window.begin >> at & 1) != 0) {
            const unsigned behind = at + 1 + static_cast<unsigned>(window.prefix >> at & 1);
            stop = behind + static_cast<unsigned>(__builtin_ctzll(ends >> behind));
            if (Rule::kFigures != 0) {
                const unsigned most = at + ((window.number >> at & 1) != 0 ? Rule::kFigures : 64);
                stop = stop < most ? stop : most;
            }
            seen = stop;
            if (Rule::kContractions == Rule::kLast && (window.apostrophe >> stop & window.word >> at & 1) != 0) {
                if (stop + 3 >= window.size) break;
                stop += scan.template contraction<Rule::kAnyCase>(from + stop);
            }
        } else {
            const SpaceCut cut = cut_spaces(window.space, window.newline, at);
            stop = at + cut.size;
            seen = at + cut.run;
            if (Rule::kWholeSpaces && (window.number >> seen & 1) != 0) stop = seen;
        }
        if (seen >= window.size) break;
        at = stop;
        *out++ = from + at;
    }
    return from + at;
}

#endif

}  // namespace heph
