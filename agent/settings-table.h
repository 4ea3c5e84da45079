/* The table of paird's settings: command line, file, help and manual page
 * are made from it (settings-table.c, settings.c).
 */

#ifndef PAIRDISK_SETTINGS_TABLE_H
#define PAIRDISK_SETTINGS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum setting_type { SETTING_TEXT = 1, SETTING_BOOL, SETTING_REGION,
                    SETTING_PEER, SETTING_NUMBER };

struct setting {
  const char *name;
  enum setting_type type;
  size_t offset;           /* in struct settings; of PEER it means nothing */
  const char *def;         /* NULL: none */
  bool is_required;
  const char *word;        /* of the value, in the help */
  const char *help;        /* what it is: one phrase */
  const char *details;     /* why the default, when to change it: sentences */
  const char *example;     /* for the sample file; NULL: the default */
};

extern const struct setting settings_table[];    /* name NULL ends it */

extern void settings_print_help (FILE *f);

/* A configuration file with every key, all but the required ones commented
 * out.
 */
extern void settings_print_conf (FILE *f);

/* The =over ... =back of the manual page. */
extern void settings_print_pod (FILE *f);

#endif /* PAIRDISK_SETTINGS_TABLE_H */
