// Loops of a softmax head, prompt after prompt: w <- w + step (v + g) with g = sum_i softmax(-m)_i z_i.
//
// A prompt goes through all its loops before the next one is looked at: its tokens come from memory once, and from then
// on from the nearest cache. `Lanes` is what the processor treats at once: 8 floats or 4 doubles (a type of GCC, Clang).
#include <cstdint>
#include <cstring>
#include <limits>

template <class T, class Int, int bits, int terms>  // bits of the mantissa; terms of the exponential series
struct Head {
    static constexpr int width = 32 / sizeof(T), pair = 2;  // scores are computed for a pair of Lanes at a time
    typedef T Lanes __attribute__((vector_size(32)));
    typedef Int Whole __attribute__((vector_size(32)));

    // e^x for x <= 0 is 2^k e^r: k whole, and |r| <= log(2) / 2, where the series is short. Where it would leave the
    // normal numbers it stays at about the least of them: too little to count beside the largest weight, e^0.
    static Lanes exp(Lanes x) {
        constexpr Int bias = (Int(1) << (8 * sizeof(T) - bits - 2)) - 1;
        constexpr T log2 = 0.69314718055994531, least = -(bias - 2) * log2, rounder = T(3) * (Int(1) << (bits - 1));
        constexpr T high = T(0.693359375), low = 0.69314718055994531 - 0.693359375;  // log2 in two parts
        x = x < least ? Lanes{} + least : x;
        const Lanes k = (x * (1 / log2) + rounder) - rounder, r = (x - k * high) - k * low;
        Lanes series = Lanes{} + 1;
        for (int j = terms; j > 0; --j) series = 1 + series * (r * (T(1) / j));
        return series * (Lanes)((__builtin_convertvector(k, Whole) + bias) << bits);
    }

    static T sum(Lanes x) {
        for (int half = width / 2; half > 0; half /= 2)
            for (int l = 0; l < half; ++l) x[l] += x[l + half];
        return x[0];
    }

    // Layers t0 .. t1 - 1. zt [B, d, n]: tokens, transposed; step [B]; w, v [B, d]: the state, overwritten.
    // Without momentum v is null.
    static void loops(const T *zt, const T *step, T *w, T *v, int64_t B, int64_t n, int64_t d, int64_t t0, int64_t t1) {
        const T none = -std::numeric_limits<T>::infinity();
        const int64_t N = (n + pair * width - 1) / (pair * width) * pair;  // Lanes for n tokens, the last ones blank
        Lanes *z = new Lanes[d * N + 2 * N](), *q = z + d * N, *blank = q + N;
        for (int64_t i = n; i < N * width; ++i) blank[i / width][i % width] = none;  // 0 for every token
        T *g = new T[d];
        for (int64_t b = 0; b < B; ++b, zt += n * d, w += d, v += v ? d : 0) {
            for (int64_t c = 0; c < d; ++c) std::memcpy(&z[c * N], zt + c * n, n * sizeof(T));
            for (int64_t t = t0; t < t1; ++t) {
                Lanes most = Lanes{} + none, total = {};
                for (int64_t i = 0; i < N; i += pair) {
                    Lanes one = blank[i], two = blank[i + 1];
                    for (int64_t c = 0; c < d; ++c) {
                        one -= w[c] * z[c * N + i];
                        two -= w[c] * z[c * N + i + 1];
                    }
                    q[i] = one, q[i + 1] = two;
                    most = one > most ? one : most;
                    most = two > most ? two : most;
                }
                T top = none;
                for (int l = 0; l < width; ++l) top = most[l] > top ? most[l] : top;
                for (int64_t i = 0; i < N; ++i) total += q[i] = exp(q[i] - top);
                const T share = 1 / sum(total), beta = T(t) / T(t + 1);
                for (int64_t c = 0; c < d; ++c) {
                    Lanes part = {};
                    for (int64_t i = 0; i < N; ++i) part += q[i] * z[c * N + i];
                    g[c] = share * sum(part);
                }
                for (int64_t c = 0; c < d; ++c) {
                    if (v) g[c] += v[c] = beta * (v[c] + g[c]);
                    w[c] += step[b] * g[c];
                }
            }
        }
        delete[] g;
        delete[] z;
    }
};

extern "C" void loops_float32(const float *zt, const float *step, float *w, float *v, int64_t B, int64_t n, int64_t d,
                              int64_t t0, int64_t t1) {
    Head<float, int32_t, 23, 7>::loops(zt, step, w, v, B, n, d, t0, t1);
}

extern "C" void loops_float64(const double *zt, const double *step, double *w, double *v, int64_t B, int64_t n,
                              int64_t d, int64_t t0, int64_t t1) {
    Head<double, int64_t, 52, 13>::loops(zt, step, w, v, B, n, d, t0, t1);
}
