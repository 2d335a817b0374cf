// Loops of a softmax head, prompt after prompt: w <- w + step (v + g) with g = sum_i softmax(-m)_i z_i.
//
// A prompt goes through all its loops before the next one is looked at: its tokens come from memory once, and from then
// on from the nearest cache. They lie there in both orders, transposed for the scores and as rows for their mean, so
// that sums run along `Lanes`, not within: 8 floats or 4 doubles, treated at once (a vector type of GCC and Clang).
#include <cstdint>
#include <cstring>
#include <limits>

template <class T, class Int, int bits, int terms>  // bits of the mantissa; terms of the exponential series
struct Head {
    static constexpr int width = 32 / sizeof(T), block = 4;  // sums in work at a time hide the time that one takes
    typedef T Lanes __attribute__((vector_size(32), may_alias));
    typedef Int Whole __attribute__((vector_size(32)));

    // e^x for x <= 0 is 2^k e^r: k whole, and |r| <= log(2) / 2, where the series is short. Far below all that counts
    // beside the largest weight, e^0, it is 0: arithmetic on subnormal numbers takes many times as long.
    static Lanes exp(Lanes x) {
        constexpr Int bias = (Int(1) << (8 * sizeof(T) - bits - 2)) - 1;
        constexpr T log2 = 0.69314718055994531, least = -(bias - bits) * log2, rounder = T(3) * (Int(1) << (bits - 1));
        constexpr T high = T(0.693359375), low = 0.69314718055994531 - 0.693359375;  // log2 in two parts
        const Lanes shifted = x * (1 / log2) + rounder, k = shifted - rounder;  // k ends up in the last bits of shifted
        const Lanes r = (x - k * high) - k * low;
        T inverse = 1;
        for (int j = 2; j <= terms; ++j) inverse /= j;
        Lanes series = Lanes{} + inverse;
        for (int j = terms; j > 0; --j) series = series * r + (inverse *= j);
        return x < least ? Lanes{} : series * (Lanes)(((Whole)shifted + bias) << bits);
    }

    static int64_t lanes(int64_t count) { return (count + block * width - 1) / (block * width) * block; }

    // Layers t0 .. t1 - 1. z [B, n, d], zt [B, d, n]: tokens, and transposed; step [B]; w, v [B, d]: the state, to be
    // overwritten. Without momentum v is null.
    static void loops(const T *z, const T *zt, const T *step, T *w, T *v, int64_t B, int64_t n, int64_t d, int64_t t0,
                      int64_t t1) {
        const T none = -std::numeric_limits<T>::infinity();
        const int64_t N = lanes(n), D = (d + width - 1) / width;
        // Blank tokens, which fill up the last Lanes, are 0 and have the score -inf: no weight.
        Lanes *room = new Lanes[d * N + N * width * D + 2 * N + 3 * D]();
        Lanes *columns = room, *rows = columns + d * N, *blank = rows + N * width * D, *q = blank + N;
        Lanes *state = q + N, *carried = state + D, *g = carried + D;
        const T *at = (const T *)state, *weight = (const T *)q;
        for (int64_t i = n; i < N * width; ++i) blank[i / width][i % width] = none;
        for (int64_t b = 0; b < B; ++b, z += n * d, zt += n * d, w += d, v += v ? d : 0) {
            for (int64_t c = 0; c < d; ++c) std::memcpy(&columns[c * N], zt + c * n, n * sizeof(T));
            for (int64_t i = 0; i < n; ++i) std::memcpy(&rows[i * D], z + i * d, d * sizeof(T));
            std::memcpy(state, w, d * sizeof(T));
            if (v) std::memcpy(carried, v, d * sizeof(T));
            for (int64_t t = t0; t < t1; ++t) {
                Lanes most = Lanes{} + none, total = {};
                for (int64_t i = 0; i < N; i += block) {
                    Lanes score[block];
                    for (int k = 0; k < block; ++k) score[k] = blank[i + k];
                    for (int64_t c = 0; c < d; ++c)
                        for (int k = 0; k < block; ++k) score[k] -= at[c] * columns[c * N + i + k];
                    for (int k = 0; k < block; ++k) most = score[k] > most ? score[k] : most, q[i + k] = score[k];
                }
                T top = none, sum = 0;
                for (int l = 0; l < width; ++l) top = most[l] > top ? most[l] : top;
                for (int64_t i = 0; i < N; ++i) total += q[i] = exp(q[i] - top);
                for (int l = 0; l < width; ++l) sum += total[l];
                for (int64_t c = 0; c < D; ++c) {
                    Lanes part[block] = {};
                    for (int64_t i = 0; i < N * width; i += block)
                        for (int k = 0; k < block; ++k) part[k] += weight[i + k] * rows[(i + k) * D + c];
                    Lanes all = {};
                    for (int k = 0; k < block; ++k) all += part[k];
                    g[c] = all * (1 / sum);
                }
                const T beta = T(t) / T(t + 1);
                for (int64_t c = 0; c < D; ++c) {
                    if (v) g[c] += carried[c] = beta * (carried[c] + g[c]);
                    state[c] += step[b] * g[c];
                }
            }
            std::memcpy(w, state, d * sizeof(T));
            if (v) std::memcpy(v, carried, d * sizeof(T));
        }
        delete[] room;
    }
};

extern "C" void loops_float32(const float *z, const float *zt, const float *step, float *w, float *v, int64_t B,
                              int64_t n, int64_t d, int64_t t0, int64_t t1) {
    Head<float, int32_t, 23, 7>::loops(z, zt, step, w, v, B, n, d, t0, t1);
}

extern "C" void loops_float64(const double *z, const double *zt, const double *step, double *w, double *v, int64_t B,
                              int64_t n, int64_t d, int64_t t0, int64_t t1) {
    Head<double, int64_t, 52, 13>::loops(z, zt, step, w, v, B, n, d, t0, t1);
}
