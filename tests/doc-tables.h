/* Tables of a documentation page that are made from the code: between
 * "<!-- NAME -->" and "<!-- end -->".
 */

#ifndef PAIRDISK_DOC_TABLES_H
#define PAIRDISK_DOC_TABLES_H

#include <stdbool.h>
#include <stdio.h>

struct doc_table {
  const char *name;              /* NULL ends the list */
  void (*write) (FILE *fp);
};

/* Does the page, a path below the source directory, have TABLES as the code
 * makes them?  If not, says that "tests/TEST --update" does it.
 */
extern bool doc_is_current (const char *page, const struct doc_table *tables,
                            const char *test);

/* Write them anew; returns an exit status. */
extern int doc_update (const char *path, const struct doc_table *tables);

#endif /* PAIRDISK_DOC_TABLES_H */
