# Whatever of the two sites is killed at a random moment of the initial copy
# or of streaming: the pair gets to normal by itself, both disks are equal at
# the commit point, nothing that was flushed is lost, nothing is copied twice.
#
#   PAIRDISK_VICTIMS   some of: primary secondary agent-a agent-b connection
#                      several (three of these in a row, under a heavy load)
#   PAIRDISK_ROUNDS    of each, odd ones in the initial copy (2; 20 for long)
#   PAIRDISK_SEED      as a run before printed it

source "${0%/*}/pair-functions.sh"

rounds=${PAIRDISK_ROUNDS:-${PAIRDISK_LONG:+20}}
rounds=${rounds:-2}
all=(primary secondary agent-a agent-b connection)
victims=${PAIRDISK_VICTIMS:-${all[*]} several}
seed=${PAIRDISK_SEED:-$RANDOM}
diag "PAIRDISK_SEED=$seed PAIRDISK_ROUNDS=$rounds PAIRDISK_VICTIMS='$victims'"
RANDOM=$seed

fill_mb=48
# Slow enough that a copy takes a while: 1.5 s.
wire_rate=$((32 << 20))
# What a cut may cost: frames in flight and what is copied after the last
# cursor (8 of 2 MiB, 4 MiB), and what the process at work had in its hands.
cut_cost=$((26 << 20))

strike ()
{
  local i
  case $1 in
    several)
      for i in 1 2 3; do
        strike "${all[RANDOM % 5]}"
        random_ms 500
      done
      ;;
    primary) nbdkit_kill a ;;
    secondary) nbdkit_kill b ;;
    connection) proxy cut >/dev/null ;;
    agent-*)
      # As its service manager would.
      agent_kill "${1#agent-}"
      agent_start "${1#agent-}"
      ;;
  esac
}

appended_bytes () { disk_field a $disk_a .Detail.appended.bytes; }

settles ()
{
  wait_status a normal && wait_status b normal
}

# begin: what was sent and written before the round.
begin ()
{
  sent=$(proxy bytes)
  written=$(appended_bytes)
}

# cost: sent on the wire since begin, beside what was written meanwhile.
cost ()
{
  sent=$(($(proxy bytes) - sent))
  written=$(($(appended_bytes) - written))
  cost=$((sent - written))
  diag "$((sent >> 20)) MiB sent, $((written >> 20)) MiB written, rule $(
    disk_field a $disk_a .Detail.link.rule)"
}

# round NAME VICTIM COST: strike now, and look.
round ()
{
  [ "$2" = several ] && load_start $RANDOM
  strike "$2"
  ok "$1: normal by itself" settles
  ok "$1: the writer goes on" wait_for 60 has_flushed $(($(flushes) + 20))
  ok "$1: nothing flushed was lost" writer_stop
  if [ "$2" = several ]; then load_stop; fi
  ok "$1: both disks are equal" same_content
  cost
  ok "$1: nothing was copied twice" test "$cost" -le "$3"
  writer_start "$writer_seed"
  [ "$tap_failed" -eq 0 ] || done_testing
}

initial_round ()
{
  local strikes=1
  [ "$2" = several ] && strikes=3
  disk_b=copy-$1
  on b disk create "$disk_b" --size 96M >/dev/null || bail_out "no disk"
  pair_make >/dev/null || bail_out "no pair"
  begin
  on a pair start db01 >/dev/null || bail_out "not started"
  random_ms 2000
  round "$2 in the initial copy, round $1" "$2" \
    $((((fill_mb + 8) << 20) + strikes * cut_cost))
}

stream_round ()
{
  local strikes=1
  [ "$2" = several ] && strikes=3
  begin
  random_ms 1000
  round "$2 in streaming, round $1" "$2" $((strikes * cut_cost))
}

pair_unmake ()
{
  on a pair stop db01 --wait --timeout 120 >/dev/null &&
    on a pair delete db01 --wait --timeout 120 >/dev/null &&
    on b disk delete "$disk_b" --yes >/dev/null
}

sites_up
proxy rate $wire_rate >/dev/null
on a disk create $disk_a --size 96M --capacity 192M >/dev/null ||
  bail_out "no disk"
uri_a=$(disk_field a $disk_a .NbdUri)
fill $fill_mb "$seed"
writer_start "$seed"
n=0
for victim in $victims; do
  for ((i = 1; i <= rounds; i += 2)); do
    initial_round $((++n)) "$victim"
    [ "$i" -eq "$rounds" ] || stream_round $((++n)) "$victim"
    ok "round $n: stop and delete" pair_unmake
  done
done
ok 'nothing flushed was lost' writer_stop
is 'no read failed its checksum' \
  "$(disk_field a $disk_a '.Detail.errors | "\(.checksum) \(.read)"')" '0 0'
ok 'nothing died by itself' nobody_crashed
done_testing
