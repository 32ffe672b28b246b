// A nested list of JSON numbers to the elements of a tensor: each correctly rounded to float64, and from there to
// the dtype, or not at all.
//
// Most numbers have at most sixteen letters and no exponent. They are converted all letters at once, and, as where
// they end is known before from the commas, several at the same time. The others go by:
// Clinger 1990, "How to read floating point numbers accurately" (an exact integer by an exact power of ten), and
// Lemire 2021, "Number parsing at a gigabyte per second" (the product with a power of ten of 128 bits).

#include "native.h"

#ifdef __SSE4_1__
#include <smmintrin.h>
#endif

enum { READ = 0, RAGGED = 1, UNUSUAL = 2 };
enum { MAX_RANK = 32, UNKNOWN_LENGTH = -1 };

// Exact in float64.
static const double EXACT_POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
static const uint64_t EXACT_INTEGERS = (uint64_t)1 << 53;

// One number: `integer` is its absolute value where it has neither point nor exponent.
typedef struct {
    double value;
    uint64_t integer;
    bool is_integer, is_negative;
} Number;

static bool is_digit(uint8_t c) { return (uint8_t)(c - '0') <= 9; }

static bool is_blank(const uint8_t *text, uint64_t start, uint64_t end) {
    while (start < end && is_space(text[start])) start++;
    return start == end;
}

// Eight digits, each a byte of 0 to 9, the first at the lowest address.
static inline uint64_t eight_digits(uint64_t digits) {
    digits = (digits * (10 * 256 + 1)) >> 8;
    digits = ((digits & 0x00FF00FF00FF00FF) * (100 * 65536 + 1)) >> 16;
    return ((digits & 0x0000FFFF0000FFFF) * (10000 * ((uint64_t)1 << 32) + 1)) >> 32;
}

// Sixteen digits.
static inline uint64_t sixteen_digits(bytes16 digits) {
#ifdef __SSE4_1__  // a third of the instructions
    __m128i pairs = _mm_maddubs_epi16((__m128i)digits, _mm_set1_epi16(1 << 8 | 10));
    __m128i fours = _mm_madd_epi16(pairs, _mm_set1_epi32(1 << 16 | 100));
    __m128i eights = _mm_madd_epi16(_mm_packus_epi32(fours, fours), _mm_set1_epi32(1 << 16 | 10000));
    uint64_t both = (uint64_t)_mm_cvtsi128_si64(eights);
    return (both & 0xFFFFFFFF) * 100000000 + (both >> 32);
#else
    uint64_t halves[2];
    memcpy(halves, &digits, sizeof halves);
    return eight_digits(halves[0]) * 100000000 + eight_digits(halves[1]);
#endif
}

// integer * 10^exponent, correctly rounded, by Lemire's algorithm 1; false where it cannot tell.
static bool scaled(uint64_t integer, int32_t exponent, double *value) {
    if (!integer || exponent < LEAST_POWER) {
        *value = 0;
        return true;
    }
    if (exponent > 308) return false;  // beyond float64
    int32_t zeros = __builtin_clzll(integer);
    integer <<= zeros;
    uint64_t high_power = POWERS_OF_TEN[exponent - LEAST_POWER][0], low_power = POWERS_OF_TEN[exponent - LEAST_POWER][1];
    // Where 5^-exponent divides without a rest, the reciprocal must not be too small (his section 8).
    low_power += exponent < 0 && exponent >= -27;
    unsigned __int128 product = (unsigned __int128)integer * high_power;
    if (((uint64_t)(product >> 64) & 0x1FF) == 0x1FF) product += (uint64_t)(((unsigned __int128)integer * low_power) >> 64);
    uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;
    int32_t is_upper = (int32_t)(high >> 63), shift = is_upper + 64 - 52 - 3;
    uint64_t mantissa = high >> shift;
    int32_t binary = log2_of_power(exponent) + 63 + is_upper - zeros + 1023;
    if (binary <= 0) {  // subnormal
        if (1 - binary >= 64) {
            *value = 0;
            return true;
        }
        mantissa >>= 1 - binary;
        mantissa = (mantissa + (mantissa & 1)) >> 1;
        binary = mantissa >> 52 ? 1 : 0;
    } else {
        bool may_tie = low <= 1 && exponent >= -4 && exponent <= 23 && (mantissa & 3) == 1;
        if (may_tie && mantissa << shift == high) mantissa &= ~(uint64_t)1;
        mantissa = (mantissa + (mantissa & 1)) >> 1;
        if (mantissa >> 53) {
            mantissa >>= 1;
            binary++;
        }
    }
    if (binary >= 0x7FF) return false;
    uint64_t bits = (mantissa & (((uint64_t)1 << 52) - 1)) | (uint64_t)binary << 52;
    memcpy(value, &bits, sizeof bits);
    return true;
}

