/* Golden files: what a format looked like when it was released. */

#ifndef PAIRDISK_GOLDEN_H
#define PAIRDISK_GOLDEN_H

/* TEXT is all that tests/data/NAME holds.  PAIRDISK_GOLDEN=write in the
 * environment writes the file anew, for a change that is made on purpose.
 */
extern void assert_golden (const char *name, const char *text);

#endif /* PAIRDISK_GOLDEN_H */
