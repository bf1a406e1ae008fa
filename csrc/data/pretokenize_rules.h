// The expressions of the known tokenizers, by hand.  Each rule says twice how text is cut: `next` for any text, one
// pretoken at a time, and `window` for ASCII, where it is all done by masks.
#pragma once

#include "pretokenize_scan.h"
#include "pretokenize_window.h"

namespace heph {

constexpr unsigned kCapitals = kUpper | kLetter | kMark;  // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
constexpr unsigned kSmalls = kLower | kLetter | kMark;    // [\p{Ll}\p{Lm}\p{Lo}\p{M}]

inline bool is_newline(std::uint8_t byte) { return byte == '\n' || byte == '\r'; }

// The end of [^\s\p{L}\p{N}]* at `at`.
inline Bytes others(Scanner& scan, Bytes at) { return scan.run(at, kOther | kMark); }

// Where a rule has its contractions: before everything else, behind words, or nowhere.
enum class WindowContractions { kNone, kFirst, kLast };

struct Spaces {
    Bytes end;        // of the run
    Bytes last;       // its last character
    Bytes newline;    // behind its last line break, or null
};

inline Spaces spaces_at(Scanner& scan, Bytes at) {
    Spaces run{at, at, nullptr};
    for (Character next = scan.character(at); (next.bits & kSpace) != 0; next = scan.character(run.end)) {
        run.last = run.end;
        run.end += next.size;
        if (is_newline(*run.last)) run.newline = run.end;
    }
    return run;
}

// \s+(?!\S)|\s+ : a run before other text leaves its last character to that, unless it is the only one.
inline Bytes trailing(const Spaces& run, Bytes at, Bytes end) {
    return run.end == end || run.last == at ? run.end : run.last;
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// With `digits`, text is first cut around every number (`digits` = 1) or run of numbers.
template <unsigned digits>
struct Gpt2 {
    static constexpr WindowContractions kFirst = WindowContractions::kFirst, kLast = WindowContractions::kLast;
    static constexpr WindowContractions kContractions = kFirst;
    static constexpr bool kAnyCase = false;
    static constexpr bool kWholeSpaces = digits != 0;
    static constexpr unsigned kFigures = digits == 1 ? 1 : 0;

    static Window window(const Classes& is) {
        const auto spaced = [&is](std::uint64_t mask) { return mask | (is.blank & (mask >> 1)); };
        const std::uint64_t number = digits == 0 ? spaced(is.number) : is.number;
        const std::uint64_t begin = spaced(is.letter | is.other) | number;
        const std::uint64_t end = ends_of(is.letter) | ends_of(is.number) | ends_of(is.other);
        return {begin, begin & is.blank, end, 0, is.number, is.space, 0, is.apostrophe, is.size};
    }

    static Bytes next(Scanner& scan, Bytes at) {
        const Bytes word = at + (*at == ' ');
        if ((kAsciiClass[*word] & kLetters) != 0) return word < scan.end() ? scan.letters(word + 1) : word;
        if (*at == '\'') {
            const unsigned size = scan.contraction<false>(at);
            if (size != 0) return at + size;
        }
        const Character first = scan.character(word);
        if ((first.bits & kLetters) != 0) return scan.letters(word + first.size);
        if ((first.bits & (kOther | kMark)) != 0) return others(scan, word + first.size);
        if ((first.bits & kNumber) != 0) {
            if (digits == 0) return scan.run(word, kNumber);
            if (word != at) return word;  // the cut ends the space's own text
            return digits == 1 ? word + first.size : scan.run(word, kNumber);
        }
        if (scan.unknown()) return at;
        const Spaces run = spaces_at(scan, at);
        if (digits != 0 && (scan.character(run.end).bits & kNumber) != 0) return run.end;
        return trailing(run, at, scan.end());
    }
};

// What follows the words in the newer patterns:
// \p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+      (with `slash`: [\r\n/]*)
template <unsigned digits, bool slash, bool whole_tail>
Bytes not_a_word(Scanner& scan, Bytes at, Character first) {
    if ((first.bits & kNumber) != 0) return scan.run_of(at + first.size, kNumber, digits - 1);
    if ((first.bits & kSpace) != 0) {
        const Character second = *at == ' ' ? scan.character(at + 1) : Character{0, 0};
        if ((second.bits & (kOther | kMark)) == 0) {
            const Spaces run = spaces_at(scan, at);
            if (whole_tail && run.end == scan.end()) return run.end;
            return run.newline != nullptr ? run.newline : trailing(run, at, scan.end());
        }
    }
    Bytes stop = others(scan, at + first.size);
    while (stop < scan.end() && (is_newline(*stop) || (slash && *stop == '/'))) ++stop;
    return stop;
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|... as above.
// cl100k (`whole_tail`) takes white space at the end of the text as one: \s++$ comes before \s*[\r\n].
template <unsigned digits, bool whole_tail>
struct Llama3 {
    static constexpr WindowContractions kFirst = WindowContractions::kFirst, kLast = WindowContractions::kLast;
    static constexpr WindowContractions kContractions = kFirst;
    static constexpr bool kAnyCase = true;
    static constexpr bool kWholeSpaces = false;
    static constexpr unsigned kFigures = digits;

    static Window window(const Classes& is) {
        const std::uint64_t before = (is.space & ~is.newline) | is.other;
        const std::uint64_t prefix = before & (is.letter >> 1);
        const std::uint64_t word = is.letter | prefix;
        const std::uint64_t begin = word | is.number | is.other | (is.blank & (is.other >> 1));
        const std::uint64_t end = ends_of(is.letter) | ends_of(is.number) | sign_ends(is, false);
        return {begin, prefix, end, word, is.number, is.space, is.newline, is.apostrophe, is.size};
    }

    static Bytes next(Scanner& scan, Bytes at) {
        const unsigned before = kAsciiClass[at[0]];
        // At the end of the text at[1] is no part of it, but then letters() says that the text ends there.
        const bool opens = (before & (kSpace | kOther)) != 0 && (kAsciiClass[at[1]] & kLetters) != 0 &&
                           !is_newline(at[0]) && at[0] != '\'';
        if ((before & kLetters) != 0 || opens) return scan.letters(at + 1);
        if (*at == '\'') {
            const unsigned size = scan.contraction<true>(at);
            if (size != 0) return at + size;
        }
        const Character first = scan.character(at);
        if ((first.bits & kLetters) != 0) return scan.letters(at + first.size);
        if ((first.bits & kNumber) == 0 && !is_newline(*at)) {
            const Character second = scan.character(at + first.size);
            if ((second.bits & kLetters) != 0) return scan.letters(at + first.size + second.size);
        }
        if (scan.unknown()) return at;
        return not_a_word<digits, false, whole_tail>(scan, at, first);
    }
};

// Words of o200k, with C = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and S = [\p{Ll}\p{Lm}\p{Lo}\p{M}]:
// [^\r\n\p{L}\p{N}]?C*S+|[^\r\n\p{L}\p{N}]?C+S*   each followed by (?i:'s|'t|'re|'ve|'m|'ll|'d)? in o200k,
// which Tekken lacks; then as above.
template <unsigned digits, bool contractions>
struct O200k {
    static constexpr WindowContractions kFirst = WindowContractions::kFirst, kLast = WindowContractions::kLast;
    static constexpr WindowContractions kContractions = contractions ? kLast : WindowContractions::kNone;
    static constexpr bool kAnyCase = true;
    static constexpr bool kWholeSpaces = false;
    static constexpr unsigned kFigures = digits;

    static Window window(const Classes& is) {
        const std::uint64_t before = (is.space & ~is.newline) | is.other;
        const std::uint64_t prefix = before & (is.letter >> 1);
        const std::uint64_t word = is.letter | prefix;
        const std::uint64_t begin = word | is.number | is.other | (is.blank & (is.other >> 1));
        const std::uint64_t word_end = ends_of(is.letter) | ((is.lower << 1) & is.upper);
        const std::uint64_t end = word_end | ends_of(is.number) | sign_ends(is, true);
        return {begin, prefix, end, word, is.number, is.space, is.newline, is.apostrophe, is.size};
    }

    // C*S+ at `at`, or null.  Where no S follows the run of C, it gives back characters down to its last that
    // is an S too (a letter without case, or a mark), and ends there.
    static Bytes small_word(Scanner& scan, Bytes at) {
        Bytes both = nullptr;
        Character next = scan.character(at);
        for (; (next.bits & kCapitals) != 0; next = scan.character(at)) {
            at += next.size;
            if ((next.bits & kSmalls) != 0) both = at;
        }
        return (next.bits & kLower) != 0 ? scan.run(at + next.size, kSmalls) : both;
    }

    // C+S* at `at`, or null; where `small_word` found nothing.
    static Bytes capital_word(Scanner& scan, Bytes at) {
        const Bytes stop = scan.run(at, kCapitals);
        return stop != at ? stop : nullptr;
    }

    static Bytes word(Scanner& scan, Bytes at, Character first) {
        const bool prefix = (first.bits & (kLetters | kNumber)) == 0 && !is_newline(*at);
        Bytes stop = prefix ? small_word(scan, at + first.size) : nullptr;
        if (stop == nullptr) stop = small_word(scan, at);
        if (stop == nullptr && prefix) stop = capital_word(scan, at + first.size);
        return stop != nullptr ? stop : capital_word(scan, at);
    }

    static Bytes contracted(Scanner& scan, Bytes at) {
        return contractions && at < scan.end() && *at == '\'' ? at + scan.contraction<true>(at) : at;
    }

    static Bytes next(Scanner& scan, Bytes at) {
        const unsigned before = kAsciiClass[at[0]];
        const unsigned after = kAsciiClass[at[1]];
        const bool opens =
            (before & (kSpace | kOther)) != 0 && (after & kLetters) != 0 && !is_newline(at[0]) && at + 1 < scan.end();
        if ((before & kLetters) != 0 || opens) {
            Bytes stop = at + opens;
            while (stop < scan.end() && (kAsciiClass[*stop] & kUpper) != 0) ++stop;
            while (stop < scan.end() && (kAsciiClass[*stop] & kLower) != 0) ++stop;
            if (stop == scan.end() || *stop < 0x80) return contracted(scan, stop);
        }
        const Character first = scan.character(at);
        if ((first.bits & kNumber) == 0) {
            const Bytes stop = word(scan, at, first);
            if (stop != nullptr) return contracted(scan, stop);
        }
        if (scan.unknown()) return at;
        return not_a_word<digits, true, false>(scan, at, first);
    }
};

}  // namespace heph
