// Attention in one pass over K and V (FuseMax, Cascade 5; FlashAttention-2). A thread has one query; the block
// brings in BM keys and values at a time and shares them, a thread takes them in chunks of M0.
// Q[P][E], K[M][E], V[M][F], AV[P][F]; compiled with -DE= -DF= -DBP= -DBM= and, if chunks are wanted, -DM0=.

#ifndef M0
#define M0 1
#endif

extern "C" __global__ void attention_1pass(const float *Q, const float *K, const float *V, float *AV, int P, int M)
{
    __shared__ float BK[BM][E];
    __shared__ float BV[BM][F];
    const int p = blockIdx.x * BP + threadIdx.x;

    float q[E];
    for (int e = 0; e < E; ++e) q[e] = Q[p * E + e];

    float RM = -3.402823466e38f, RD = 0.0f, RNV[F];
    for (int f = 0; f < F; ++f) RNV[f] = 0.0f;

    for (int m = 0; m < M; m += BM) {
        for (int i = threadIdx.x; i < BM * E; i += BP) BK[i / E][i % E] = K[m * E + i];
        for (int i = threadIdx.x; i < BM * F; i += BP) BV[i / F][i % F] = V[m * F + i];
        __syncthreads();

        for (int m1 = 0; m1 < BM; m1 += M0) {
            float BQK[M0], LM = RM;
            for (int m0 = 0; m0 < M0; ++m0) {
                float s = 0.0f;
                for (int e = 0; e < E; ++e) s += q[e] * BK[m1 + m0][e];
                BQK[m0] = s;
                LM = fmaxf(LM, s);
            }
            const float PRM = expf(RM - LM);
            RM = LM;
            RD *= PRM;
            for (int f = 0; f < F; ++f) RNV[f] *= PRM;
            for (int m0 = 0; m0 < M0; ++m0) {
                const float SLN = expf(BQK[m0] - RM);
                RD += SLN;
                for (int f = 0; f < F; ++f) RNV[f] += SLN * BV[m1 + m0][f];
            }
        }
        __syncthreads();
    }
    const float part = 1.0f / RD;
    for (int f = 0; f < F; ++f) AV[p * F + f] = RNV[f] * part;
}
