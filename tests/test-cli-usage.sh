#!/usr/bin/env bash
# Bad usage is one specific line and where to read on, exit code 2, and
# nothing on standard output; help of every noun and verb is there.

source "${0%/*}/cli-functions.sh"

# bad WANTED-LINE HELP ARGS...
bad ()
{
  local line=$1 help=$2

  shift 2
  run "$@"
  is "pairctl $*: says why" "$err" "pairctl: $line
try 'pairctl ${help}--help'"
  is "pairctl $*: code" "$code:$out" "2:"
}

bad "what shall be done? Say a noun and a verb" ""
bad "there is no 'dsik'" "" dsik list
bad "'disk' has no verb 'lst'" "disk " disk lst
bad "what shall be done with 'disk'? Say a verb" "disk " disk
bad "NAME is missing" "disk create " disk create --size 1G
bad "DISK is missing" "disk show " disk show ""
bad "option '--size' is missing" "disk create " disk create x
bad "option '--size' needs a value: SIZE" "" disk create x --size
bad "unknown option '--sise'" "disk create " disk create x --sise 1G
bad "unknown option '-x'" "" -x
bad "option '--json' takes no value" "" disk list --json=yes
bad "'disk list' has no option '--size'" "disk list " disk list --size 1G
bad "option '--json' is given twice" "disk list " disk list --json --json
bad "unexpected argument 'x'" "disk list " disk list x
bad "unexpected argument 'y'" "disk " disk show x y
bad "'1X' is not a size: say for example 512M or 20G" "disk create " \
    disk create x --size 1X
bad "'soon' is not a time: say 30, 0.5s, 5m or 2h" "disk list " \
    disk list --timeout soon
bad "'0' is not a time: say 30, 0.5s, 5m or 2h" "disk list " \
    disk list --timeout 0
bad "'99' is not an open file descriptor" "disk list " \
    disk list --progress 99
bad "'--mode quick' is neither async nor sync" "pair modify " \
    pair modify p --mode quick
bad "'--on-peer-loss shout' is neither suspend nor degrade" "pair modify " \
    pair modify p --on-peer-loss shout
bad "'--connections 9' is not a number from 1 to 8" "pair create " \
    pair create --disk a --peer-disk b --connections 9
bad "'--dead-seconds 1s' is not a time of whole seconds from 2 to 600" \
    "pair modify " pair modify p --dead-seconds 1s
bad "'--proof 61m' is not a time of whole seconds from 2 to 3600" \
    "pair modify " pair modify p --proof 61m
bad "'--rpo 1.5s' is not a time of whole seconds" "pair create " \
    pair create --disk a --peer-disk b --rpo 1.5s
bad "'--limit -1' is not a number from 0 to 500" "event list " \
    event list --limit -1
bad "'--limit 0' would list nothing" "event list " event list --limit 0
bad "a dump has no JSON form" "volume dump " volume dump x --json
bad "deleting a disk needs --yes when nobody can be asked" "disk delete " \
    disk delete x
run pair wait x --for normal,happy
like "unknown state" "$code:$err" "2:pairctl: there is no state 'happy'; there\
 are: creating *try 'pairctl pair wait --help'"
run $'di\e[31msk'
like "what a terminal would act on is not printed" "$err" \
     "pairctl: there is no 'di?\[31msk'*"

# Help is made from the table, so it is enough that every line of it is there.
while read -r noun verb arg options; do
  [ "$noun" = global ] && continue
  [ "$verb" = - ] && verb=
  run "$noun" --help
  like "help of $noun has $verb" "$code:$err:$out" "0::*pairctl $noun${verb:+ $verb}*"
  run "$noun" ${verb:+"$verb"} --help
  missing=
  for option in $options; do
    [[ $out == *"--${option//[-=]/}"* || $out == *"${option%=}"* ]] ||
      missing+=" $option"
  done
  is "help of $noun $verb has its options" "$code:$err:$missing" "0::"
done < <("$pairctl" --commands)
run --help
like "help of everything has the exit codes" "$code:$out" "0:*exit codes:*6 *"
run --version
like "version" "$code:$out" "0:pairctl [0-9]*"

done_testing
