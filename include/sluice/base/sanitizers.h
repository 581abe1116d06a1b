/* SL_HAS_ASAN, SL_HAS_TSAN: defined where the program is built with that sanitizer, as gcc or clang tells. */
#ifndef SLUICE_BASE_SANITIZERS_H
#define SLUICE_BASE_SANITIZERS_H

#ifdef __has_feature /* clang */
#if __has_feature(address_sanitizer)
#define SL_HAS_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define SL_HAS_TSAN 1
#endif
#endif

#ifdef __SANITIZE_ADDRESS__ /* gcc */
#define SL_HAS_ASAN 1
#endif
#ifdef __SANITIZE_THREAD__
#define SL_HAS_TSAN 1
#endif

#endif
