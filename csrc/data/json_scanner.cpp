#include "json_scanner.h"

#include <cstring>

#include "utf8.h"

namespace heph {

namespace {

constexpr std::size_t kMaxIntegerDigits = 4300;  // sys.get_int_max_str_digits()

bool is_digit(unsigned char byte) { return byte >= '0' && byte <= '9'; }

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

std::string JsonScanner::here() const { return " at byte " + std::to_string(at_ - begin_ + 1); }

void JsonScanner::fail_expected(const char* what) {
    if (at_ >= end_) throw Malformed{std::string("not JSON: the line ends where ") + what + " should come"};
    if (*at_ >= 0x80 && utf8::sequence_length(at_, end_) == 0) throw Malformed{"not UTF-8" + here()};
    if (at_ == begin_ && end_ - at_ >= 3 && std::memcmp(at_, "\xEF\xBB\xBF", 3) == 0) {
        throw Malformed{"not JSON: a byte order mark" + here()};
    }
    throw Malformed{std::string("not JSON: expected ") + what + here()};
}

}  // namespace heph
