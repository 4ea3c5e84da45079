/* What is known about a pair beside its record (see runtime.h). */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "agent.h"
#include "runtime.h"
#include "values.h"

struct runtime *
runtime_get (struct agent *agent, const char *id)
{
  struct runtime *rt;

  for (rt = agent->runtimes; rt; rt = rt->next) {
    if (strcmp (rt->id, id) == 0)
      return rt;
  }
  rt = calloc (1, sizeof *rt);
  if (rt) {
    TEXT_SET (rt->id, id);
    rt->next = agent->runtimes;
    agent->runtimes = rt;
  }
  return rt;
}

void
runtimes_free (struct agent *agent)
{
  struct runtime *rt, *next;

  for (rt = agent->runtimes; rt; rt = next) {
    next = rt->next;
    json_decref (rt->status);
    json_decref (rt->peer_status);
    json_decref (rt->compared_ours);
    json_decref (rt->compared_theirs);
    json_decref (rt->comparison);
    free (rt);
  }
  agent->runtimes = NULL;
}
