// Agent attention: G agents, means of the queries, gather the values by a softmax over the keys, in one pass with a
// running maximum, denominator and numerator; a second kernel lets the queries attend to the agents.
// Q[P][E], K[M][E], V[M][F], B1[M][G], B2[G][P], AG[G][E], AV[G][F], O[P][F]; compiled with -DE= -DF= -DG= -DBG= -DBP=
// -DBM=: a thread of the first kernel has an agent (BG in a block), one of the second a query (BP in a block).

extern "C" __global__ void agent_gather(const float *Q, const float *K, const float *V, const float *B1, float *AG,
                                        float *AV, int P, int M)
{
    __shared__ float BK[BM][E];
    __shared__ float BV[BM][F];
    const int g = blockIdx.x * BG + threadIdx.x;
    const int P0 = P / G; // queries of an agent, one after another

    float ag[E];
    for (int e = 0; e < E; ++e) ag[e] = 0.0f;
    for (int p0 = 0; p0 < P0; ++p0)
        for (int e = 0; e < E; ++e) ag[e] += Q[(g * P0 + p0) * E + e];
    for (int e = 0; e < E; ++e) {
        ag[e] /= sqrtf(E * P0 * P0); // of the mean, and of a product with it as attention has it
        AG[g * E + e] = ag[e];
    }

    float RM = -3.402823466e38f, RD = 0.0f, RNV[F];
    for (int f = 0; f < F; ++f) RNV[f] = 0.0f;

    for (int m = 0; m < M; m += BM) {
        for (int i = threadIdx.x; i < BM * E; i += BG) BK[i / E][i % E] = K[m * E + i];
        for (int i = threadIdx.x; i < BM * F; i += BG) BV[i / F][i % F] = V[m * F + i];
        __syncthreads();

        float S1[BM], LM = RM;
        for (int m0 = 0; m0 < BM; ++m0) {
            float s = B1[(m + m0) * G + g];
            for (int e = 0; e < E; ++e) s += ag[e] * BK[m0][e];
            S1[m0] = s;
            LM = fmaxf(LM, s);
        }
        const float PRM = expf(RM - LM);
        RM = LM;
        RD *= PRM;
        for (int f = 0; f < F; ++f) RNV[f] *= PRM;
        for (int m0 = 0; m0 < BM; ++m0) {
            const float SLN = expf(S1[m0] - RM);
            RD += SLN;
            for (int f = 0; f < F; ++f) RNV[f] += SLN * BV[m0][f];
        }
        __syncthreads();
    }
    const float part = 1.0f / RD;
    for (int f = 0; f < F; ++f) AV[g * F + f] = RNV[f] * part;
}

extern "C" __global__ void agent_attend(const float *Q, const float *AG, const float *AV, const float *B2, float *O,
                                        int P)
{
    __shared__ float BAG[G][E];
    __shared__ float BAV[G][F];
    const int p = blockIdx.x * BP + threadIdx.x;

    for (int i = threadIdx.x; i < G * E; i += BP) BAG[i / E][i % E] = AG[i];
    for (int i = threadIdx.x; i < G * F; i += BP) BAV[i / F][i % F] = AV[i];
    float q[E];
    for (int e = 0; e < E; ++e) q[e] = Q[p * E + e];
    __syncthreads();

    float S2[G], GM = -3.402823466e38f;
    for (int g = 0; g < G; ++g) {
        float s = B2[g * P + p];
        for (int e = 0; e < E; ++e) s += q[e] * BAG[g][e];
        S2[g] = s;
        GM = fmaxf(GM, s);
    }
    float SD = 0.0f, SNV[F];
    for (int f = 0; f < F; ++f) SNV[f] = 0.0f;
    for (int g = 0; g < G; ++g) {
        const float SN = expf(S2[g] - GM);
        SD += SN;
        for (int f = 0; f < F; ++f) SNV[f] += SN * BAV[g][f];
    }
    const float part = 1.0f / SD;
    for (int f = 0; f < F; ++f) O[p * F + f] = SNV[f] * part;
}
