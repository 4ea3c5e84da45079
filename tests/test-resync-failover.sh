#!/usr/bin/env bash
# The secondary was away while a small part of the disk changed.  It is failed
# over at a random moment of the copy that follows, under load: it shows exactly
# what the primary showed at an earlier moment, all of it; and what the copy
# ships is little more than what changed.  Then the two change places.
#
#   PAIRDISK_ROUNDS   how many (3; 100 for long)
#   PAIRDISK_SEED     as a run before printed it
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/reconcile-functions.sh"

rounds=${PAIRDISK_ROUNDS:-${PAIRDISK_LONG:+100}}
rounds=${rounds:-3}
seed=${PAIRDISK_SEED:-$RANDOM}
diag "PAIRDISK_SEED=$seed PAIRDISK_ROUNDS=$rounds"
RANDOM=$seed

writer=$top_builddir/tests/writer
size=$((64 << 20))
capacity=$((128 << 20))
hot=$((256 << 10))              # at the disk's end: written again and again
area=$((size - hot))            # the writer's
slow=900000                     # bytes a second: a copy takes a second or two

uri_of () { nbd_uri "$tmp/$1" d; }

# make_hot SITE NUMBER: more than the journal holds, into a small place, so
# that it has to forget what is older.
make_hot ()
{
  nbd_python "$(uri_of "$1")" "
import os
tag = b'%8d' % $2
data = b''.join(tag + os.urandom(4088) for i in range($hot >> 12))
for i in range(3 * $capacity // 2 // $hot):
    h.pwrite(data, $area)
h.flush()" || bail_out "cannot write at $1"
}

# hot_number SITE: which one is there; all of it must be of one.
hot_number ()
{
  nbd_python "$(uri_of "$1")" "
data = bytes(h.pread($hot, $area))
tags = set(data[i:i + 8] for i in range(0, len(data), 4096))
print(int(tags.pop() if len(tags) == 1 else b'-1'))"
}

# change_blocks SITE COUNT: so many blocks, half of each compresses.
change_blocks ()
{
  nbd_python "$(uri_of "$1")" "
import random
r = random.Random($seed)
for b in r.sample(range($area >> 12), $2):
    h.pwrite(r.randbytes(2048) + bytes(2048), b << 12)
h.flush()" || bail_out "cannot write at $1"
}

flushes () { wc -l <"$tmp/acknowledged"; }
has_flushed () { [ "$(flushes)" -ge "$1" ]; }

# The guest goes on after the last write that is there.
writer_start ()
{
  start writer "$writer" run "$(uri_of "$1")" 0 $area "$seed" 200 \
    "$tmp/acknowledged"
  writer_pid=$started_pid
}

writer_end () { kill_pid "$writer_pid"; }

sent_bytes () { of "$1" "s['link']['sent_bytes']"; }

is_copying ()
{
  of_is "$1" "s['link']['state'] in ('delta', 'stream')"
}

for site in a b; do
  mkdir "$tmp/$site"
  start_site $site
  ask $site disk.create "\"size\":$size,\"capacity\":$capacity"
done
pair
link a b
p=a s=b

# ---- what a copy costs ------------------------------------------------------

# The first copy may have to begin again while the journal forgets so fast.
change_blocks a 16
wait_synced a || bail_out 'no initial copy'
make_hot a 1
wait_synced a || bail_out 'the hot place is not copied'
before=$(sent_bytes a)
kill_site b
blocks=$((size / 100 / 4096))
change_blocks a $blocks
make_hot a 2
start_site b
ok 'what changed in an outage is copied' wait_synced a
is 'from the disk' "$(of a "s['link']['rule']")" peer-behind-cleaned
ok 'both disks are equal' same_content
shipped=$(($(sent_bytes a) - before))
changed=$((blocks * 2060 + hot))
ok "$shipped bytes for $changed that changed (compressed)" \
  test "$shipped" -le $((changed * 13 / 10))
nbd_python "$(uri_of a)" "h.zero($area, 0); h.flush()"
: >"$tmp/acknowledged"

# ---- failover in the middle -------------------------------------------------

old=0
fence=1
for ((i = 1; i <= rounds; i++)); do
  wait_synced $p || { fail "round $i: the link does not get level"; break; }
  # If a part of the last write was there it is whole again, and flushed.
  n=$(flushes)
  writer_start $p
  wait_for 30 has_flushed $((n + 1)) || bail_out 'the writer does not write'
  writer_end
  m_before=$(tail -n 1 "$tmp/acknowledged" | cut -d' ' -f1)
  wait_synced $p
  same_content || { fail "round $i: the two are not equal"; break; }
  hot_before=$(hot_number $p)
  kill_site $s
  if [ $((RANDOM % 4)) != 0 ]; then make_hot $p $((i + 2)); fi
  hot_after=$(hot_number $p)
  n=$(flushes)
  writer_start $p
  wait_for 30 has_flushed $((n + 60)) || bail_out "the writer does not write: $(tail -n 3 "$tmp/writer.log")"
  ask $p link.limit "\"limit_bps\":$slow"
  start_site $s
  wait_for 30 is_copying $p || { fail "round $i: nothing is copied"; break; }
  ms=$((RANDOM % 1800))
  sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
  rule=$(of $p "s['link']['rule']")
  if [ $((RANDOM % 2)) = 0 ]; then kill_site $p; fi
  promote $s $((++fence))
  point_ns=$(field "s['committed']['time_ns']")
  writer_end
  if found=$("$writer" verify "$(uri_of $s)" 0 $area "$seed" \
       "$tmp/acknowledged" "$point_ns" 2>&1); then
    m=$(sed 's/.*after write \([0-9]*\)[; ].*/\1/' <<<"$found")
    is_exact=true
  else
    m=-1
    is_exact=false
  fi
  hot_found=$(hot_number $s)
  # What was written into the hot place was written before the writer went on.
  if [ "$hot_found" = "$hot_after" ] && [ "$m" -ge "$m_before" ]; then :
  elif [ "$hot_found" = "$hot_before" ] && [ "$m" = "$m_before" ]; then :
  else is_exact=false; fi
  [ "$m" != "$m_before" ] || old=$((old + 1))
  ok "round $i: $ms ms into it ($rule) the disk is as after write $m ($m_before)" \
    $is_exact
  if ! $is_exact; then
    diag "$found; hot: $hot_found, of $hot_before and $hot_after"
    is_gone "$(pid_of $p)" && start_site $p
    diag "at the old primary: $("$writer" verify "$(uri_of $p)" 0 $area \
      "$seed" "$tmp/acknowledged" 2>&1)"
    break
  fi

  # The guest goes on there; what it wrote after that never happened.
  writer_keep "$found"
  is_gone "$(pid_of $p)" && start_site $p
  demote $p $fence $s '"salvage":false'
  link $s $p
  ask $s link.limit '"limit_bps":0'
  other=$p p=$s s=$other
done
wait_synced $p
ok 'both disks are equal' same_content
diag "$old of $rounds times the image of before the outage"
diag "nbdkit aborted $(($(aborts "$tmp/nbdkit-a.log") + $(aborts "$tmp/nbdkit-b.log"))) times by itself"
is 'one full copy in all this' \
  "$(cat "$tmp"/nbdkit-[ab].log | grep -c 'action=[a-z-]*initial')" 1
[ "$tap_failed" = 0 ] ||
  diag "$(grep -h -B 2 -A 2 'action=[a-z-]*initial' "$tmp"/nbdkit-[ab].log)"
done_testing
