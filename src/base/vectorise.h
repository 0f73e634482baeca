/* Inner loops compiled for several generations of x86-64; the loader picks the one that the CPU runs best. */
#ifndef QDS_BASE_VECTORISE_H
#define QDS_BASE_VECTORISE_H

/* Levels of the architecture are chosen by what the CPU can do. Names of processors would be compared with
 * its model, so that one newer than the compiler gets the plain code.
 *
 * The sanitizers run before the loader has resolved such a choice, so they get the plain code. */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__SANITIZE_ADDRESS__) &&                       \
    !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define QDS_VECTORISE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define QDS_VECTORISE
#endif

#endif