static bool rounded(uint64_t integer, int32_t exponent, double *value) {
    if (integer <= EXACT_INTEGERS && exponent >= -22 && exponent <= 22) {
        *value = exponent < 0 ? (double)integer / EXACT_POWERS[-exponent] : (double)integer * EXACT_POWERS[exponent];
        return true;
    }
    return scaled(integer, exponent, value);
}

// Digits from `*i` on: the first 19 that count become part of `*integer`, the others are counted in `*dropped`.
static uint64_t take_digits(const uint8_t *text, uint64_t *i, uint64_t end, uint64_t *integer, uint64_t *dropped) {
    static const uint64_t ROOM = 100000000000;  // then eight digits more are no more than 19
    uint64_t start = *i, position = start, sum = *integer;
    while (position + 8 <= end && sum < ROOM) {
        uint64_t digits;
        memcpy(&digits, text + position, sizeof digits);
        digits -= 0x3030303030303030;
        if (((digits + 0x7676767676767676) | digits) & 0x8080808080808080) break;
        sum = sum * 100000000 + eight_digits(digits);
        position += 8;
    }
    for (; position < end && is_digit(text[position]); position++) {
        if (sum < 1000000000000000000) sum = sum * 10 + (uint64_t)(text[position] - '0');
        else ++*dropped;
    }
    *integer = sum;
    *i = position;
    return position - start;
}

// Any number, with white space around it; false where it is none, or none that is told here.
static bool read_any(const uint8_t *text, uint64_t start, uint64_t end, Number *number) {
    while (start < end && is_space(text[start])) start++;
    while (end > start && is_space(text[end - 1])) end--;
    number->is_negative = start < end && text[start] == '-';
    uint64_t i = start + number->is_negative, first = i, integer = 0, dropped = 0;
    uint64_t length = take_digits(text, &i, end, &integer, &dropped);
    if (!length || (text[first] == '0' && length > 1)) return false;
    number->is_integer = i == end;
    if (number->is_integer && dropped) {  // 20 digits may be a uint64 still
        if (dropped > 1 || __builtin_mul_overflow(integer, 10, &integer)) return false;
        if (__builtin_add_overflow(integer, (uint64_t)(text[end - 1] - '0'), &integer)) return false;
        dropped = 0;
    }
    int64_t exponent = (int64_t)dropped;
    uint64_t lost = dropped;
    if (i < end && text[i] == '.') {
        i++;
        uint64_t before = dropped;
        length = take_digits(text, &i, end, &integer, &dropped);
        if (!length) return false;
        exponent -= (int64_t)(length - (dropped - before));
        lost = dropped;
    }
    if (i < end && (text[i] | 0x20) == 'e') {
        i++;
        bool is_down = i < end && text[i] == '-';
        if (i < end && (text[i] == '-' || text[i] == '+')) i++;
        int64_t shown = 0;
        uint64_t digits = i;
        for (; i < end && is_digit(text[i]); i++)
            if (shown < 100000) shown = shown * 10 + (text[i] - '0');
        if (i == digits) return false;
        exponent += is_down ? -shown : shown;
    }
    if (i < end || exponent > 100000 || exponent < -100000) return false;
    number->integer = integer;
    if (!rounded(integer, (int32_t)exponent, &number->value)) return false;
    double next;
    if (lost && (!rounded(integer + 1, (int32_t)exponent, &next) || next != number->value)) return false;
    if (number->is_negative && !(number->is_integer && !integer)) number->value = -number->value;
    return true;
}

// A number of at most 16 letters without exponent, and at most one space before it.
typedef struct {
    uint64_t integer;  // its digits; the number is integer / 10^decimals
    uint64_t decimals;
    bool has_point, is_negative;
} Short;

