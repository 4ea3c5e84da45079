/* Disks that grow (disk-resize.c). */

#ifndef PAIRDISK_AGENT_DISK_RESIZE_H
#define PAIRDISK_AGENT_DISK_RESIZE_H

struct agent;
struct disk;

/* End what a kill left half done of a disk that was being resized. */
extern void disk_resize_settle (struct agent *agent, const struct disk *disk);

#endif /* PAIRDISK_AGENT_DISK_RESIZE_H */
