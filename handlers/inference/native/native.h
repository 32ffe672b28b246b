// What the three sources share: sixteen bytes at once, and the powers of ten.

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t bytes16 __attribute__((vector_size(16)));

static inline bool is_space(uint8_t c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

static inline bytes16 load16(const uint8_t *text) {
    bytes16 block;
    memcpy(&block, text, sizeof block);
    return block;
}

// One bit for each byte that is 0xFF, of bytes that are 0xFF or 0.
static inline uint32_t mask16(bytes16 is) {
    typedef bool bits16 __attribute__((ext_vector_type(16)));
    bits16 bits = __builtin_convertvector(is, bits16);
    uint16_t mask;
    memcpy(&mask, &bits, sizeof mask);
    return mask;
}

// 10^exponent = (high * 2^64 + low) * 2^(floor(log2(10^exponent)) - 127), cut off; one row an exponent.
enum { LEAST_POWER = -342, MOST_POWER = 342 };
extern const uint64_t POWERS_OF_TEN[MOST_POWER - LEAST_POWER + 1][2];

// floor(log2(10^exponent)), for |exponent| < 1,234.
static inline int32_t log2_of_power(int32_t exponent) { return (exponent * 1741647) >> 19; }
