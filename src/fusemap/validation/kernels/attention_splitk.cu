// Attention by independent chunks of M (Flash-Decoding): a block has BP queries and one chunk of BM keys and leaves
// its maximum, denominator and numerator in memory; a second kernel merges the chunks with the global maximum.
// Q[P][E], K[M][E], V[M][F], AV[P][F], LM[M1][P], SLD[M1][P], SLNV[M1][F][P] with M1 = M / BM chunks; compiled
// with -DE= -DF= -DBP= -DBM=.

extern "C" __global__ void attention_chunks(const float *Q, const float *K, const float *V, float *LM, float *SLD,
                                            float *SLNV, int P)
{
    __shared__ float BK[BM][E];
    __shared__ float BV[BM][F];
    const int p = blockIdx.x * BP + threadIdx.x;
    const int m1 = blockIdx.y;

    for (int i = threadIdx.x; i < BM * E; i += BP) BK[i / E][i % E] = K[m1 * BM * E + i];
    for (int i = threadIdx.x; i < BM * F; i += BP) BV[i / F][i % F] = V[m1 * BM * F + i];
    __syncthreads();

    float q[E];
    for (int e = 0; e < E; ++e) q[e] = Q[p * E + e];
    float BQK[BM], lm = -3.402823466e38f;
    for (int m0 = 0; m0 < BM; ++m0) {
        float s = 0.0f;
        for (int e = 0; e < E; ++e) s += q[e] * BK[m0][e];
        BQK[m0] = s;
        lm = fmaxf(lm, s);
    }
    float sld = 0.0f, slnv[F];
    for (int f = 0; f < F; ++f) slnv[f] = 0.0f;
    for (int m0 = 0; m0 < BM; ++m0) {
        const float SLN = expf(BQK[m0] - lm);
        sld += SLN;
        for (int f = 0; f < F; ++f) slnv[f] += SLN * BV[m0][f];
    }
    LM[m1 * P + p] = lm;
    SLD[m1 * P + p] = sld;
    for (int f = 0; f < F; ++f) SLNV[(m1 * F + f) * P + p] = slnv[f];
}

extern "C" __global__ void attention_merge(const float *LM, const float *SLD, const float *SLNV, float *AV, int P,
                                           int M)
{
    const int M1 = M / BM;
    const int p = blockIdx.x * BP + threadIdx.x;
    float GM = -3.402823466e38f;
    for (int m1 = 0; m1 < M1; ++m1) GM = fmaxf(GM, LM[m1 * P + p]);

    float SD = 0.0f, SNV[F];
    for (int f = 0; f < F; ++f) SNV[f] = 0.0f;
    for (int m1 = 0; m1 < M1; ++m1) {
        const float PRM = expf(LM[m1 * P + p] - GM);
        SD += SLD[m1 * P + p] * PRM;
        for (int f = 0; f < F; ++f) SNV[f] += SLNV[(m1 * F + f) * P + p] * PRM;
    }
    const float part = 1.0f / SD;
    for (int f = 0; f < F; ++f) AV[p * F + f] = SNV[f] * part;
}