// Sixteen bytes of it are a mask: from n on, the last n; from 31 - n on, the first n + 1.
static const uint8_t WINDOW[48] = {
    [16] = 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

// False for all others. No branches on what is as good as random: signs, lengths, whether the first digit is a zero.
static inline bool read_short(const uint8_t *text, uint64_t start, uint64_t end, Short *number) {
    uint64_t first = start + (text[start] == ' ');
    bool is_negative = text[first] == '-';
    first += is_negative;
    uint64_t length = end - first;
    if (length - 1 > 15 || end < 16) return false;
    // The letters stand at the end of the block: the last is that of the ones, or of the last decimal.
    bytes16 block = load16(text + end - 16);
    bytes16 digits = (block - '0') & load16(WINDOW + length);
    uint32_t point = mask16((bytes16)(digits > 9));
    uint64_t decimals = 0;
    if (point) {
        uint8_t at = (uint8_t)__builtin_ctz(point);
        decimals = 15 - at;
        if ((point & (point - 1)) || text[end - 16 + at] != '.' || !decimals || at + length == 16) return false;
        // What is before the point moves over it.
        bytes16 moved = __builtin_shufflevector(digits, (bytes16){0}, 16, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14);
        bytes16 is_before = load16(WINDOW + 31 - at);
        digits = (moved & is_before) | (digits & ~is_before);
    }
    uint64_t integer = sixteen_digits(digits);
    bool has_zero_first = (text[first] == '0') & (length > 1) & (text[first + 1] != '.');
    *number = (Short){integer, decimals, point != 0, is_negative};
    return !has_zero_first && integer <= EXACT_INTEGERS;
}

static inline double value_of(const Short *number) {
    double value = (double)number->integer / EXACT_POWERS[number->decimals];
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits |= (uint64_t)number->is_negative << 63;
    memcpy(&value, &bits, sizeof bits);
    return value;
}

// An integer is its dtype's, or refused: the float must be that very one.
#define STORE_FLOAT(type)                                                                   \
    {                                                                                       \
        type element = (type)number->value;                                                 \
        bool is_infinite = element - element != 0;                                          \
        if (is_infinite || (number->is_integer && !is_same(number, (double)element))) return false; \
        memcpy(out + index * sizeof element, &element, sizeof element);                     \
        return true;                                                                        \
    }
#define STORE_SIGNED(type, most)                                                            \
    {                                                                                       \
        if (!number->is_integer || number->integer > (uint64_t)(most) + number->is_negative) return false; \
        type element = (type)(number->is_negative ? -number->integer : number->integer);    \
        memcpy(out + index * sizeof element, &element, sizeof element);                     \
        return true;                                                                        \
    }
#define STORE_UNSIGNED(type, most)                                                          \
    {                                                                                       \
        if (!number->is_integer || number->integer > (most)) return false;                  \
        if (number->is_negative && number->integer) return false;                           \
        type element = (type)number->integer;                                               \
        memcpy(out + index * sizeof element, &element, sizeof element);                     \
        return true;                                                                        \
    }

static inline bool is_same(const Number *number, double element) {
    double absolute = element < 0 ? -element : element;
    return absolute < 18446744073709551616.0 && (uint64_t)absolute == number->integer;
}

// `dtype` is the letter that Python's struct module has for it; false where it does not hold the number.
static inline bool store(const Number *number, char dtype, uint8_t *out, uint64_t index) {
    switch (dtype) {
        case 'f': STORE_FLOAT(float)
        case 'd': STORE_FLOAT(double)
        case 'e': STORE_FLOAT(_Float16)
        case 'b': STORE_SIGNED(int8_t, INT8_MAX)
        case 'h': STORE_SIGNED(int16_t, INT16_MAX)
        case 'i': STORE_SIGNED(int32_t, INT32_MAX)
        case 'q': STORE_SIGNED(int64_t, INT64_MAX)
        case 'B': STORE_UNSIGNED(uint8_t, UINT8_MAX)
        case 'H': STORE_UNSIGNED(uint16_t, UINT16_MAX)
        case 'I': STORE_UNSIGNED(uint32_t, UINT32_MAX)
        case 'Q': STORE_UNSIGNED(uint64_t, UINT64_MAX)
        default: return false;
    }
}

// One element, which stands between two commas or brackets.
static inline bool read_element(
    const uint8_t *text, uint64_t start, uint64_t end, char dtype, uint8_t *out, uint64_t index) {
    Short some;
    Number any;
    if (!read_short(text, start, end, &some)) return read_any(text, start, end, &any) && store(&any, dtype, out, index);
    if (some.has_point && dtype == 'f') {  // with so few digits it is finite
        float element = (float)value_of(&some);
        memcpy(out + index * sizeof element, &element, sizeof element);
        return true;
    }
    any = (Number){value_of(&some), some.integer, !some.has_point, some.is_negative};
    if (any.is_integer && !any.integer) any.value = 0;  // there is no integer -0
    return store(&any, dtype, out, index);
}

// Commas and brackets of 64 letters from `i` on, one bit each.
static inline uint64_t separators(const uint8_t *text, uint64_t i, uint64_t end) {
    uint8_t last[64];
    const uint8_t *letters = text + i;
    if (i + sizeof last > end) {
        memset(last, ' ', sizeof last);
        memcpy(last, letters, end - i);
        letters = last;
    }
    uint64_t found = 0;
    for (uint32_t part = 0; part < 4; part++) {
        bytes16 block = load16(letters + 16 * part);
        bytes16 is = (bytes16)(block == ',') | (bytes16)(block == '[') | (bytes16)(block == ']');
        found |= (uint64_t)mask16(is) << 16 * part;
    }
    return found;
}

// What is known of the nesting: `depth` lists are open, `leaf` is the depth at which the numbers are (0: not known),
// `first` the index of the list's first number, `counts` how much each open list has, `lengths` how much those of each depth have.
typedef struct {
    int32_t depth, leaf;
    uint64_t first;
    int64_t counts[MAX_RANK + 1], lengths[MAX_RANK + 1];
} Nesting;

static int32_t open_list(Nesting *nesting) {
    if (nesting->depth == MAX_RANK) return UNUSUAL;
    if (nesting->leaf && nesting->depth == nesting->leaf) return RAGGED;
    nesting->counts[++nesting->depth] = 0;
    return READ;
}

static int32_t close_list(Nesting *nesting) {
    int64_t *length = &nesting->lengths[nesting->depth], count = nesting->counts[nesting->depth];
    if (*length == UNKNOWN_LENGTH) *length = count;
    if (*length != count) return RAGGED;
    nesting->counts[--nesting->depth]++;
    return READ;
}

static int32_t meet_leaf(Nesting *nesting) {
    if (!nesting->leaf) nesting->leaf = nesting->depth;
    return nesting->depth == nesting->leaf ? READ : RAGGED;
}

// What a bracket, or a comma after one, says; numbers are read by `read_list`.
static int32_t meet_bracket(const uint8_t *text, uint64_t token, uint64_t position, uint8_t last, Nesting *nesting) {
    uint8_t separator = text[position];
    if (!is_blank(text, token, position) || (separator == '[' && last == ']')) return UNUSUAL;
    if (separator == '[') return open_list(nesting);
    int32_t status = last == '[' ? meet_leaf(nesting) : READ;  // an empty list
    return status || separator == ',' ? status : close_list(nesting);
}

static inline __attribute__((always_inline)) int32_t read_list(
    const uint8_t *text, uint64_t start, uint64_t end, char dtype, uint8_t *out, uint64_t *elements, Nesting *nesting) {
    uint64_t token = start, index = 0;
    uint8_t last = 0;  // a comma between lists is kept as ';'
    for (uint64_t i = start; i < end; i += 64)
        for (uint64_t found = separators(text, i, end); found; found &= found - 1) {
            uint64_t position = i + (uint32_t)__builtin_ctzll(found);
            uint8_t separator = text[position];
            int32_t status = READ;
            if (separator == ',' && last == ',') {  // neither the first nor the last of its list
                if (!read_element(text, token, position, dtype, out, index++)) return UNUSUAL;
            } else {
                if (last && !nesting->depth) return UNUSUAL;  // something follows the list
                bool is_list_empty = last == '[' && separator == ']' && is_blank(text, token, position);
                if (separator == '[' || last == ']' || is_list_empty) {
                    status = meet_bracket(text, token, position, last, nesting);
                } else {
                    if (!nesting->depth) return UNUSUAL;
                    status = meet_leaf(nesting);
                    if (last == '[') nesting->first = index;
                    if (!status && !read_element(text, token, position, dtype, out, index++)) return UNUSUAL;
                    nesting->counts[nesting->depth] = (int64_t)(index - nesting->first);
                    if (!status && separator == ']') status = close_list(nesting);
                }
            }
            if (status) return status;
            last = separator == ',' && last == ']' ? ';' : separator;
            token = position + 1;
        }
    *elements = index;
    return nesting->depth == 0 && last == ']' && is_blank(text, token, end) ? READ : UNUSUAL;
}

// Read the list from `start` to `end` (its brackets included) into `out`, which has room for one element more than
// the list has commas; `shape` has room for 32 lengths.
//
// Returns READ; RAGGED where lists of one depth differ in length; UNUSUAL where it is no JSON, or has what the dtype
// does not hold or this reader does not take: another one must say what becomes of it.
int32_t coldpress_read_numbers(
    const uint8_t *text, uint64_t start, uint64_t end, char dtype, uint8_t *out, uint64_t *elements, int64_t *shape,
    int32_t *rank) {
    Nesting nesting = {0};
    for (int32_t i = 0; i <= MAX_RANK; i++) nesting.lengths[i] = UNKNOWN_LENGTH;
    int32_t status;
    switch (dtype) {  // a copy of the loop for each of the three that come by the thousand
        case 'f': status = read_list(text, start, end, 'f', out, elements, &nesting); break;
        case 'd': status = read_list(text, start, end, 'd', out, elements, &nesting); break;
        case 'q': status = read_list(text, start, end, 'q', out, elements, &nesting); break;
        default: status = read_list(text, start, end, dtype, out, elements, &nesting);
    }
    *rank = nesting.leaf;
    memcpy(shape, nesting.lengths + 1, (size_t)nesting.leaf * sizeof *shape);
    return status;
}
