/* HTTP: a request in, JSON out (http.c). */

#ifndef PAIRDISK_AGENT_HTTP_H
#define PAIRDISK_AGENT_HTTP_H

#include "error.h"

struct agent;
struct http;

extern struct http *http_start (struct agent *agent, struct error *err);
extern void http_stop (struct http *h);

#endif /* PAIRDISK_AGENT_HTTP_H */
