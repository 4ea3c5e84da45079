/* Tags and resource groups of pairs (tags.c). */

#ifndef PAIRDISK_AGENT_TAGS_H
#define PAIRDISK_AGENT_TAGS_H

#include <stdbool.h>

struct answer;
struct record;
struct request;

/* The Tag.N of a call, into the record; as a filter. */
extern bool tags_parse (const struct request *req, struct record *rec,
                        struct answer *answer);
extern bool tags_filter_valid (const struct request *req,
                               struct answer *answer);
extern bool tags_match (const struct request *req, const struct record *rec);
extern bool resource_group_valid (const char *str);

#endif /* PAIRDISK_AGENT_TAGS_H */
