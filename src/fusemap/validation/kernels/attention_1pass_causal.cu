// Attention in one pass over the keys m <= p: a block stops at the last chunk that one of its queries sees, so the
// chunks above the diagonal are never read. A thread has one query; the block shares BM keys and values at a time.
// Q[P][E], K[M][E], V[M][F], AV[P][F]; compiled with -DE= -DF= -DBP= -DBM=.

extern "C" __global__ void attention_1pass_causal(const float *Q, const float *K, const float *V, float *AV, int P,
                                                  int M)
{
    __shared__ float BK[BM][E];
    __shared__ float BV[BM][F];
    const int p = blockIdx.x * BP + threadIdx.x;
    const int end = min(M, (int)(blockIdx.x + 1) * BP);

    float q[E];
    for (int e = 0; e < E; ++e) q[e] = Q[p * E + e];

    float RM = -3.402823466e38f, RD = 0.0f, RNV[F];
    for (int f = 0; f < F; ++f) RNV[f] = 0.0f;

    for (int m1 = 0; m1 < end; m1 += BM) {
        for (int i = threadIdx.x; i < BM * E; i += BP) BK[i / E][i % E] = K[m1 * E + i];
        for (int i = threadIdx.x; i < BM * F; i += BP) BV[i / F][i % F] = V[m1 * F + i];
        __syncthreads();

        for (int m0 = 0; m0 < BM && m1 + m0 <= p; ++m0) {
            float BQK = 0.0f;
            for (int e = 0; e < E; ++e) BQK += q[e] * BK[m0][e];
            const float LM = fmaxf(RM, BQK);
            const float PRM = expf(RM - LM);
            const float SLN = expf(BQK - LM);
            RM = LM;
            RD = RD * PRM + SLN;
            for (int f = 0; f < F; ++f) RNV[f] = RNV[f] * PRM + SLN * BV[m0][f];
        }
        __syncthreads();
    }
    const float part = 1.0f / RD;
    for (int f = 0; f < F; ++f) AV[p * F + f] = RNV[f] * part;
}
