/* Lists in answers: which part of them, which members (paging.c). */

#ifndef PAIRDISK_AGENT_PAGING_H
#define PAIRDISK_AGENT_PAGING_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

struct answer;
struct request;

/* Paging of lists: docs/design/agent-api.md. */
struct paging {
  bool by_token;
  uint64_t offset, limit, page_number;
};
extern bool paging_parse (const struct request *req, struct paging *ret,
                          struct answer *answer);
extern void paging_finish (const struct paging *p, uint64_t total,
                           json_t *body);

/* Is VALUE one of the comma list LIST?  NULL list: everything is. */
extern bool in_comma_list (const char *list, const char *value);

#endif /* PAIRDISK_AGENT_PAGING_H */
