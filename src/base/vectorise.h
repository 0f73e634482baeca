/* Inner loops compiled for several generations of x86-64; the loader picks the one that the CPU runs best. */
#ifndef QDS_BASE_VECTORISE_H
#define QDS_BASE_VECTORISE_H

/* The sanitizers run before the loader has resolved such a choice, so they get the plain code. */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__SANITIZE_ADDRESS__) &&                       \
    !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define QDS_VECTORISE __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#else
#define QDS_VECTORISE
#endif

#endif
