// CUDA C++ as C++: what a kernel finds in place of CUDA's own definitions. It is included before the kernel.
// Not here: half types, tensor cores, cp.async, TMA, clusters, dynamic shared memory, textures.
#pragma once
#include <stdint.h>

// As <math.h> has them, which takes longer to read than a kernel to compile.
extern "C" {
float expf(float) noexcept;
float exp2f(float) noexcept;
float logf(float) noexcept;
float log2f(float) noexcept;
float sqrtf(float) noexcept;
float fabsf(float) noexcept;
float fmaf(float, float, float) noexcept;
float fmaxf(float, float) noexcept;
float fminf(float, float) noexcept;
}
#ifndef INFINITY
#define INFINITY __builtin_inff()
#endif

#ifdef FUSEMAP_COUNT_OPERATIONS
#include "counting.h"
#define float fusemap::Float
#endif

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#ifdef __ELF__
#define __shared__ static __attribute__((section("fusemap_shared")))
#else
#define __shared__ static
#endif

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };

// Copied whole, so that a vector access is one access; a misaligned one is reported and then done.
typedef int fusemap_int2 __attribute__((vector_size(8), aligned(4), may_alias));
typedef int fusemap_int4 __attribute__((vector_size(16), aligned(4), may_alias));
#define FUSEMAP_WHOLE(name, bits)                                                                                  \
    name() = default;                                                                                              \
    name(const name &from) { *(bits *)this = *(const bits *)&from; }                                               \
    name &operator=(const name &from) { return *(bits *)this = *(const bits *)&from, *this; }
struct alignas(8) float2 {
    float x, y;
    FUSEMAP_WHOLE(float2, fusemap_int2)
    float2(float x, float y) : x(x), y(y) {}
};
struct alignas(16) float4 {
    float x, y, z, w;
    FUSEMAP_WHOLE(float4, fusemap_int4)
    float4(float x, float y, float z, float w) : x(x), y(y), z(z), w(w) {}
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
static const int warpSize = 32;

namespace fusemap {
void barrier(int line);                     // waits for all threads of the block
void warp_barrier(unsigned mask, int line); // waits for the lanes in `mask`
int lane();
// Gives `mine` and takes what lane `source` gave; a lane that is not in `mask` gives the caller's own.
void exchange(unsigned mask, int line, int source, const void *mine, void *theirs, unsigned bytes);

template <class T> T shuffle(int line, unsigned mask, T mine, int source)
{
    T theirs = mine;
    exchange(mask, line, source, &mine, &theirs, sizeof(T));
    return theirs;
}
template <class T> T shuffle_index(int line, unsigned mask, T mine, int source, int width = 32)
{
    return shuffle(line, mask, mine, lane() / width * width + source % width);
}
template <class T> T shuffle_xor(int line, unsigned mask, T mine, int bits, int width = 32)
{
    const int source = lane() ^ bits;
    return shuffle(line, mask, mine, source < (lane() / width + 1) * width ? source : lane());
}
template <class T> T shuffle_down(int line, unsigned mask, T mine, unsigned by, int width = 32)
{
    const int source = lane() + (int)by;
    return shuffle(line, mask, mine, source / width == lane() / width ? source : lane());
}
template <class T> T shuffle_up(int line, unsigned mask, T mine, unsigned by, int width = 32)
{
    const int source = lane() - (int)by;
    return shuffle(line, mask, mine, source >= lane() / width * width ? source : lane());
}
inline void warp_barrier_of(int line, unsigned mask = 0xffffffffu) { warp_barrier(mask, line); }
} // namespace fusemap

#define __syncthreads() fusemap::barrier(__LINE__)
#define __syncwarp(...) fusemap::warp_barrier_of(__LINE__ __VA_OPT__(, ) __VA_ARGS__)
#define __shfl_sync(...) fusemap::shuffle_index(__LINE__, __VA_ARGS__)
#define __shfl_xor_sync(...) fusemap::shuffle_xor(__LINE__, __VA_ARGS__)
#define __shfl_down_sync(...) fusemap::shuffle_down(__LINE__, __VA_ARGS__)
#define __shfl_up_sync(...) fusemap::shuffle_up(__LINE__, __VA_ARGS__)

#ifdef FUSEMAP_COUNT_OPERATIONS
inline float __frcp_rn(float a) { return fusemap::operation(fusemap::RCP), float(1.0f / a.value); }
#else
inline float __frcp_rn(float a) { return 1.0f / a; }
#endif
inline float fusemap_rsqrtf(float a) { return __frcp_rn(sqrtf(a)); }
#define rsqrtf fusemap_rsqrtf // some C libraries declare an rsqrtf
#define __expf expf
#define __logf logf
#define __fmaf_rn fmaf
inline float __fdividef(float a, float b) { return a / b; }
template <class T> T __ldg(const T *at) { return *at; }
template <class T> T atomicAdd(T *at, T by)
{
    const T old = *at;
    *at = old + by;
    return old;
}
inline int max(int a, int b) { return a > b ? a : b; }
inline int min(int a, int b) { return a < b ? a : b; }
inline float max(float a, float b) { return fmaxf(a, b); }
inline float min(float a, float b) { return fminf(a, b); }
