// Attention in three passes over K, each of which makes the scores again: the maximum, the denominator, the
// product with V. A thread has one query; the block shares BM keys and values at a time.
// The division is drawn out of the last sum: AV = (sum of SN * V) * (1 / SD), one division per query.
// Q[P][E], K[M][E], V[M][F], AV[P][F]; compiled with -DE= -DF= -DBP= -DBM=.

extern "C" __global__ void attention_3pass(const float *Q, const float *K, const float *V, float *AV, int P, int M)
{
    __shared__ float BK[BM][E];
    __shared__ float BV[BM][F];
    const int p = blockIdx.x * BP + threadIdx.x;

    float q[E];
    for (int e = 0; e < E; ++e) q[e] = Q[p * E + e];

    float GM = -3.402823466e38f;
    for (int m1 = 0; m1 < M; m1 += BM) {
        for (int i = threadIdx.x; i < BM * E; i += BP) BK[i / E][i % E] = K[m1 * E + i];
        __syncthreads();
        for (int m0 = 0; m0 < BM; ++m0) {
            float QK = 0.0f;
            for (int e = 0; e < E; ++e) QK += q[e] * BK[m0][e];
            GM = fmaxf(GM, QK);
        }
        __syncthreads();
    }

    float SD = 0.0f;
    for (int m1 = 0; m1 < M; m1 += BM) {
        for (int i = threadIdx.x; i < BM * E; i += BP) BK[i / E][i % E] = K[m1 * E + i];
        __syncthreads();
        for (int m0 = 0; m0 < BM; ++m0) {
            float QK = 0.0f;
            for (int e = 0; e < E; ++e) QK += q[e] * BK[m0][e];
            SD += expf(QK - GM);
        }
        __syncthreads();
    }

    float SNV[F];
    for (int f = 0; f < F; ++f) SNV[f] = 0.0f;
    for (int m1 = 0; m1 < M; m1 += BM) {
        for (int i = threadIdx.x; i < BM * E; i += BP) BK[i / E][i % E] = K[m1 * E + i];
        for (int i = threadIdx.x; i < BM * F; i += BP) BV[i / F][i % F] = V[m1 * F + i];
        __syncthreads();
        for (int m0 = 0; m0 < BM; ++m0) {
            float QK = 0.0f;
            for (int e = 0; e < E; ++e) QK += q[e] * BK[m0][e];
            const float SN = expf(QK - GM);
            for (int f = 0; f < F; ++f) SNV[f] += SN * BV[m0][f];
        }
        __syncthreads();
    }
    const float part = 1.0f / SD;
    for (int f = 0; f < F; ++f) AV[p * F + f] = SNV[f] * part;
}
