// Causal linear attention with decay, by chunks (Lightning Attention-2): a block has a head and goes along the
// sequence in chunks of BM. Inside a chunk it takes the masked product of Q, K and V; what lies before the chunk is in
// the state KV, which never leaves shared memory. A thread has one query of the chunk, and its share of the state.
// Q[H][M][E], K[H][M][E], V[H][M][F], LA[H] (the decay of a step is exp(-softplus(LA)); LA < 88), O[H][M][F]; compiled
// with -DE= -DF= -DBM=.

extern "C" __global__ void lightning_chunked(const float *Q, const float *K, const float *V, const float *LA, float *O,
                                             int M)
{
    __shared__ float BK[BM][E];
    __shared__ float BV[BM][F];
    __shared__ float KV[E][F];
    __shared__ float D[BM][BM]; // decay from key m0 to query p0 of a chunk
    __shared__ float DK[BM];    // from a key to the end of its chunk
    __shared__ float S, DC;     // the slope: minus the logarithm of a step's decay; the decay of a chunk
    const int h = blockIdx.x;
    const int p0 = threadIdx.x;

    if (p0 == 0) {
        S = __logf(1.0f + expf(LA[h]));
        DC = expf(S * -BM);
    }
    for (int i = p0; i < E * F; i += BM) KV[i / F][i % F] = 0.0f;
    __syncthreads();
    const float DQ = expf(S * (-1 - p0)); // from the chunk before to the query
    DK[p0] = expf(S * (p0 + 1 - BM));
    for (int m0 = 0; m0 <= p0; ++m0) D[m0][p0] = expf(S * (m0 - p0));

    for (int m = 0; m < M; m += BM) {
        const int row = h * M + m; // the chunk's first, in all heads
        for (int i = p0; i < BM * E; i += BM) BK[i / E][i % E] = K[row * E + i];
        for (int i = p0; i < BM * F; i += BM) BV[i / F][i % F] = V[row * F + i];
        float q[E], BO[F];
        for (int e = 0; e < E; ++e) q[e] = Q[(row + p0) * E + e];
        for (int f = 0; f < F; ++f) BO[f] = 0.0f;
        __syncthreads();

        for (int m0 = 0; m0 <= p0; ++m0) {
            float BQK = 0.0f;
            for (int e = 0; e < E; ++e) BQK += q[e] * BK[m0][e];
            const float BA = BQK * D[m0][p0];
            for (int f = 0; f < F; ++f) BO[f] += BA * BV[m0][f];
        }
        for (int e = 0; e < E; ++e) {
            const float BQD = q[e] * DQ;
            for (int f = 0; f < F; ++f) BO[f] += BQD * KV[e][f];
        }
        for (int f = 0; f < F; ++f) O[(row + p0) * F + f] = BO[f];
        __syncthreads(); // all queries have seen the keys and the state

        for (int i = p0; i < BM * E; i += BM) BK[i / E][i % E] *= DK[i / E];
        __syncthreads();
        for (int i = p0; i < E * F; i += BM) {
            const int e = i / F, f = i % F;
            float kv = KV[e][f] * DC;
            for (int m0 = 0; m0 < BM; ++m0) kv += BK[m0][e] * BV[m0][f];
            KV[e][f] = kv;
        }
        __syncthreads();
    }
}
