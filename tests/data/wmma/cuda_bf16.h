// bf16 as a float that holds bf16 values only; for the source executor, which counts in elements.
#pragma once
typedef float __nv_bfloat16;
#define __align__(bytes) __attribute__((aligned(bytes)))

static inline float __float2bfloat16(float x)
{
    unsigned bits;
    __builtin_memcpy(&bits, &x, 4);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    __builtin_memcpy(&x, &bits, 4);
    return x;
}
