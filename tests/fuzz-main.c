/* Drives a fuzzer where there is no libFuzzer: random changes of the seeds.
 *
 *   fuzz-NAME [-max_total_time=SECONDS] [-seed=N] DIR|FILE...
 */

#include <config.h>

#include <dirent.h>
#include <sys/stat.h>

#include "clock.h"
#include "fuzz.h"

#define INPUTS_MAX 256
#define SIZE_MAX_INPUT (64u << 10)

struct input {
  uint8_t *data;
  size_t size;
};

static struct input input[INPUTS_MAX];
static unsigned ninputs;
static uint64_t rng;

static uint64_t
next_random (void)
{
  rng ^= rng << 13;
  rng ^= rng >> 7;
  rng ^= rng << 17;
  return rng;
}

static void
take_file (const char *path)
{
  FILE *fp = fopen (path, "rb");
  struct input *in = &input[ninputs];

  if (fp == NULL || ninputs == INPUTS_MAX) {
    perror (path);
    exit (1);
  }
  in->data = malloc (SIZE_MAX_INPUT);
  FUZZ_CHECK (in->data != NULL);
  in->size = fread (in->data, 1, SIZE_MAX_INPUT, fp);
  fclose (fp);
  ninputs++;
}

static void
take (const char *path)
{
  char name[4096];
  struct dirent *entry;
  DIR *dir = opendir (path);

  if (dir == NULL) {
    take_file (path);
    return;
  }
  while ((entry = readdir (dir)) != NULL) {
    if (entry->d_name[0] == '.')
      continue;
    snprintf (name, sizeof name, "%s/%s", path, entry->d_name);
    take_file (name);
  }
  closedir (dir);
}

/* Flip bits, set bytes and words to what is at the edges, cut, repeat. */
static size_t
change (uint8_t *p, size_t size)
{
  static const uint64_t edges[] = { 0, 1, 0x7f, 0xff, 0xffff, 0x7fffffff,
                                    0xffffffff, UINT64_MAX, 4096, 1u << 20 };
  unsigned n = 1 + next_random () % 6;
  uint64_t edge;
  size_t at;

  while (n-- > 0 && size > 0) {
    at = next_random () % size;
    switch (next_random () % 5) {
    case 0:
      p[at] ^= 1u << next_random () % 8;
      break;
    case 1:
      p[at] = next_random ();
      break;
    case 2:
      edge = edges[next_random () % (sizeof edges / sizeof edges[0])];
      memcpy (p + at, &edge, size - at < 8 ? size - at : 8);
      break;
    case 3:
      if (next_random () % 4 == 0)
        size = at;
      break;
    case 4:
      edge = next_random () % size;
      memmove (p + at, p + edge, size - (at > edge ? at : edge));
      break;
    }
  }
  return size;
}

int
main (int argc, char **argv)
{
  uint64_t seconds = 5, end, runs = 0;
  uint8_t *buf = malloc (SIZE_MAX_INPUT);
  const struct input *in;
  size_t size;
  int i;

  FUZZ_CHECK (buf != NULL);
  rng = clock_wall_ns ();
  for (i = 1; i < argc; ++i) {
    if (strncmp (argv[i], "-max_total_time=", 16) == 0)
      seconds = strtoull (argv[i] + 16, NULL, 10);
    else if (strncmp (argv[i], "-seed=", 6) == 0)
      rng = strtoull (argv[i] + 6, NULL, 10);
    else if (argv[i][0] != '-')
      take (argv[i]);
  }
  FUZZ_CHECK (ninputs > 0 && rng != 0);
  fprintf (stderr, "seed %llu\n", (unsigned long long) rng);

  for (i = 0; (unsigned) i < ninputs; ++i)
    LLVMFuzzerTestOneInput (input[i].data, input[i].size);
  end = clock_mono_ns () + seconds * NS_PER_SEC;
  while (clock_mono_ns () < end) {
    in = &input[next_random () % ninputs];
    memcpy (buf, in->data, in->size);
    size = change (buf, in->size);
    LLVMFuzzerTestOneInput (buf, size);
    runs++;
  }
  fprintf (stderr, "Done %llu runs\n", (unsigned long long) runs);
  free (buf);
  while (ninputs > 0)
    free (input[--ninputs].data);
  return 0;
}
