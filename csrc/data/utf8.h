// UTF-8: checking a sequence, and writing one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace heph::utf8 {

inline bool is_tail(unsigned char byte) { return (byte & 0xC0) == 0x80; }

// Bytes of the well-formed sequence (the Unicode standard's table 3-7) that begins at `at` with a byte from
// 0x80 on: 2 to 4, or 0 if there is none before `end`.
inline std::size_t sequence_length(const unsigned char* at, const unsigned char* end) {
    const auto left = static_cast<std::size_t>(end - at);
    const unsigned lead = at[0];
    if (lead < 0xE0) return lead >= 0xC2 && left >= 2 && is_tail(at[1]) ? 2 : 0;
    if (lead < 0xF0) {
        if (left < 3 || !is_tail(at[1]) || !is_tail(at[2])) return 0;
        const unsigned code = (lead & 0x0F) << 6 | (at[1] & 0x3Fu);  // without its last 6 bits
        return code >= 0x20 && (code < 0x360 || code > 0x37F) ? 3 : 0;  // neither overlong nor a surrogate
    }
    if (lead > 0xF4 || left < 4 || !is_tail(at[1]) || !is_tail(at[2]) || !is_tail(at[3])) return 0;
    const unsigned code = (lead & 0x07) << 6 | (at[1] & 0x3Fu);  // without its last 12 bits
    return code >= 0x10 && code <= 0x10F ? 4 : 0;
}

// Writes a code point in 1 to 4 bytes and returns where they end.  A surrogate becomes the 3 bytes it would
// have, which are not UTF-8: nothing that is equals them.
inline unsigned char* write(unsigned char* out, std::uint32_t code) {
    if (code < 0x80) {
        *out++ = static_cast<unsigned char>(code);
        return out;
    }
    if (code < 0x800) {
        *out++ = static_cast<unsigned char>(0xC0 | code >> 6);
    } else {
        if (code < 0x10000) {
            *out++ = static_cast<unsigned char>(0xE0 | code >> 12);
        } else {
            *out++ = static_cast<unsigned char>(0xF0 | code >> 18);
            *out++ = static_cast<unsigned char>(0x80 | (code >> 12 & 0x3F));
        }
        *out++ = static_cast<unsigned char>(0x80 | (code >> 6 & 0x3F));
    }
    *out++ = static_cast<unsigned char>(0x80 | (code & 0x3F));
    return out;
}

}  // namespace heph::utf8
