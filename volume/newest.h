/* The newest birth in each page of them, in memory, so that who asks what
 * changed since a seq looks only where something did.
 *
 *   0            not known: nobody has asked yet since the volume was opened
 *   COUNTING ... somebody is looking at the page's births now
 *   seq + 1      no birth in the page is newer than seq
 *
 * What is applied raises a page that is known, or is being counted, after the
 * birth is stored and before the entry is; who counts says so before the first
 * birth is read.  So a birth is seen by one or by the other, and a page whose
 * birth and entry do not agree yet stays unknown.  A bound may be too high:
 * then more is looked at than need be.
 */

#ifndef PAIRDISK_VOLUME_NEWEST_H
#define PAIRDISK_VOLUME_NEWEST_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

#define NEWEST_BLOCKS 512u     /* a page of births */

struct volume;

struct newest {
  uint64_t *page;              /* a mapping of which only what is used is in
                                  memory; NULL: not open */
  uint64_t room;               /* blocks that it reaches to */
};

/* For as many blocks as the table of births has room for. */
extern int newest_open (struct newest *n, uint64_t room, struct error *err);
extern void newest_close (struct newest *n);

/* The birth of BLOCK is stored, and it is SEQ. */
extern void newest_raise (struct newest *n, uint64_t block, uint64_t seq);

/* The birth of BLOCK was set back, or all those before END were.  Nobody
 * counts meanwhile.
 */
extern void newest_forget (struct newest *n, uint64_t block);
extern void newest_forget_all (struct newest *n, uint64_t end);

/* May the page that begins with BLOCK hold a birth after SINCE? */
extern bool newest_may_be_after (struct volume *v, uint64_t block,
                                 uint64_t since);

#endif /* PAIRDISK_VOLUME_NEWEST_H */
