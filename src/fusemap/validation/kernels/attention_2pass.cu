// Attention in two passes over K: the first keeps the maximum and the denominator, the second makes the scores
// again, with the maximum known. A thread has one query; the block shares BM keys and values at a time.
// The denominator is corrected to the maximum so far chunk by chunk, not to the last one at the end, and the
// division is done once per query: the sums are those of the cascade.
// Q[P][E], K[M][E], V[M][F], AV[P][F]; compiled with -DE= -DF= -DBP= -DBM= and, if chunks are wanted, -DM0=.

#ifndef M0
#define M0 1
#endif

extern "C" __global__ void attention_2pass(const float *Q, const float *K, const float *V, float *AV, int P, int M)
{
    __shared__ float BK[BM][E];
    __shared__ float BV[BM][F];
    const int p = blockIdx.x * BP + threadIdx.x;

    float q[E];
    for (int e = 0; e < E; ++e) q[e] = Q[p * E + e];

    float GM = -3.402823466e38f, SD = 0.0f;
    for (int m = 0; m < M; m += BM) {
        for (int i = threadIdx.x; i < BM * E; i += BP) BK[i / E][i % E] = K[m * E + i];
        __syncthreads();

        for (int m1 = 0; m1 < BM; m1 += M0) {
            float BQK[M0], LM = GM;
            for (int m0 = 0; m0 < M0; ++m0) {
                float s = 0.0f;
                for (int e = 0; e < E; ++e) s += q[e] * BK[m1 + m0][e];
                BQK[m0] = s;
                LM = fmaxf(LM, s);
            }
            const float PRM = expf(GM - LM);
            GM = LM;
            SD *= PRM;
            for (int m0 = 0; m0 < M0; ++m0) SD += expf(BQK[m0] - GM);
        }
        __syncthreads();
    }

    float SNV[F];
    for (int f = 0; f < F; ++f) SNV[f] = 0.0f;
    for (int m = 0; m < M; m += BM) {
        for (int i = threadIdx.x; i < BM * E; i += BP) BK[i / E][i % E] = K[m * E + i];
        for (int i = threadIdx.x; i < BM * F; i += BP) BV[i / F][i % F] = V[m * F + i];
        __syncthreads();

        for (int m0 = 0; m0 < BM; ++m0) {
            float BQK = 0.0f;
            for (int e = 0; e < E; ++e) BQK += q[e] * BK[m0][e];
            const float SN = expf(BQK - GM);
            for (int f = 0; f < F; ++f) SNV[f] += SN * BV[m0][f];
        }
        __syncthreads();
    }
    const float part = 1.0f / SD;
    for (int f = 0; f < F; ++f) AV[p * F + f] = SNV[f] * part;
}
