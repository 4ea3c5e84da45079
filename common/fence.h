/* Memory fences.
 *
 * TSan knows none, and gcc refuses them with it.  Under TSan this one is a
 * plain barrier, so what is ordered by it must be atomic, or read where TSan
 * does not look.
 */

#ifndef PAIRDISK_FENCE_H
#define PAIRDISK_FENCE_H

#ifdef __has_feature
#if __has_feature (thread_sanitizer)
#define FENCE_TSAN 1
#endif
#elif defined __SANITIZE_THREAD__
#define FENCE_TSAN 1
#endif

#ifdef FENCE_TSAN
#define fence(order) __sync_synchronize ()
#else
#define fence(order) __atomic_thread_fence (order)
#endif

#endif /* PAIRDISK_FENCE_H */
