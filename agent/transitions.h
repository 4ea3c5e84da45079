/* The named steps of each transition of a pair: see transitions.c. */

#ifndef PAIRDISK_TRANSITIONS_H
#define PAIRDISK_TRANSITIONS_H

#include <stdbool.h>

struct agent;
struct record;

enum step_at { STEP_AT_SITE = 1, STEP_AT_SOURCE, STEP_AT_DESTINATION,
               STEP_AT_PLUGIN };

struct step_info {
  const char *transition;        /* of the plugin's: its request */
  enum step_at at;
  const char *step;              /* "": the request as a whole */
  bool is_rare;                  /* not in the usual course */
  const char *what;
};

extern const struct step_info steps[];     /* transition NULL ends it */

/* "TRANSITION.STEP", "TRANSITION.source.STEP" or "plugin.REQUEST.STEP" */
#define STEP_NAME_SIZE 64
extern void step_name (const struct step_info *info,
                       char ret[STEP_NAME_SIZE]);

/* Which transition is made, or was made last, in REC's status. */
extern const char *transition_of (const struct record *rec);

/* A step of the site as a whole: a transaction. */
struct site_step {
  char name[STEP_NAME_SIZE];     /* "": nobody watches */
};
extern void site_step_begins (struct site_step *s, const char *transition,
                              const char *step);
extern void site_step_ended (const struct site_step *s);

/* A request to our plugin. */
extern void disk_step_begins (struct site_step *s,
                              const struct agent *agent,
                              const struct record *rec, const char *op);

#endif /* PAIRDISK_TRANSITIONS_H */
