// Attention in three kernels that hand the scores on through memory: QK with its maximum, SN with its sum, and the
// product with V. K is read once; the scores make four trips (two stores, two loads of M x P).
// The division is drawn out of the last sum: AV = (sum of SN * V) * (1 / SD), one division per query.
// Q[P][E], K[M][E], V[M][F], AV[P][F], QK[M][P], SN[M][P], GM[P], SD[P]; compiled with -DE= -DF= -DBP= -DBM=.

extern "C" __global__ void attention_scores(const float *Q, const float *K, float *QK, float *GM, int P, int M)
{
    __shared__ float BK[BM][E];
    const int p = blockIdx.x * BP + threadIdx.x;

    float q[E];
    for (int e = 0; e < E; ++e) q[e] = Q[p * E + e];

    float gm = -3.402823466e38f;
    for (int m1 = 0; m1 < M; m1 += BM) {
        for (int i = threadIdx.x; i < BM * E; i += BP) BK[i / E][i % E] = K[m1 * E + i];
        __syncthreads();
        for (int m0 = 0; m0 < BM; ++m0) {
            float s = 0.0f;
            for (int e = 0; e < E; ++e) s += q[e] * BK[m0][e];
            QK[(m1 + m0) * P + p] = s;
            gm = fmaxf(gm, s);
        }
        __syncthreads();
    }
    GM[p] = gm;
}

extern "C" __global__ void attention_exponentials(const float *QK, const float *GM, float *SN, float *SD, int P, int M)
{
    const int p = blockIdx.x * BP + threadIdx.x;
    const float gm = GM[p];
    float sd = 0.0f;
    for (int m = 0; m < M; ++m) {
        const float sn = expf(QK[m * P + p] - gm);
        SN[m * P + p] = sn;
        sd += sn;
    }
    SD[p] = sd;
}

extern "C" __global__ void attention_values(const float *SN, const float *SD, const float *V, float *AV, int P, int M)
{
    __shared__ float BV[BM][F];
    const int p = blockIdx.x * BP + threadIdx.x;

    float SNV[F];
    for (int f = 0; f < F; ++f) SNV[f] = 0.0f;
    for (int m1 = 0; m1 < M; m1 += BM) {
        for (int i = threadIdx.x; i < BM * F; i += BP) BV[i / F][i % F] = V[m1 * F + i];
        __syncthreads();
        for (int m0 = 0; m0 < BM; ++m0) {
            const float sn = SN[(m1 + m0) * P + p];
            for (int f = 0; f < F; ++f) SNV[f] += sn * BV[m0][f];
        }
        __syncthreads();
    }
    const float part = 1.0f / SD[p];
    for (int f = 0; f < F; ++f) AV[p * F + f] = SNV[f] * part;
}
