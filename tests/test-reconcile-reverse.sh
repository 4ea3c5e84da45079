#!/usr/bin/env bash
# Failover, both sides written, and the direction is turned round: what the old
# primary gives up is named before, and saved; only what either side changed is
# shipped; both disks are the new primary's afterwards.  And back again.
source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
source "${0%/*}/reconcile-functions.sh"

sites 64M
pair
write a 1 600
link a b
wait_synced a || bail_out 'no initial copy'
ask a link.stop
write a 2 20                     # a tail that the other side never gets
promote b 2
write b 3 30
lost=$(digest a)

# ---- named before it happens ------------------------------------------------

ask a pair.compare "\"peer\":$(history b)"
is 'a split is called one' "$(field "s['relation']")" split
is 'what this side would lose, in writes' "$(field "s['self']['writes']")" 20
is 'in bytes' "$(field "s['self']['bytes']")" $((20 * 65536))
is 'exactly' "$(field "s['self']['exact']")" True
is 'and what the other side would' "$(field "s['peer_writes']")" 30
ask b pair.compare "\"peer\":$(history a)"
is 'the other side sees the same' \
  "$(field "s['relation'], s['self']['writes'], s['peer_writes']")" \
  "('split', 30, 20)"
ask a demote "\"fence\":2,\"dry_run\":true,\"peer\":$(history b)"
is 'a dry run names it' "$(field "s['self']['writes']")" 20
is 'and changes nothing' "$(of a "s['role']")" primary

# ---- refused ----------------------------------------------------------------

peer=$(history b)
ok 'a lower fence gives nothing up' answers '"code":"?.*fence-too-low' \
  "$tmp/a" '{"op":"demote","disk":"d","fence":0,"peer":'"$peer"'}'
ok 'nor does a peer without history' answers 'bad-request' "$tmp/a" \
  '{"op":"demote","disk":"d","fence":2,"peer":{}}'
ok 'nor another disk' answers 'no-common-point' "$tmp/a" \
  '{"op":"demote","disk":"d","fence":2,"peer":'"$(sed 's/"lineage": *"[^"]*"/"lineage":"'"$pair_uuid"'"/' <<<"$peer")"'}'
is 'still primary' "$(of a "s['role']")" primary

# ---- reverse ----------------------------------------------------------------

demote a 2 b
is 'the command names it, too' "$(field "s['self']['writes']")" 20
is 'the old primary is secondary' "$(of a "s['role']")" secondary
ok 'what it gives up is saved' \
  wait_for 30 of_is a "s['discard']['salvage']['state'] == 'done'"
file=$(of a "s['discard']['salvage']['file']")
is 'it shows what it did' "$(digest a)" "$lost"
wanted=$(digest b)
link b a
ok 'the difference is copied' wait_synced b
is 'by the rule' "$(of b "s['link']['rule']")" peer-wrote-commanded
ok 'both disks are equal' same_content
is 'and as the new primary was' "$(digest a)" "$wanted"
sent=$(of b "s['link']['sent_bytes']")
# 50 writes of 32 KiB that do not compress, and their zeros.
ok "not much more than the union was shipped: $sent" test "$sent" -lt 2200000
is 'nothing is given up any more' "$(of a "s['discard']['pending']")" False

ok 'a writer is not made secondary without naming what it gives up' answers \
  'wrong-role.*demote' "$tmp/b" "{\"op\":\"pair.set\",\"disk\":\"d\",\"role\":\"secondary\",\"pair\":\"$pair_uuid\",\"fence\":2,\"secret\":\"$pair_secret\"}"

# ---- the journal alone tells the same ---------------------------------------

end_site a
ok 'nothing is damaged' "$pairctl" volume check "$tmp/a/d"
ok 'the map is made anew from the journal' \
  "$pairctl" volume check "$tmp/a/d" --rebuild-map
start_site a
is 'what was given up does not come back' "$(digest a)" "$wanted"
wait_synced b || bail_out 'the link does not come back'

# ---- the salvage file -------------------------------------------------------

ok 'the file can be read' "$pairctl" volume dump "$file"
is 'it holds the blocks' \
  "$("$pairctl" volume dump "$file" | grep -c '^block ')" \
  "$("$pairctl" volume dump "$file" | sed -n 's/.* blocks=\([0-9]*\).*/\1/p')"
# ---- and back ---------------------------------------------------------------

write b 4 10
wait_synced b
promote a 3
write a 5 10
demote b 3 a
is 'nothing was lost this time' "$(field "s['self']['writes']")" 0
wanted=$(digest a)
link a b
ok 'failed back' wait_synced a
ok 'equal again' same_content
is 'with what was written here' "$(digest b)" "$wanted"
sent=$(of a "s['link']['sent_bytes']")
ok "the difference only: $sent" test "$sent" -lt 600000
done_testing
