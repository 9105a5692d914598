// Attention in one pass over K and V on tensor cores: bf16 in, float sums, by wmma (16 x 16 x 16). It is written to be
// read, not to be fast: no asynchronous copies, the numerator is in shared memory between chunks.
// A warp has 16 queries, a block BP of them (BP / 16 warps); the block brings in BM keys and values at a time.
// Q[P][E], K[M][E], V[M][F] in bf16, AV[P][F] in float; compiled with -DE= -DF= -DBP= -DBM=, all multiples of 16.
// For GPUs alone: the executors know no half types. It has been compiled (nvcc, sm_90) and executed with wmma written
// out in C++, not yet on a GPU.

#include <cuda_bf16.h>
#include <mma.h>

#define TILE 16
#define WARPS (BP / TILE)

using namespace nvcuda;
typedef wmma::fragment<wmma::matrix_a, TILE, TILE, TILE, __nv_bfloat16, wmma::row_major> RowsA;
typedef wmma::fragment<wmma::matrix_b, TILE, TILE, TILE, __nv_bfloat16, wmma::row_major> RowsB;
typedef wmma::fragment<wmma::matrix_b, TILE, TILE, TILE, __nv_bfloat16, wmma::col_major> ColumnsB;
typedef wmma::fragment<wmma::accumulator, TILE, TILE, TILE, float> Sums;

extern "C" __global__ void attention_1pass_bf16(const __nv_bfloat16 *Q, const __nv_bfloat16 *K, const __nv_bfloat16 *V,
                                                float *AV, int P, int M)
{
    __shared__ __align__(32) __nv_bfloat16 BK[BM][E];
    __shared__ __align__(32) __nv_bfloat16 BV[BM][F];
    __shared__ __align__(32) float BQK[WARPS][TILE][BM];
    __shared__ __align__(32) __nv_bfloat16 SLN[WARPS][TILE][BM];
    __shared__ __align__(32) float RNV[WARPS][TILE][F];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int p = blockIdx.x * BP + warp * TILE; // the warp's first query
    const int row = lane / 2, half = lane % 2;   // two lanes share a query: even and odd columns

    RowsA q[E / TILE];
    for (int e = 0; e < E / TILE; ++e) wmma::load_matrix_sync(q[e], Q + p * E + e * TILE, E);

    float RM = -3.402823466e38f, RD = 0.0f;
    for (int f = half; f < F; f += 2) RNV[warp][row][f] = 0.0f;

    for (int m = 0; m < M; m += BM) {
        for (int i = threadIdx.x; i < BM * E; i += 32 * WARPS) BK[i / E][i % E] = K[m * E + i];
        for (int i = threadIdx.x; i < BM * F; i += 32 * WARPS) BV[i / F][i % F] = V[m * F + i];
        __syncthreads();

        for (int m0 = 0; m0 < BM; m0 += TILE) { // scores: a row of K is a column of its transpose
            Sums sums;
            wmma::fill_fragment(sums, 0.0f);
            for (int e = 0; e < E / TILE; ++e) {
                ColumnsB k;
                wmma::load_matrix_sync(k, &BK[m0][e * TILE], E);
                wmma::mma_sync(sums, q[e], k, sums);
            }
            wmma::store_matrix_sync(&BQK[warp][0][m0], sums, BM, wmma::mem_row_major);
        }
        __syncwarp();

        float LM = RM;
        for (int m0 = half; m0 < BM; m0 += 2) LM = fmaxf(LM, BQK[warp][row][m0]);
        LM = fmaxf(LM, __shfl_xor_sync(0xffffffffu, LM, 1));
        const float PRM = expf(RM - LM);
        RM = LM;
        float SLD = 0.0f;
        for (int m0 = half; m0 < BM; m0 += 2) {
            const float sln = expf(BQK[warp][row][m0] - RM);
            SLD += sln;
            SLN[warp][row][m0] = __float2bfloat16(sln);
        }
        RD = RD * PRM + SLD + __shfl_xor_sync(0xffffffffu, SLD, 1);
        for (int f = half; f < F; f += 2) RNV[warp][row][f] *= PRM;
        __syncwarp();

        for (int f = 0; f < F; f += TILE) { // the numerator goes on from where it was
            Sums sums;
            wmma::load_matrix_sync(sums, &RNV[warp][0][f], F, wmma::mem_row_major);
            for (int m0 = 0; m0 < BM; m0 += TILE) {
                RowsA sln;
                RowsB v;
                wmma::load_matrix_sync(sln, &SLN[warp][0][m0], BM);
                wmma::load_matrix_sync(v, &BV[m0][f], F);
                wmma::mma_sync(sums, sln, v, sums);
            }
            wmma::store_matrix_sync(&RNV[warp][0][f], sums, F, wmma::mem_row_major);
        }
        __syncthreads();
    }
    const float part = 1.0f / RD;
    for (int f = half; f < F; f += 2) AV[(p + row) * F + f] = RNV[warp][row][f] * part;
}
