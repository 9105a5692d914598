// A float that counts the operations done on it, by kind. Literals stay float: an operation of two literals is
// none of the kernel's.
#pragma once
#include <stdint.h>

namespace fusemap {
// The order is that of KINDS in cuda_source_run.py. Comparisons, signs and absolute values are not counted.
enum Kind { ADD, MUL, FMA, DIV, EXP, MAX, SQRT, RCP, EX2, LG2, KINDS };
extern "C" uint64_t fusemap_operations[16];
inline void operation(Kind kind) { ++fusemap_operations[kind]; }

struct Float {
    float value;
    Float() = default;
#define FUSEMAP_NUMBER(T)                                                                                          \
    Float(T from) : value((float)from) {}                                                                 \
    explicit operator T() const { return (T)value; }
    FUSEMAP_NUMBER(float)
    FUSEMAP_NUMBER(double)
    FUSEMAP_NUMBER(bool)
    FUSEMAP_NUMBER(int)
    FUSEMAP_NUMBER(unsigned)
    FUSEMAP_NUMBER(long)
    FUSEMAP_NUMBER(unsigned long)
    FUSEMAP_NUMBER(long long)
    FUSEMAP_NUMBER(unsigned long long)
#undef FUSEMAP_NUMBER

    friend Float operator+(Float a, Float b) { return operation(ADD), Float(a.value + b.value); }
    friend Float operator-(Float a, Float b) { return operation(ADD), Float(a.value - b.value); }
    friend Float operator*(Float a, Float b) { return operation(MUL), Float(a.value * b.value); }
    friend Float operator/(Float a, Float b) { return operation(DIV), Float(a.value / b.value); }
    friend Float operator-(Float a) { return Float(-a.value); }
    friend bool operator<(Float a, Float b) { return a.value < b.value; }
    friend bool operator>(Float a, Float b) { return a.value > b.value; }
    friend bool operator<=(Float a, Float b) { return a.value <= b.value; }
    friend bool operator>=(Float a, Float b) { return a.value >= b.value; }
    friend bool operator==(Float a, Float b) { return a.value == b.value; }
    friend bool operator!=(Float a, Float b) { return a.value != b.value; }
    Float &operator+=(Float b) { return *this = *this + b; }
    Float &operator-=(Float b) { return *this = *this - b; }
    Float &operator*=(Float b) { return *this = *this * b; }
    Float &operator/=(Float b) { return *this = *this / b; }
};
static_assert(sizeof(Float) == sizeof(float));
} // namespace fusemap

inline fusemap::Float fmaf(fusemap::Float a, fusemap::Float b, fusemap::Float c)
{
    return fusemap::operation(fusemap::FMA), fusemap::Float(::fmaf(a.value, b.value, c.value));
}
#define FUSEMAP_BINARY(name, kind)                                                                                 \
    inline fusemap::Float name(fusemap::Float a, fusemap::Float b)                                                 \
    {                                                                                                              \
        return fusemap::operation(fusemap::kind), fusemap::Float(::name(a.value, b.value));                        \
    }
#define FUSEMAP_UNARY(name, kind, meaning)                                                                         \
    inline fusemap::Float name(fusemap::Float a)                                                                   \
    {                                                                                                              \
        return fusemap::operation(fusemap::kind), fusemap::Float(meaning);                                         \
    }
FUSEMAP_BINARY(fmaxf, MAX)
FUSEMAP_BINARY(fminf, MAX)
FUSEMAP_UNARY(expf, EXP, ::expf(a.value))
FUSEMAP_UNARY(exp2f, EX2, ::exp2f(a.value))
FUSEMAP_UNARY(log2f, LG2, ::log2f(a.value))
FUSEMAP_UNARY(sqrtf, SQRT, ::sqrtf(a.value))
inline fusemap::Float logf(fusemap::Float a)
{
    return fusemap::operation(fusemap::MUL), fusemap::operation(fusemap::LG2), fusemap::Float(::logf(a.value));
}
inline fusemap::Float fabsf(fusemap::Float a) { return ::fabsf(a.value); }
