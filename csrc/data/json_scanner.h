// Walks over one JSON text, checks all of it, and copies the strings that are asked for.
//
// What is accepted is what Python's json.loads accepts of a UTF-8 text: RFC 8259, and the words NaN, Infinity
// and -Infinity; integers have at most 4,300 digits, as in Python.  Containers may nest max_depth deep, and
// cost no stack.
#pragma once

#include <array>
#include <cstdint>
#include <cstddef>
#include <string>
#include <string_view>

namespace heph {

// Why a line is no document: a clause for people.  Bytes are counted from 1 in the line.
struct Malformed {
    std::string reason;
};

enum class JsonKind : unsigned char { absent, null, false_, true_, number, string, array, object };

// "a number", "an array" ...
const char* kind_name(JsonKind kind);

// What stands between the quotes of a checked string.
struct JsonString {
    const unsigned char* begin = nullptr;
    const unsigned char* end = nullptr;
    bool escaped = false;  // there is a backslash in it

    std::string decode() const;  // a lone surrogate becomes 3 bytes that are not UTF-8
    bool is(std::string_view text) const;
    std::string_view raw() const {
        return {reinterpret_cast<const char*>(begin), static_cast<std::size_t>(end - begin)};
    }
};

// A string that was copied without its escapes.
struct JsonCopy {
    unsigned char* end = nullptr;   // where the copy ends
    std::size_t tails = 0;          // bytes that do not begin a code point
    std::size_t surrogate = 0;      // the byte of the line with the first half of a surrogate pair; 0: none
};

class JsonScanner {
public:
    static constexpr std::size_t max_depth = 1000;
    static constexpr std::size_t copy_room = 16;  // bytes that copy_string may touch beyond what it copies

    // Vectors read up to `readable`, which is `end` or later.
    JsonScanner(const unsigned char* begin, const unsigned char* end, const unsigned char* readable)
        : begin_(begin), at_(begin), end_(end), readable_(readable) {}

    const unsigned char* position() const { return at_; }
    void seek(const unsigned char* position) { at_ = position; }

    unsigned char peek();          // the next byte that is not white space; 0 at the end (and for a NUL)
    bool take(unsigned char sign);  // moves over `sign` if it comes next
    void finish();                 // nothing but white space may follow

    // Each begins at a value (white space may come before it); `depth` is the number of containers around it.
    JsonKind skip_value(std::size_t depth);
    JsonString skip_string();
    JsonCopy copy_string(unsigned char* out);

    // Calls on_member(JsonString key) with the scanner at the member's value, which it must move over.
    template <typename OnMember>
    void each_member(OnMember on_member) {
        require('{', "'{'");
        if (take('}')) return;
        do on_member(read_key());
        while (take(','));
        require('}', "',' or '}'");
    }

    // Calls on_element() with the scanner at the element, which it must move over.
    template <typename OnElement>
    void each_element(OnElement on_element) {
        require('[', "'['");
        if (take(']')) return;
        do on_element();
        while (take(','));
        require(']', "',' or ']'");
    }

private:
    unsigned char now() const { return at_ < end_ ? *at_ : 0; }
    void skip_space() {
        while (at_ < end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\r' || *at_ == '\n')) ++at_;
    }
    void require(unsigned char sign, const char* what) {
        if (!take(sign)) fail_expected(what);
    }
    JsonString read_key();  // and its colon
    JsonKind skip_scalar_or_open();
    void skip_number();
    std::size_t skip_digits();
    void skip_word(const char* word);

    template <bool Copy>
    JsonCopy read_string(unsigned char* out, bool* escaped);
    template <bool Copy>
    void read_sequences(JsonCopy& copy);
    template <bool Copy>
    void read_escape(JsonCopy& copy);
    std::uint32_t read_hex();

    std::string here() const;
    [[noreturn]] void fail_expected(const char* what);
    [[noreturn]] void fail_in_string();

    const unsigned char* begin_;
    const unsigned char* at_;
    const unsigned char* end_;
    const unsigned char* readable_;
    std::array<bool, max_depth> in_object_;  // of the containers that are open; not set before it is used
};

}  // namespace heph
