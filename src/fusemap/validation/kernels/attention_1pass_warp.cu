// Attention in one pass, a warp per query: the lanes share out the keys of a chunk and the features of V, and
// reduce by shuffles. Q is not kept: a lane reads the row again for each of its keys. That is what the source
// says; a compiler unrolls the loop over a lane's keys and reads the row once for all of them.
// Q[P][E], K[M][E], V[M][F], AV[P][F]; compiled with -DE= -DF= -DBP= -DBM=, BM and F multiples of 32; BP warps.

#define LANES 32
#define KEYS (BM / LANES)
#define FEATURES (F / LANES)

extern "C" __global__ void attention_1pass_warp(const float *Q, const float *K, const float *V, float *AV, int P, int M)
{
    __shared__ float BK[BM][E + 1];
    __shared__ float BV[BM][F];
    const int lane = threadIdx.x % LANES;
    const int p = blockIdx.x * BP + threadIdx.x / LANES;

    float RM = -3.402823466e38f, RD = 0.0f, RNV[FEATURES];
    for (int f = 0; f < FEATURES; ++f) RNV[f] = 0.0f;

    for (int m1 = 0; m1 < M; m1 += BM) {
        for (int i = threadIdx.x; i < BM * E; i += BP * LANES) BK[i / E][i % E] = K[m1 * E + i];
        for (int i = threadIdx.x; i < BM * F; i += BP * LANES) BV[i / F][i % F] = V[m1 * F + i];
        __syncthreads();

        float SLN[KEYS], LM = RM;
        for (int k = 0; k < KEYS; ++k) {
            float BQK = 0.0f;
            for (int e = 0; e < E; ++e) BQK += Q[p * E + e] * BK[k * LANES + lane][e];
            SLN[k] = BQK;
            LM = fmaxf(LM, BQK);
        }
        for (int bit = LANES / 2; bit > 0; bit /= 2) LM = fmaxf(LM, __shfl_xor_sync(0xffffffffu, LM, bit));
        const float PRM = expf(RM - LM);
        RM = LM;
        RD *= PRM;
        for (int f = 0; f < FEATURES; ++f) RNV[f] *= PRM;
        for (int k = 0; k < KEYS; ++k) {
            SLN[k] = expf(SLN[k] - RM);
            RD += SLN[k]; // of this lane's keys; the lanes' sums meet at the end
        }
        for (int k = 0; k < KEYS; ++k) {
            for (int m0 = 0; m0 < LANES; ++m0) {
                const float sln = __shfl_sync(0xffffffffu, SLN[k], m0);
                for (int f = 0; f < FEATURES; ++f) RNV[f] += sln * BV[k * LANES + m0][f * LANES + lane];
            }
        }
        __syncthreads();
    }
    for (int bit = LANES / 2; bit > 0; bit /= 2) RD += __shfl_xor_sync(0xffffffffu, RD, bit);
    const float part = 1.0f / RD;
    for (int f = 0; f < FEATURES; ++f) AV[p * F + f * LANES + lane] = RNV[f] * part;
}
