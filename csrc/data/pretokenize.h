// Cuts text into pretokens: what the regular expressions of the known tokenizers do, written by hand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace heph {

// Patterns, by the tokenizer that made each known.  pretokenize_rules.h has the expressions.
enum class Pattern { kGpt2, kDigits, kDigitRuns, kLlama3, kCl100k, kQwen2, kO200k, kTekken };

// The pattern of a name ("gpt2", "digits", "digit_runs", "llama3", "cl100k", "qwen2", "o200k", "tekken");
// std::invalid_argument for another.
Pattern pattern_named(const std::string& name);

// A place in a text.  Up to `kTextPadding` bytes from `end` on are read too (and do not matter).
struct TextCursor {
    const std::uint8_t* at;
    const std::uint8_t* end;
    unsigned seen = 0;     // class bits of the characters beyond ASCII so far
    bool unknown = false;  // stopped at a character without a class (or at bytes that are not UTF-8)
};
constexpr std::size_t kTextPadding = 64;

// Writes the ends of up to `most` pretokens and moves the cursor; fewer only at the end of the text, or
// where `unknown` is set.
using Splitter = std::size_t (*)(TextCursor& cursor, const std::uint8_t** ends, std::size_t most);
Splitter splitter_of(Pattern pattern);

}  // namespace heph
