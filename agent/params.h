/* Parameters of a call, and lists like them (params.c). */

#ifndef PAIRDISK_AGENT_PARAMS_H
#define PAIRDISK_AGENT_PARAMS_H

#include <stddef.h>

#define PARAMS_MAX 512
#define BODY_MAX (1024 * 1024)

struct params {
  size_t count;
  struct { char *name, *value; } *table;
};

/* First come wins.  -1: E2BIG, EINVAL (not text), ENOMEM. */
extern int params_add (struct params *p, const char *name, size_t name_len,
                       const char *value, size_t value_len);

/* Add what an application/x-www-form-urlencoded body says. */
extern int params_add_form (struct params *p, const char *body, size_t len);
extern const char *params_get (const struct params *p, const char *name);
extern void params_release (struct params *p);

#endif /* PAIRDISK_AGENT_PARAMS_H */
