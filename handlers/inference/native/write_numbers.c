// The elements of a tensor as JSON: floats as the shortest decimals that their dtype reads as the same values, and
// of those the nearest.
//
// Giulietti 2021, "The Schubfach way to render doubles"; the names are those of his section 9.

#include "native.h"

enum { MAX_RANK = 32 };

// A float of any dtype as c * 2^q, and whether the next smaller one is nearer than the next larger.
typedef struct {
    uint64_t c;
    int32_t q;
    bool is_irregular;
} Binary;

typedef struct {
    uint64_t digits;
    int32_t exponent;
} Decimal;

// The high 64 bits of a product of 192, the last set where anything was cut off.
static uint64_t round_to_odd(uint64_t high, uint64_t low, uint64_t factor) {
    unsigned __int128 x = (unsigned __int128)low * factor, y = (unsigned __int128)high * factor + (uint64_t)(x >> 64);
    return (uint64_t)(y >> 64) | ((uint64_t)y > 1);
}

static Decimal shortest(Binary v) {
    bool is_even = !(v.c & 1);
    uint64_t cb = 4 * v.c, cb_left = cb - 2 + v.is_irregular, cb_right = cb + 2;
    // floor(log10(2^q)), or of 3/4 of it.
    int32_t k = (v.q * 1262611 - (v.is_irregular ? 524031 : 0)) >> 22;
    int32_t h = v.q + log2_of_power(-k) + 1;
    const uint64_t *power = POWERS_OF_TEN[-k - LEAST_POWER];
    bool is_exact = -k >= 0 && -k <= 55;
    uint64_t high = power[0], low = power[1] + !is_exact;
    uint64_t left = round_to_odd(high, low, cb_left << h) + !is_even;
    uint64_t vb = round_to_odd(high, low, cb << h);
    uint64_t right = round_to_odd(high, low, cb_right << h) - !is_even;
    uint64_t s = vb / 4;
    if (s >= 10) {
        uint64_t tens = s / 10;
        bool is_lower_in = left <= 40 * tens, is_upper_in = 40 * tens + 40 <= right;
        if (is_lower_in != is_upper_in) return (Decimal){tens + is_upper_in, k + 1};
    }
    bool is_lower_in = left <= 4 * s, is_upper_in = 4 * s + 4 <= right;
    if (is_lower_in != is_upper_in) return (Decimal){s + is_upper_in, k};
    uint64_t middle = 4 * s + 2;
    return (Decimal){s + (vb > middle || (vb == middle && (s & 1))), k};
}

static uint8_t *write_integer(uint64_t value, uint8_t *out) {
    uint8_t digits[20];
    uint32_t count = 0;
    do digits[count++] = (uint8_t)('0' + value % 10);
    while (value /= 10);
    while (count) *out++ = digits[--count];
    return out;
}

static uint8_t *write_zeros(int32_t count, uint8_t *out) {
    for (; count > 0; count--) *out++ = '0';
    return out;
}

// As Python's repr: with an exponent from 1e16 on and below 1e-4.
static uint8_t *write_decimal(Decimal decimal, uint8_t *out) {
    while (decimal.digits % 10 == 0) {
        decimal.digits /= 10;
        decimal.exponent++;
    }
    uint8_t digits[20];
    int32_t count = (int32_t)(write_integer(decimal.digits, digits) - digits), point = count + decimal.exponent;
    if (point > 16 || point < -3) {
        *out++ = digits[0];
        if (count > 1) {
            *out++ = '.';
            memcpy(out, digits + 1, (size_t)count - 1);
            out += count - 1;
        }
        *out++ = 'e';
        int32_t exponent = point - 1;
        *out++ = exponent < 0 ? '-' : '+';
        exponent = exponent < 0 ? -exponent : exponent;
        if (exponent < 10) *out++ = '0';
        return write_integer((uint64_t)exponent, out);
    }
    if (point <= 0) {
        memcpy(out, "0.", 2);
        out = write_zeros(-point, out + 2);
        memcpy(out, digits, (size_t)count);
        return out + count;
    }
    int32_t whole = point < count ? point : count;
    memcpy(out, digits, (size_t)whole);
    out = write_zeros(point - count, out + whole);
    *out++ = '.';
    if (point >= count) {
        *out++ = '0';
        return out;
    }
    memcpy(out, digits + whole, (size_t)(count - whole));
    return out + count - whole;
}

