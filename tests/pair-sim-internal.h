/* What the files of a simulated site share with each other, and with no one
 * else (see pair-sim.h).
 */

#ifndef PAIRDISK_PAIR_SIM_INTERNAL_H
#define PAIRDISK_PAIR_SIM_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "pair-sim.h"

/* ------------------------------------------------------------------ */
/* pair-sim-site.c                                                      */

/* Its volume, as the site opens it. */
extern struct volume *site_volume_open (struct site *s, struct error *err);

/* ------------------------------------------------------------------ */
/* pair-sim-replication.c                                               */

/* From the record that is kept. */
extern void site_sync_new (struct site *s);

/* As the role and the link settings say. */
extern void site_configure_sync (struct site *s);
extern unsigned site_interval_ms (struct site *s);

/* A person has it go on alone. */
extern void site_force_sync (struct site *s);

extern void site_start_sender (struct site *s);
extern void site_stop_sender (struct site *s);

/* Receiver and sender, as the role and the link settings say. */
extern void site_start_replication (struct site *s);
extern void site_stop_replication (struct site *s);

/* ------------------------------------------------------------------ */
/* pair-sim-check.c                                                     */

/* What the disk must be right after it was opened, before anything else.  A
 * writer begins its branch.  False: power failed.
 */
extern bool site_check_opened (struct site *s);

/* Promote a copy of the disk as it lies there. */
extern void site_check_promotable (struct site *s);

/* It is as its primary was, and begins a branch.  -1: power failed. */
extern int site_check_promoted (struct site *s);

/* Who would say now that it lacks nothing has every flush that was answered:
 * the peer answers nothing before it is durable.  False: it would not say so.
 */
extern bool site_check_claim (struct site *s);

#endif /* PAIRDISK_PAIR_SIM_INTERNAL_H */
