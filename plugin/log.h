/* Lines that are worth keeping but are no errors.
 *
 * nbdkit 1.32 writes errors always and debug lines only with -v; why a link
 * copies a whole disk is neither.  Such lines go where nbdkit's errors go:
 * to stderr in the foreground, to the system log in the background.
 */

#ifndef PAIRDISK_LOG_H
#define PAIRDISK_LOG_H

/* Before nbdkit forks, and after. */
extern void log_before_fork (void);
extern void log_after_fork (void);

/* Any thread. */
extern void log_info (const char *fmt, ...)
  __attribute__ ((format (printf, 1, 2)));

#endif /* PAIRDISK_LOG_H */
