/* pairctl: disks and pairs of a site, and volumes on this machine.
 *
 * The table below is the command line.  Parsing, help, the list that bash
 * completion reads and the test that compares the man page are made from it;
 * nothing about a verb is said a second time in code.
 */

#include <config.h>

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

const struct cli_noun cli_nouns[] = {
  { "status", "the whole site, what needs attention first" },
  { "disk",   "the disks of a site" },
  { "pair",   "pairs: a disk here and its copy at another site" },
  { "event",  "what happened at a site" },
  { "site",   "the site itself" },
  { "key",    "access keys of programs that call the API" },
  { "volume", "a disk's files on this machine, without an agent" },
  { NULL, NULL }
};

const struct cli_option cli_globals[] = {
  { "site", "DIR", false,
    "site directory with api.sock (else $PAIRDISK_SITE)" },
  { "json", NULL, false, "print JSON instead of tables and sentences" },
  { "timeout", "TIME", false,
    "give up after this time: 30, 0.5s, 5m, 2h" },
  { "progress", "FD", false,
    "write progress as lines to this file descriptor" },
  { "no-progress", NULL, false, "draw no progress bar" },
  { "commands", NULL, false, "list all verbs and options, for programs" },
  { "help", NULL, false, "show help for what was typed so far" },
  { "version", NULL, false, "show the version" },
  { NULL, NULL, false, NULL }
};

