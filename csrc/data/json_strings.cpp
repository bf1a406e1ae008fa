// The strings of JsonScanner: where nearly all bytes of a corpus are.
#include <array>
#include <cstdint>
#include <cstring>

#include "byte_search.h"
#include "json_scanner.h"
#include "utf8.h"

namespace heph {

namespace {

static_assert(JsonScanner::copy_room >= kVectorBytes, "a copy writes whole vectors");

// The character that a backslash and this letter stand for; 0 where there is none.
unsigned char unescaped(unsigned char letter) {
    switch (letter) {
        case '"': case '\\': case '/': return letter;
        case 'b': return '\b';
        case 'f': return '\f';
        case 'n': return '\n';
        case 'r': return '\r';
        case 't': return '\t';
        default: return 0;
    }
}

constexpr std::int32_t kNoDigit = 1 << 16;  // larger than four digits make

constexpr std::array<std::int32_t, 256> make_hex_digits() {
    std::array<std::int32_t, 256> digits{};
    for (int i = 0; i < 256; ++i) {
        const int lower = i | 0x20;
        digits[static_cast<std::size_t>(i)] = i >= '0' && i <= '9'           ? i - '0'
                                              : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10
                                                                             : kNoDigit;
    }
    return digits;
}

constexpr std::array<std::int32_t, 256> kHexDigits = make_hex_digits();

bool is_high_surrogate(std::uint32_t code) { return code >= 0xD800 && code < 0xDC00; }
bool is_low_surrogate(std::uint32_t code) { return code >= 0xDC00 && code < 0xE000; }

}  // namespace

std::string JsonString::decode() const {
    if (!escaped) return std::string(raw());
    std::string text(raw().size() + JsonScanner::copy_room, '\0');
    auto* const out = reinterpret_cast<unsigned char*>(text.data());
    const JsonCopy copy = JsonScanner(begin - 1, end + 1, end + 1).copy_string(out);  // with its quotes
    text.resize(static_cast<std::size_t>(copy.end - out));
    return text;
}

bool JsonString::is(std::string_view text) const { return escaped ? decode() == text : raw() == text; }

JsonString JsonScanner::skip_string() {
    JsonString string;
    string.begin = at_ + 1;
    read_string<false>(nullptr, &string.escaped);
    string.end = at_ - 1;
    return string;
}

JsonCopy JsonScanner::copy_string(unsigned char* out) {
    bool escaped = false;
    return read_string<true>(out, &escaped);
}

template <bool Copy>
JsonCopy JsonScanner::read_string(unsigned char* out, bool* escaped) {
    JsonCopy copy;
    copy.end = out;
    ++at_;  // the opening quote
    for (;;) {
        // Beyond the line's end is a line break, which is special, or nothing: the run ends by then.
        skip_plain<Copy>(at_, readable_, copy.end);
        const unsigned char byte = now();
        if (byte == '"') {
            ++at_;
            return copy;
        }
        if (byte == '\\') {
            *escaped = true;
            do read_escape<Copy>(copy);
            while (now() == '\\');
        } else if (byte >= 0x80) {
            read_sequences<Copy>(copy);
        } else {
            fail_in_string();
        }
    }
}

template <bool Copy>
void JsonScanner::read_sequences(JsonCopy& copy) {
    do {
        const std::size_t length = utf8::sequence_length(at_, end_);
        if (length == 0) throw Malformed{"not UTF-8" + here()};
        if (Copy) {
            for (std::size_t i = 0; i < length; ++i) *copy.end++ = at_[i];
            copy.tails += length - 1;
        }
        at_ += length;
    } while (now() >= 0x80);
}

template <bool Copy>
void JsonScanner::read_escape(JsonCopy& copy) {
    const unsigned char* const backslash = at_++;
    const unsigned char letter = now();
    if (letter != 'u') {
        const unsigned char character = unescaped(letter);
        if (character == 0) fail_expected("one of \"\\/bfnrtu after the backslash");
        ++at_;
        if (Copy) *copy.end++ = character;
        return;
    }
    std::uint32_t code = read_hex();
    if (is_high_surrogate(code) && end_ - at_ >= 2 && at_[0] == '\\' && at_[1] == 'u') {
        const unsigned char* const second = at_++;
        const std::uint32_t low = read_hex();
        if (is_low_surrogate(low)) code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        else at_ = second;  // it may begin a pair of its own
    }
    if (!Copy) return;
    if (copy.surrogate == 0 && (is_high_surrogate(code) || is_low_surrogate(code))) {
        copy.surrogate = static_cast<std::size_t>(backslash - begin_) + 1;
    }
    unsigned char* const end = utf8::write(copy.end, code);
    copy.tails += static_cast<std::size_t>(end - copy.end) - 1;
    copy.end = end;
}

std::uint32_t JsonScanner::read_hex() {
    ++at_;  // the u
    if (end_ - at_ >= 4) {
        const std::int32_t code = kHexDigits[at_[0]] << 12 | kHexDigits[at_[1]] << 8 | kHexDigits[at_[2]] << 4 |
                                  kHexDigits[at_[3]];
        if (code < kNoDigit) {
            at_ += 4;
            return static_cast<std::uint32_t>(code);
        }
    }
    while (kHexDigits[now()] != kNoDigit) ++at_;
    fail_expected("four hexadecimal digits after \\u");
}

void JsonScanner::fail_in_string() {
    if (at_ >= end_) throw Malformed{"not JSON: the line ends inside a string"};
    throw Malformed{"not JSON: a control character that is not escaped" + here()};
}

}  // namespace heph
