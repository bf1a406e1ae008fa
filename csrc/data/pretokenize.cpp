#include "pretokenize.h"

#include <array>
#include <stdexcept>

#include "pretokenize_rules.h"

namespace heph {

namespace {

constexpr std::uint8_t ascii_class(unsigned byte) {
    if (byte >= 0x80) return 0;
    if (byte >= 'A' && byte <= 'Z') return kUpper;
    if (byte >= 'a' && byte <= 'z') return kLower;
    if (byte >= '0' && byte <= '9') return kNumber;
    return byte == ' ' || (byte >= '\t' && byte <= '\r') ? kSpace : kOther;
}

template <typename Rule>
std::size_t split(TextCursor& cursor, const std::uint8_t** ends, std::size_t most) {
    Scanner scan(cursor);
    Bytes at = cursor.at;
    const std::uint8_t** out = ends;
    const std::uint8_t** last = ends + most;
    while (out < last && at < cursor.end) {
#if defined(__SSE2__)
        if (*at < 0x80) {
            const Bytes before = at;
            at = split_window<Rule>(scan, at, cursor.end, out, last);
            if (at != before) continue;  // what it left is the beginning of the next
        }
#endif
        at = Rule::next(scan, at);
        if (scan.unknown()) break;
        *out++ = at;
    }
    cursor.at = at;
    cursor.seen = scan.seen();
    cursor.unknown = scan.unknown();
    return static_cast<std::size_t>(out - ends);
}

constexpr std::array<const char*, 8> kNames = {"gpt2",   "digits", "digit_runs", "llama3",
                                               "cl100k", "qwen2",  "o200k",      "tekken"};

}  // namespace

#define HEPH_ROW(b) ascii_class(b), ascii_class(b + 1), ascii_class(b + 2), ascii_class(b + 3), ascii_class(b + 4), \
                    ascii_class(b + 5), ascii_class(b + 6), ascii_class(b + 7)
const std::uint8_t kAsciiClass[256] = {
    HEPH_ROW(0),  HEPH_ROW(8),  HEPH_ROW(16), HEPH_ROW(24), HEPH_ROW(32),  HEPH_ROW(40),  HEPH_ROW(48),  HEPH_ROW(56),
    HEPH_ROW(64), HEPH_ROW(72), HEPH_ROW(80), HEPH_ROW(88), HEPH_ROW(96), HEPH_ROW(104), HEPH_ROW(112), HEPH_ROW(120)};
#undef HEPH_ROW

Pattern pattern_named(const std::string& name) {
    for (std::size_t i = 0; i < kNames.size(); ++i) {
        if (name == kNames[i]) return static_cast<Pattern>(i);
    }
    throw std::invalid_argument("no pattern is named " + name);
}

Splitter splitter_of(Pattern pattern) {
    switch (pattern) {
        case Pattern::kGpt2: return split<Gpt2<0>>;
        case Pattern::kDigits: return split<Gpt2<1>>;
        case Pattern::kDigitRuns: return split<Gpt2<2>>;
        case Pattern::kLlama3: return split<Llama3<3, false>>;
        case Pattern::kCl100k: return split<Llama3<3, true>>;
        case Pattern::kQwen2: return split<Llama3<1, false>>;
        case Pattern::kO200k: return split<O200k<3, true>>;
        case Pattern::kTekken: return split<O200k<1, false>>;
    }
    throw std::invalid_argument("no such pattern");
}

}  // namespace heph