const struct cli_command cli_commands[] = {
  { "status", "", NULL, "show the whole site, what needs attention first",
    "The pairs that do well are listed as far as the screen goes.",
    status_options, status_show, NULL },

  { "disk", "create", "NAME", "make a disk",
    NULL, disk_create_options, disk_create, NULL },
  { "disk", "list", NULL, "list the disks of the site",
    NULL, NULL, disk_list, NULL },
  { "disk", "show", "DISK", "show one disk",
    NULL, NULL, disk_show, NULL },
  { "disk", "delete", "DISK", "delete a disk and its content",
    "Asks first on a terminal; a script says --yes.",
    disk_delete_options, disk_delete, NULL },
  { "disk", "resize", "DISK", "make a disk larger, while it is in use",
    "A guest that is connected sees the new size when it connects again.\n"
    "A disk never becomes smaller, and does not grow while in a pair.",
    disk_resize_options, disk_resize, NULL },
  { "disk", "attach", "DISK", "put on record what a disk is for",
    "It counts as attached then, also while nobody has it open: it does not\n"
    "become a copy, and is not deleted.  A copy is attached after a failover.",
    disk_attach_options, disk_attach, NULL },
  { "disk", "detach", "DISK", "take that off the record",
    NULL, NULL, disk_detach, NULL },
  { "disk", "scrub", "DISK", "read and verify all that is live on a disk",
    "Guests go on.  'disk show' says how far it is and what was found.",
    disk_scrub_options, disk_scrub, NULL },
  { "disk", "verify", "DISK", "compare both sides of a disk's pair",
    "At the primary's site, while guests go on.  'disk show' says how far it\n"
    "is and what was found.",
    disk_verify_options, disk_verify, NULL },

  { "pair", "create", NULL, "make a pair of a disk here and one at a peer",
    "Nothing is copied before 'pair start'.  The content of the peer's disk\n"
    "is then replaced.",
    pair_create_options, pair_create, NULL },
  { "pair", "start", "PAIR", "start replication",
    NULL, pair_start_options, pair_start, NULL },
  { "pair", "stop", "PAIR", "stop replication",
    "The secondary disk goes back to its last complete point.",
    pair_verb_options, pair_stop, NULL },
  { "pair", "failover", "PAIR", "open the secondary disk for writing",
    "Called at the secondary's site; works when the other site is dead.\n"
    "With --wait it ends in a report of what the copy lacks.",
    pair_verb_options, pair_failover, NULL },
  { "pair", "reprotect", "PAIR", "after a failover, replicate the other way",
    "Called at the site that was failed over to.  The old primary gives up "
    "what the\nother side lacks; with --cancel this side does, and the old "
    "primary goes on.\nWhat is given up is shown first, and saved.  Then "
    "'pair start' copies what differs.",
    pair_reprotect_options, pair_reprotect, NULL },
  { "pair", "modify", "PAIR", "change name, RPO, mode or link of a pair",
    "Name, description and RPO only of one that is created or stopped; how\n"
    "data gets to the copy also while it does.",
    pair_modify_options, pair_modify, NULL },
  { "pair", "delete", "PAIR", "dissolve a pair; both disks stay",
    NULL, pair_verb_options, pair_delete, NULL },
  { "pair", "list", NULL, "list the pairs of the site",
    NULL, NULL, pair_list, NULL },
  { "pair", "show", "PAIR", "show one pair, and what to do next",
    NULL, NULL, pair_show, NULL },
  { "pair", "progress", "PAIR", "follow the copying until it is done",
    NULL, pair_progress_options, pair_progress, NULL },
  { "pair", "wait", "PAIR", "wait until a pair is in a state",
    NULL, pair_wait_for_options, pair_wait_for, NULL },

  { "event", "watch", NULL, "print events as they come",
    "Without --until it ends with --timeout or a signal.",
    event_watch_options, event_watch, NULL },
  { "event", "list", NULL, "list events, oldest first",
    NULL, event_list_options, event_list, NULL },

  { "site", "init", NULL, "make a site: directory, keys, configuration",
    "Before its agent is started.  Nothing that is there is replaced.",
    site_init_options, site_init, NULL },
  { "site", "invite", NULL, "make a token by which another site can join",
    "The token is the whole standard output.  It holds a secret.",
    site_invite_options, site_invite, NULL },
  { "site", "join", "TOKEN", "join the site that made the token",
    "\"-\" reads it from standard input.  Both trust each other afterwards.",
    NULL, site_join, NULL },
  { "site", "list", NULL, "list this site and those it knows",
    NULL, NULL, site_list, NULL },
  { "site", "rotate", NULL, "replace keys, certificates and secrets",
    "Pairs go on meanwhile.  The new ones are used when every joined site\n"
    "knows them.",
    site_rotate_options, site_rotate, NULL },
  { "site", "remove", "REGION", "trust a joined site no longer",
    NULL, NULL, site_remove, NULL },
  { "site", "show", NULL, "show the site and its peers",
    NULL, NULL, site_show, NULL },

  { "key", "create", NULL, "make an access key",
    "The secret is shown now and never again.",
    key_create_options, key_create, NULL },
  { "key", "import", "FILE", "take over an access key of another site",
    "From the file that 'key create --out' wrote there.",
    key_import_options, key_import, NULL },
  { "key", "list", NULL, "list the access keys of the site",
    NULL, NULL, key_list, NULL },
  { "key", "disable", "KEY", "refuse calls signed with this key",
    NULL, NULL, key_disable, NULL },
  { "key", "enable", "KEY", "take them again",
    NULL, NULL, key_enable, NULL },
  { "key", "delete", "KEY", "delete an access key",
    NULL, NULL, key_delete, NULL },

  { "volume", "create", "PATH", "make a volume in a new directory",
    "It is empty, or with --from a copy of a raw image or an NBD export.\n"
    "After a failure there is no volume.",
    volume_create_options, volume_create_verb, NULL },
  { "volume", "export", "PATH", "copy a volume to a new file or to NBD",
    "The file is a raw image; a block device does as well.",
    volume_export_options, volume_export_verb, "DEST" },
  { "volume", "resize", "PATH", "make a volume larger",
    "Nobody may have it open: for a disk of a site there is 'disk resize'.",
    volume_resize_options, volume_resize_verb, NULL },
  { "volume", "info", "PATH", "show what a volume's super block says",
    NULL, NULL, volume_info_verb, NULL },
  { "volume", "dump", "PATH", "print the formats field by field",
    "Without options all of them.  Reads only.",
    volume_dump_options, volume_dump_verb, NULL },
  { "volume", "check", "PATH", "read everything and report damage",
    "Repairs nothing without --rebuild-map.  Nobody may have the volume "
    "open.",
    volume_check_options, volume_check_verb, NULL },
  { NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL }
};

int
main (int argc, char **argv)
{
  struct cli cli = { .progress_fd = -1 };
  int r;

  /* Widths of characters, but numbers as in the C locale. */
  setlocale (LC_CTYPE, "");
  if (MB_CUR_MAX == 1)
    setlocale (LC_CTYPE, "C.UTF-8");

  r = args_parse (&cli, argc, argv);
  if (r == -1)
    r = cli.command->run (&cli);
  client_close (&cli);
  if (fflush (stdout) != 0 && r == EXIT_OK) {
    perror ("pairctl: cannot write to standard output");
    r = EXIT_FAILED;
  }
  return r;
}