static uint8_t *write_name(const char *name, bool is_quoted, uint8_t *out) {
    if (is_quoted) *out++ = '"';
    while (*name) *out++ = (uint8_t)*name++;
    if (is_quoted) *out++ = '"';
    return out;
}

// A float of so many bits, of which `fraction_bits` are the fraction's.
static uint8_t *write_float(uint64_t bits, int32_t fraction_bits, int32_t exponent_bits, bool is_quoted, uint8_t *out) {
    uint64_t fraction = bits & (((uint64_t)1 << fraction_bits) - 1);
    int32_t most = (1 << exponent_bits) - 1, exponent = (int32_t)(bits >> fraction_bits) & most;
    bool is_negative = bits >> (fraction_bits + exponent_bits) & 1;
    if (exponent == most) {
        const char *infinity = is_negative ? "-Infinity" : "Infinity";
        return write_name(fraction ? "NaN" : infinity, is_quoted, out);
    }
    if (is_negative) *out++ = '-';
    if (!exponent && !fraction) {
        memcpy(out, "0.0", 3);
        return out + 3;
    }
    int32_t least_q = 1 - (most >> 1) - fraction_bits;
    Binary value = {fraction, least_q, false};
    if (exponent) {
        value.c |= (uint64_t)1 << fraction_bits;
        value.q += exponent - 1;
        value.is_irregular = !fraction && exponent > 1;
    }
    return write_decimal(shortest(value), out);
}

static uint8_t *write_signed(int64_t value, uint8_t *out) {
    if (value < 0) *out++ = '-';
    return write_integer(value < 0 ? -(uint64_t)value : (uint64_t)value, out);
}

#define ELEMENT(type)      \
    type element;          \
    memcpy(&element, data + index * sizeof element, sizeof element)

// `dtype` is the letter that Python's struct module has for it.
static inline uint8_t *write_element(const uint8_t *data, uint64_t index, char dtype, bool is_quoted, uint8_t *out) {
    switch (dtype) {
        case 'f': { ELEMENT(uint32_t); return write_float(element, 23, 8, is_quoted, out); }
        case 'd': { ELEMENT(uint64_t); return write_float(element, 52, 11, is_quoted, out); }
        case 'e': { ELEMENT(uint16_t); return write_float(element, 10, 5, is_quoted, out); }
        case 'b': { ELEMENT(int8_t); return write_signed(element, out); }
        case 'h': { ELEMENT(int16_t); return write_signed(element, out); }
        case 'i': { ELEMENT(int32_t); return write_signed(element, out); }
        case 'q': { ELEMENT(int64_t); return write_signed(element, out); }
        case 'B': { ELEMENT(uint8_t); return write_integer(element, out); }
        case 'H': { ELEMENT(uint16_t); return write_integer(element, out); }
        case 'I': { ELEMENT(uint32_t); return write_integer(element, out); }
        default: { ELEMENT(uint64_t); return write_integer(element, out); }
    }
}

// Write the elements of a tensor as lists in lists of the `rank` lengths of `shape`, of which there are 1 to 32.
//
// What is not finite is written as the literals NaN, Infinity and -Infinity, or as strings of these where
// `is_quoted`. `out` has room for 32 letters an element and three a list. Returns how many letters there are.
uint64_t coldpress_write_numbers(
    const uint8_t *data, char dtype, const int64_t *shape, int32_t rank, bool is_quoted, uint8_t *out) {
    uint8_t *start = out;
    int64_t left[MAX_RANK];  // of each list that is open, how many of its items are to come
    uint64_t index = 0;
    int32_t depth = 0;
    for (;;) {
        for (; depth < rank; depth++) {
            *out++ = '[';
            left[depth] = shape[depth];
            if (!left[depth]) {
                depth++;
                break;
            }
        }
        if (depth == rank && left[rank - 1])
            for (int64_t i = left[rank - 1]; i; i--) {
                out = write_element(data, index++, dtype, is_quoted, out);
                *out++ = i > 1 ? ',' : ']';
            }
        else
            *out++ = ']';
        depth--;
        while (depth && !--left[depth - 1]) {
            *out++ = ']';
            depth--;
        }
        if (!depth) return (uint64_t)(out - start);
        *out++ = ',';
    }
}
