#include "json_scanner.h"

#include <cstdint>
#include <cstring>

#include "byte_search.h"
#include "utf8.h"

namespace heph {

namespace {

constexpr std::size_t kMaxIntegerDigits = 4300;  // sys.get_int_max_str_digits()
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

bool is_digit(unsigned char byte) { return byte >= '0' && byte <= '9'; }
bool is_high_surrogate(std::uint32_t code) { return code >= 0xD800 && code < 0xDC00; }
bool is_low_surrogate(std::uint32_t code) { return code >= 0xDC00 && code < 0xE000; }

}  // namespace

const char* kind_name(JsonKind kind) {
    switch (kind) {
        case JsonKind::null: return "null";
        case JsonKind::false_: return "false";
        case JsonKind::true_: return "true";
        case JsonKind::number: return "a number";
        case JsonKind::string: return "a string";
        case JsonKind::array: return "an array";
        case JsonKind::object: return "an object";
        default: return "nothing";
    }
}

std::string JsonString::decode() const {
    if (!escaped) return std::string(raw());
    std::string text(raw().size() + JsonScanner::copy_room, '\0');
    auto* const out = reinterpret_cast<unsigned char*>(text.data());
    const JsonCopy copy = JsonScanner(begin - 1, end + 1, end + 1).copy_string(out);  // with its quotes
    text.resize(static_cast<std::size_t>(copy.end - out));
    return text;
}

bool JsonString::is(std::string_view text) const { return escaped ? decode() == text : raw() == text; }

unsigned char JsonScanner::peek() {
    skip_space();
    return now();
}

bool JsonScanner::take(unsigned char sign) {
    skip_space();
    if (at_ == end_ || *at_ != sign) return false;
    ++at_;
    return true;
}

void JsonScanner::finish() {
    skip_space();
    if (at_ != end_) fail_expected("the end of the line");
}

// A loop with its own stack of what is open: no depth of nesting can use up the thread's.
JsonKind JsonScanner::skip_value(std::size_t depth) {
    JsonKind outer = JsonKind::absent;
    std::size_t level = depth;
    for (;;) {
        const JsonKind kind = skip_scalar_or_open();
        if (outer == JsonKind::absent) outer = kind;
        if (kind == JsonKind::array || kind == JsonKind::object) {
            const bool object = kind == JsonKind::object;
            if (level == max_depth) {
                --at_;  // to the bracket
                throw Malformed{"nested too deep: more than 1000 levels" + here()};
            }
            if (!take(object ? '}' : ']')) {
                in_object_[level++] = object;
                if (object) read_key();
                continue;
            }
        }
        for (;;) {  // after a value: the next of its container, or the end of that
            if (level == depth) return outer;
            const bool object = in_object_[level - 1];
            if (take(',')) {
                if (object) read_key();
                break;
            }
            require(object ? '}' : ']', object ? "',' or '}'" : "',' or ']'");
            --level;
        }
    }
}

JsonKind JsonScanner::skip_scalar_or_open() {
    switch (peek()) {
        case '"': skip_string(); return JsonKind::string;
        case '{': ++at_; return JsonKind::object;
        case '[': ++at_; return JsonKind::array;
        case 'n': skip_word("null"); return JsonKind::null;
        case 't': skip_word("true"); return JsonKind::true_;
        case 'f': skip_word("false"); return JsonKind::false_;
        case 'N': skip_word("NaN"); return JsonKind::number;
        case 'I': skip_word("Infinity"); return JsonKind::number;
        default: skip_number(); return JsonKind::number;
    }
}

void JsonScanner::skip_word(const char* word) {
    const std::size_t size = std::strlen(word);
    if (static_cast<std::size_t>(end_ - at_) < size || std::memcmp(at_, word, size) != 0) fail_expected("a value");
    at_ += size;
}

void JsonScanner::skip_number() {
    if (now() == '-') {
        ++at_;
        if (now() == 'I') return skip_word("Infinity");
    }
    if (!is_digit(now())) fail_expected("a value");
    const unsigned char* const first = at_;
    bool integer = true;
    if (now() == '0') ++at_;
    else skip_digits();
    const auto digits = static_cast<std::size_t>(at_ - first);
    if (now() == '.') {
        integer = false;
        ++at_;
        if (skip_digits() == 0) fail_expected("a digit");
    }
    if (now() == 'e' || now() == 'E') {
        integer = false;
        ++at_;
        if (now() == '+' || now() == '-') ++at_;
        if (skip_digits() == 0) fail_expected("a digit");
    }
    if (integer && digits > kMaxIntegerDigits) {
        at_ = first;
        throw Malformed{"an integer of " + std::to_string(digits) + " digits (at most 4300)" + here()};
    }
}

std::size_t JsonScanner::skip_digits() {
    const unsigned char* const first = at_;
    while (is_digit(now())) ++at_;
    return static_cast<std::size_t>(at_ - first);
}

JsonString JsonScanner::read_key() {
    if (peek() != '"') fail_expected("a key in double quotes");
    const JsonString key = skip_string();
    require(':', "':'");
    return key;
}

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

std::string JsonScanner::here() const { return " at byte " + std::to_string(at_ - begin_ + 1); }

void JsonScanner::fail_expected(const char* what) {
    if (at_ >= end_) throw Malformed{std::string("not JSON: the line ends where ") + what + " should come"};
    if (*at_ >= 0x80 && utf8::sequence_length(at_, end_) == 0) throw Malformed{"not UTF-8" + here()};
    if (at_ == begin_ && end_ - at_ >= 3 && std::memcmp(at_, "\xEF\xBB\xBF", 3) == 0) {
        throw Malformed{"not JSON: a byte order mark" + here()};
    }
    throw Malformed{std::string("not JSON: expected ") + what + here()};
}

void JsonScanner::fail_in_string() {
    if (at_ >= end_) throw Malformed{"not JSON: the line ends inside a string"};
    throw Malformed{"not JSON: a control character that is not escaped" + here()};
}

}  // namespace heph
