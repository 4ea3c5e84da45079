/* Whole reads and writes, and files replaced as one step.
 *
 * All return -1 with errno set; none prints.
 */

#ifndef PAIRDISK_FILEIO_H
#define PAIRDISK_FILEIO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Read or write exactly LEN bytes at OFFSET; a file that ends early is EIO. */
extern int pread_full (int fd, void *buf, size_t len, off_t offset);
extern int pwrite_full (int fd, const void *buf, size_t len, off_t offset);

/* Write exactly LEN bytes to a file, pipe or socket at its position. */
extern int write_full (int fd, const void *buf, size_t len);

/* Replace DIRFD/NAME by LEN bytes of DATA with permission MODE, durably and
 * as one step: after a crash there is the old file or the new one.
 */
extern int file_replace (int dirfd, const char *name,
                         const void *data, size_t len, mode_t mode);

/* The same for a path. */
extern int file_replace_path (const char *path, const void *data, size_t len,
                              mode_t mode);

/* All of DIRFD/NAME, zero-terminated, at most MAX bytes (else EFBIG).  The
 * caller frees it.  RET_LEN may be NULL.
 */
extern char *file_read (int dirfd, const char *name, size_t max,
                        size_t *ret_len);

/* fsync the directory that is open as DIRFD. */
extern int dir_sync (int dirfd);

#endif /* PAIRDISK_FILEIO_H */
