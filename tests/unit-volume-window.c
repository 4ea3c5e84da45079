/* Reads through memory: right bytes, and where there are none, no bytes and
 * no end of the process.
 */

#include <config.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "window.h"

#define PAGE 4096u
#define PAGES 64u

struct fixture {
  int fd;
  struct window window;
  uint8_t buf[PAGES * PAGE];
};

/* The window's handler: cmocka puts its own in the way for each test. */
static struct sigaction handler;

static uint8_t
byte_at (uint64_t offset)
{
  return offset / PAGE * 7 + offset;
}

static void
write_pages (int fd, unsigned from, unsigned n)
{
  uint8_t page[PAGE];
  unsigned i, k;

  for (i = from; i < from + n; ++i) {
    for (k = 0; k < PAGE; ++k)
      page[k] = byte_at ((uint64_t) i * PAGE + k);
    assert_int_equal (pwrite (fd, page, PAGE, (off_t) i * PAGE), PAGE);
  }
}

static int
setup (void **state)
{
  char name[] = "/tmp/pairdisk-window-XXXXXX";
  struct fixture *f = calloc (1, sizeof *f);

  assert_non_null (f);
  f->fd = mkstemp (name);
  assert_int_not_equal (f->fd, -1);
  unlink (name);
  write_pages (f->fd, 0, PAGES);
  window_init (&f->window, f->fd);
  *state = f;
  return 0;
}

static int
teardown (void **state)
{
  struct fixture *f = *state;

  window_release (&f->window);
  close (f->fd);
  free (f);
  return 0;
}

static void
check_copy (struct fixture *f, size_t len, uint64_t offset)
{
  size_t i;

  memset (f->buf, 0xee, len);
  assert_true (window_copy (&f->window, f->buf, len, offset));
  for (i = 0; i < len; ++i)
    assert_int_equal (f->buf[i], byte_at (offset + i));
}

static void
test_copies (void **state)
{
  struct fixture *f = *state;

  check_copy (f, 1, 0);
  check_copy (f, 2048, PAGE - 1000);
  check_copy (f, WINDOW_COPY_MAX - 1, 5 * PAGE);
  assert_false (window_copy (&f->window, f->buf, WINDOW_COPY_MAX, 0));
}

/* A hint is no access: none of these may fail, and bytes stay what they are. */
static void
test_approaches_anything (void **state)
{
  static const uint64_t offsets[] = {
    0, PAGE - 1, (PAGES - 1) * PAGE, PAGES * PAGE, UINT64_C (1) << 30,
    UINT64_C (1) << 40, INT64_MAX - 1, UINT64_MAX,
  };
  struct fixture *f = *state;
  size_t i;

  window_approach (&f->window, PAGE, 0);       /* before there is a view */
  check_copy (f, PAGE, 0);
  for (i = 0; i < sizeof offsets / sizeof offsets[0]; ++i) {
    window_approach (&f->window, 0, offsets[i]);
    window_approach (&f->window, PAGE, offsets[i]);
    window_approach (&f->window, SIZE_MAX, offsets[i]);
  }
  check_copy (f, 2048, PAGE - 1000);
  assert_int_equal (ftruncate (f->fd, PAGE), 0);
  window_approach (&f->window, PAGE, 5 * PAGE);
  check_copy (f, PAGE, 0);
}

static void
test_sees_new_bytes (void **state)
{
  struct fixture *f = *state;
  uint8_t byte = 0x55, got;

  check_copy (f, PAGE, 0);
  assert_int_equal (pwrite (f->fd, &byte, 1, 10), 1);
  assert_true (window_copy (&f->window, &got, 1, 10));
  assert_int_equal (got, byte);
}

/* The file ends, also in the middle of a copy, and also when it was longer
 * a moment ago.
 */
static void
test_refuses_what_is_not_there (void **state)
{
  struct fixture *f = *state;

  sigaction (SIGBUS, &handler, NULL);
  assert_false (window_copy (&f->window, f->buf, 16, PAGES * PAGE));
  assert_false (window_copy (&f->window, f->buf, PAGE, PAGES * PAGE - 100));
  check_copy (f, PAGE, 8 * PAGE);
  assert_int_equal (ftruncate (f->fd, 4 * PAGE), 0);
  assert_false (window_copy (&f->window, f->buf, PAGE, 8 * PAGE));
  assert_false (window_copy (&f->window, f->buf, PAGE, 8 * PAGE));
  check_copy (f, PAGE, 3 * PAGE);
  assert_false (window_copy (&f->window, f->buf, 16, UINT64_MAX - 15));
  assert_false (window_copy (&f->window, f->buf, 16, INT64_MAX));
}

static void
test_grows_with_the_file (void **state)
{
  struct fixture *f = *state;
  const uint64_t far = UINT64_C (5) << 30;
  uint8_t byte = 0x77, got;

  check_copy (f, PAGE, 0);
  assert_int_equal (pwrite (f->fd, &byte, 1, far), 1);
  assert_true (window_copy (&f->window, &got, 1, far));
  assert_int_equal (got, byte);
  assert_int_equal (f->window.views, 2);
  check_copy (f, PAGE, PAGE);
}

static sigjmp_buf elsewhere;

static void
on_other_bus_error (int sig)
{
  siglongjmp (elsewhere, sig);
}

/* What is not the window's own goes to who was there before. */
static void
test_leaves_other_errors_alone (void **state)
{
  struct fixture *f = *state;
  volatile const char *p;
  volatile char seen;            /* valgrind leaves out an idle read */

  sigaction (SIGBUS, &handler, NULL);
  p = mmap (NULL, PAGE, PROT_READ, MAP_SHARED, f->fd,
            (off_t) PAGES * PAGE);
  assert_ptr_not_equal (p, MAP_FAILED);
  if (sigsetjmp (elsewhere, 1) == 0) {
    seen = *p;
    fail_msg ("no error was delivered, but %d", seen);
  }
  munmap ((void *) p, PAGE);
  check_copy (f, PAGE, 0);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (test_copies, setup, teardown),
    cmocka_unit_test_setup_teardown (test_approaches_anything, setup,
                                     teardown),
    cmocka_unit_test_setup_teardown (test_sees_new_bytes, setup, teardown),
    cmocka_unit_test_setup_teardown (test_refuses_what_is_not_there, setup,
                                     teardown),
    cmocka_unit_test_setup_teardown (test_grows_with_the_file, setup,
                                     teardown),
    cmocka_unit_test_setup_teardown (test_leaves_other_errors_alone, setup,
                                     teardown),
  };

  struct window window;

  /* The handler of the program around it, then the window's own. */
  signal (SIGBUS, on_other_bus_error);
  window_init (&window, -1);
  window_release (&window);
  sigaction (SIGBUS, NULL, &handler);
  return cmocka_run_group_tests_name ("volume window", tests, NULL, NULL);
}
