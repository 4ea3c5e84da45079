#!/usr/bin/env bash
# nbdload --verify is what other tests trust: it must be content with a disk
# that does right, and name a block that is lost, stale, misplaced or garbled.

source "${0%/*}/functions.sh"

nbdload=$top_builddir/bench/nbdload
requires nbdkit
[ -x "$nbdload" ] || skip_all "bench/nbdload is not built"

uri=$(nbd_uri "$tmp/disk")
ledger=$tmp/ledger
truncate -s 16M "$tmp/image"

serve ()
{
  rm -f "$tmp/disk.sock"
  start nbdkit nbdkit -f -U "$tmp/disk.sock" file "$tmp/image"
  nbdkit_pid=$started_pid
  wait_for 30 test -S "$tmp/disk.sock" || bail_out "nbdkit did not start"
}

load ()
{
  "$nbdload" --ledger "$ledger" "$@" "$uri"
}

# restore BLOCK FROM-BLOCK FILE: put a block of FILE into the image.
restore ()
{
  dd if="$3" of="$tmp/image" bs=4k seek="$1" skip="$2" count=1 conv=notrunc
}

serve
ok 'an empty disk and an empty ledger agree' load -w check -b 64K -d 4
ok 'a mix with flushes on two connections is read back' \
   load -w randrw -d 16 -c 2 -f 20 -n 4000
ok 'the whole disk can be written' load -w write -b 64K -d 4 --once
cp "$tmp/image" "$tmp/old"
ok 'and again' load -w write -b 64K -d 4 --once --final-flush
ok 'a check finds nothing wrong' load -w check -b 64K -d 4

cp "$tmp/image" "$tmp/good"
refused 'nothing is lost unseen' 'block 7 is zero' \
        eval 'restore 7 0 /dev/zero; load -w check -b 64K'
restore 7 7 "$tmp/good" 2>/dev/null
refused 'a stale block is seen' 'block 9 older than' \
        eval 'restore 9 9 "$tmp/old"; load -w check -b 64K'
restore 9 9 "$tmp/good" 2>/dev/null
refused 'a misplaced block is seen' 'block 11 belongs to another' \
        eval 'restore 11 12 "$tmp/good"; load -w check -b 64K'
restore 11 11 "$tmp/good" 2>/dev/null
refused 'a flipped bit is seen' 'block 13 is torn or garbled' \
        eval 'printf X | dd of="$tmp/image" bs=1 seek=$((13*4096+2000)) \
              conv=notrunc; load -w check -b 64K'
restore 13 13 "$tmp/good" 2>/dev/null
ok 'all put right again, nothing is wrong' load -w check -b 64K

# Writes without a flush may be lost in a crash, but then must stay lost.
ok 'writes that are not flushed' load -w write -b 64K -d 4 --once
cp "$tmp/image" "$tmp/unflushed"
kill_pid "$nbdkit_pid" KILL
cp "$tmp/good" "$tmp/image"
serve
ok 'may be lost in a crash' load -w check -b 64K
refused 'but not come back later' 'block 3 was lost in a crash and is back' \
        eval 'restore 3 3 "$tmp/unflushed"; load -w check -b 64K'

# A server that dies is an error, not a wrong read, and ends the run.
"$nbdload" -w randrw -d 8 -t 60 --verify --log "$tmp/seconds" "$uri" \
           >"$tmp/out" 2>&1 &
nbdload_pid=$!
wait_for 30 grep -q '^1,' "$tmp/seconds"
kill_pid "$nbdkit_pid" KILL
wait "$nbdload_pid"
is 'a lost connection has its own exit code' "$?" 2
ok 'and is named in the result' grep -q '"first_error"' "$tmp/out"
done_testing
