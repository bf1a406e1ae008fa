// The Unicode classes that the tokenizers' patterns tell apart.
#pragma once

#include <cstdint>

namespace heph {

// One bit per class, so that a set of classes is a mask.
enum UnicodeBits : unsigned {
    kUpper = 1,      // Lu, Lt
    kLower = 2,      // Ll
    kLetter = 4,     // Lm, Lo: letters without case
    kMark = 8,       // M
    kNumber = 16,    // N
    kSpace = 32,     // White_Space
    kOther = 64,     // every other assigned code point
    kComposes = 128  // beside its class: text that holds it may not be in normal form C
};
constexpr unsigned kLetters = kUpper | kLower | kLetter;
constexpr unsigned kUnicodePages = 256;

extern const std::uint8_t* const kUnicodePageOf;      // [0x1100]
extern const std::uint8_t (*const kUnicodeClass)[256];  // [kUnicodePages]

// The class bits of a code point up to U+10FFFF; 0 if Unicode does not assign it.
inline unsigned unicode_class(std::uint32_t code) { return kUnicodeClass[kUnicodePageOf[code >> 8]][code & 255]; }

}  // namespace heph
