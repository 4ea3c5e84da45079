#!/usr/bin/env bash
# Either plugin is killed at random moments of a reverse or a cancel: the same
# requests again finish it; both disks are the winner's, nothing was copied
# whole, and what was given up is in a file.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/reconcile-functions.sh"

rounds=${PAIRDISK_LONG:+60}
RANDOM=${PAIRDISK_SEED:=$$}
diag "PAIRDISK_SEED=$PAIRDISK_SEED"

sites 128M
pair
write a 1 300
link a b
wait_synced a || bail_out 'no initial copy'
primary=a
secondary=b
fence=1

# try SITE OP [FIELDS]: as ask, but the site may be gone.
try ()
{
  answer=$(control "$tmp/$1" "{\"op\":\"$2\",\"disk\":\"d\"${3:+,$3}}" 2>&1)
  [[ $answer == '{"ok": true'* || $answer == '{"ok":true'* ]]
}

# One pass of what an agent does until both sides are as they shall be.
settle ()
{
  local peer
  try $winner pair.set "\"role\":\"primary\",\"pair\":\"$pair_uuid\",\"fence\":$fence,\"secret\":\"$pair_secret\"" &&
    peer=$(history $winner 2>/dev/null) && [[ $peer == *lineage* ]] &&
    try $loser demote "\"fence\":$fence,\"peer\":$peer" &&
    try $loser replica.accept &&
    try $winner link.start "\"uri\":\"nbd+unix:///?socket=$(socket_of $loser)\"" &&
    is_synced $winner 2>/dev/null
}

killer ()
{
  local i ms victim
  for i in 1 2; do
    ms=$((RANDOM % 250))
    sleep 0.$(printf %03d $ms)
    victim=$([ $((RANDOM % 2)) = 0 ] && echo a || echo b)
    end_site "$victim" KILL
    start_site $victim
  done
}

for ((i = 1; i <= ${rounds:-10}; i++)); do
  ask $primary link.stop
  write $primary $RANDOM 60
  fence=$((fence + 1))
  promote $secondary $fence
  write $secondary $RANDOM 60
  if [ $((RANDOM % 2)) = 0 ]; then
    what=reverse winner=$secondary loser=$primary
  else
    what=cancel winner=$primary loser=$secondary fence=$((fence + 1))
  fi
  wanted=$(digest $winner)
  settle >/dev/null 2>&1
  killer
  wait_for 30 settle >/dev/null 2>&1 || { fail "round $i: $what"; break; }
  got="$(digest a) $(digest b)"
  [ "$got" = "$wanted $wanted" ] ||
    { fail "round $i: $what: $got, wanted $wanted"; break; }
  primary=$winner
  secondary=$loser
done
[ $i -gt "${rounds:-10}" ] && pass "$((i - 1)) rounds, both disks the winner's"
ok 'what was given up was saved each time' test \
  "$(ls "$tmp"/[ab]/*.salvage | wc -l)" -ge "$((i - 1))"
is 'one full copy' "$(cat "$tmp"/nbdkit-?.log | grep -c 'initial copy')" 1
for file in "$tmp"/[ab]/*.salvage; do
  "$pairctl" volume dump "$file" >/dev/null || fail "$file cannot be read"
done
is 'no unfinished file is left' "$(ls "$tmp"/[ab]/*.part 2>/dev/null)" ''
done_testing
