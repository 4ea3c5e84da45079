# Either agent, or a plugin, is killed at a random moment of a verb.  After
# it is back both sites agree, a call that was answered has its effect, and
# the plugins are as the records say.
#
# PAIRDISK_SEED=N repeats a run; make check-long makes more rounds.  FAKE= in
# the environment takes the real plugin, PAIRDISK_KEEP=DIR keeps what fails.

source "${0%/*}/functions.sh"
FAKE=${FAKE-1}
source "${0%/*}/agent-functions.sh"

: "${PAIRDISK_KEEP:=}"
seed=${PAIRDISK_SEED:-$(date +%s)}
rounds=20
[ -n "$PAIRDISK_LONG" ] && rounds=200
diag "PAIRDISK_SEED=$seed"
RANDOM=$((seed % 32768))

settled ()
{
  local a b
  a=$(pair_value a "$pair" Status) && b=$(pair_value b "$pair" Status) ||
    return 1
  [ "$a" = "$b" ] || return 1
  case $a in
    creating|stopping|failovering|deleting|initial_syncing|syncing|\
    manual_syncing) return 1 ;;
  esac
  settled_status=$a
}

link_is_off ()
{
  disk_is a "$disk_a" link null || disk_is a "$disk_a" link.state off
}

# plugins_match STATUS
plugins_match ()
{
  case $1 in
    created|stopped)
      disk_is a "$disk_a" role primary && link_is_off &&
        disk_is b "$disk_b" source.accept false ;;
    normal)
      disk_is a "$disk_a" link.state stream &&
        disk_is b "$disk_b" source.accept true && same_content ;;
    failovered)
      disk_is b "$disk_b" role primary && disk_is a "$disk_a" fenced true ;;
    null)
      disk_is a "$disk_a" role standalone &&
        disk_is b "$disk_b" role standalone ;;
    *) return 1 ;;
  esac
}

# What comes next, by the status; sets $verb, $verb_site and $goal.
choose ()
{
  verb_site=a
  case $1 in
    null) verb=Create goal=created ;;
    created) verb=Start goal=normal ;;
    stopped)
      if ((RANDOM % 2)); then verb=Start goal=normal
      else verb=Delete goal=null; fi ;;
    normal)
      if ((RANDOM % 3)); then
        verb=Stop goal=stopped
        ((RANDOM % 2)) && verb_site=b
      else verb=Failover goal=failovered verb_site=b; fi ;;
    failovered) verb=Delete goal=null ;;
  esac
}

victims=(a-agent b-agent a-nbdkit b-nbdkit)
kill_victim ()
{
  sleep "0.$(printf %03d $((RANDOM % 250)))"
  case $1 in
    *-agent) site_kill_agent "${1%-agent}" ;;
    *-nbdkit) site_kill_nbdkit "${1%-nbdkit}" ;;
  esac
}

sites_up
disks_make
guest_write a "$disk_a"
declare -A counts
status=null pair=none bad=0
for ((round = 1; round <= rounds; round++)); do
  choose "$status"
  victim=${victims[RANDOM % 4]}
  if [ $verb = Create ]; then
    pair_create >"$tmp/answer" 2>&1 &
  else
    api $verb_site ${verb}DiskReplicaPair ReplicaPairId="$pair" \
      >"$tmp/answer" 2>&1 &
  fi
  caller=$!
  kill_victim "$victim"
  wait $caller
  answered=no
  grep -q '^200' "$tmp/answer" && answered=yes
  case $victim in *-agent) site_up "${victim%-agent}" ;; esac
  # Guests go on writing where they may.
  [ "$status" = failovered ] || guest_write a "$disk_a" 2>/dev/null
  if [ $verb = Create ]; then
    new=$(value a DescribeDiskReplicaPairs ReplicaPairs.0.ReplicaPairId)
    [ "$new" != null ] && pair=$new
  fi
  if ! wait_for 45 settled; then
    bad=$((bad + 1))
    diag "round $round: $status $verb ($victim killed, answered $answered):
not settled: a $(pair_value a "$pair" Status), b $(pair_value b "$pair" Status)"
    break
  fi
  settled
  if [ $answered = yes ] && [ "$settled_status" != $goal ] ||
     [ "$settled_status" != $goal ] && [ "$settled_status" != "$status" ]; then
    bad=$((bad + 1))
    diag "round $round: $status $verb ($victim killed, answered $answered):
became $settled_status, not $goal"
  fi
  if ! wait_for 30 plugins_match "$settled_status"; then
    [ -n "$PAIRDISK_KEEP" ] && cp -r "$tmp" "$PAIRDISK_KEEP"
    bad=$((bad + 1))
    diag "round $round: $status $verb ($victim killed, answered $answered):
plugins do not match $settled_status:
$(disk_value a "$disk_a" role) $(disk_value a "$disk_a" link)
$(disk_value b "$disk_b" role) $(disk_value b "$disk_b" source)
$(disk_value a "$disk_a" failure) $(disk_value b "$disk_b" failure)"
    break
  fi
  counts["$verb answered=$answered $settled_status"]=$((
    ${counts["$verb answered=$answered $settled_status"]:-0} + 1))
  status=$settled_status
done
for i in "${!counts[@]}"; do diag "${counts[$i]} x $i"; done
is "$rounds rounds" $bad 0

done_testing
