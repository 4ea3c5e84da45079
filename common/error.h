/* What went wrong, in a form a person can act on.
 *
 * Code below the edge (volume/, replica/, pair/, common/) never prints.  It
 * fills a struct error that its caller gave, sets errno and returns -1 or
 * NULL.  The edge (a plugin callback, an agent request, main of the CLI)
 * prints it once.
 *
 * Invariant: a function that fails and was given a struct error has set it;
 * one that succeeds has not touched it.
 */

#ifndef PAIRDISK_ERROR_H
#define PAIRDISK_ERROR_H

#include <stddef.h>

struct error {
  int errnum;          /* positive errno, 0 means no error */
  char message[480];   /* lower case, no full stop, what failed before why */
  char hint[240];      /* what to do next, or "" */
};

#define ERROR_INIT { 0, "", "" }

/* Fill ERR (which may be NULL), set errno to ERRNUM, return -1. */
extern int error_set (struct error *err, int errnum, const char *fmt, ...)
  __attribute__ ((format (printf, 3, 4)));

/* The same, with ": strerror (ERRNUM)" after the message. */
extern int error_set_errno (struct error *err, int errnum,
                            const char *fmt, ...)
  __attribute__ ((format (printf, 3, 4)));

/* Add the next step to an error that is already set; returns -1 and leaves
 * errno alone.
 */
extern int error_hint (struct error *err, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3)));

/* Name of a positive errno value as in <errno.h>, e.g. "ENOSPC". */
extern const char *error_name (int errnum);

#endif /* PAIRDISK_ERROR_H */
