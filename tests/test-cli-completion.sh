#!/usr/bin/env bash
# Completion offers exactly the nouns, verbs and options of the table, and the
# names of disks and pairs.

source "${0%/*}/cli-functions.sh"
# shellcheck disable=SC1091
. "$top_srcdir/cli/pairctl.bash-completion"
compopt () { :; }             # only works while the shell completes

# complete_words WORDS...: what is offered for the last one, sorted.
complete_words ()
{
  COMP_WORDS=("$pairctl" "$@")
  COMP_CWORD=$#
  COMPREPLY=()
  _pairctl
  printf '%s\n' "${COMPREPLY[@]}" | sort -u | xargs
}

commands=$("$pairctl" --commands)
globals=$(sed -n 's/^global - - //p' <<<"$commands" | tr -d =)

is "nouns" "$(complete_words "")" \
   "$(cut -d' ' -f1 <<<"$commands" | grep -v global | sort -u | xargs)"
is "part of a noun" "$(complete_words "vo")" "volume"
for noun in $(complete_words ""); do
  is "verbs of $noun" "$(complete_words "$noun" "")" \
       "$(awk -v n="$noun" '$1 == n && $2 != "-" { print $2 }' \
            <<<"$commands" | sort -u | xargs)"
done
while read -r noun verb arg options; do
  [ "$noun" = global ] && continue
  [ "$verb" = - ] && verb=
  is "options of $noun $verb" "$(complete_words "$noun" ${verb:+"$verb"} --)" \
       "$(printf '%s\n' ${options//=/} $globals | sort | xargs)"
done <<<"$commands"

fake_agent
run disk create d1 --size 1M
run disk create e1 --size 1M
run pair create --disk d1 --peer-disk d1 --name x1
run pair create --disk d1 --peer-disk d1
is "disks" "$(complete_words disk show "")" "d1 e1"
is "part of a disk" "$(complete_words disk delete e)" "e1"
is "pairs, by id when they have no name" "$(complete_words pair start "")" \
   "pair-cn-000000000002 x1"
is "value of an option" "$(complete_words pair create --disk "")" "d1 e1"
is "a mode" "$(complete_words pair modify p --mode "")" "async sync"
is "value after an equals sign" "$(complete_words pair create --disk = "d")" d1
is "options do not count as words" \
   "$(complete_words --timeout 5 --json pair --no-progress sto)" "stop"
is "the site is taken from the line" \
   "$(PAIRDISK_SITE=/nowhere complete_words --site "$tmp/site" disk show "")" \
   "d1 e1"
is "other sites" "$(complete_words site remove "")" "cn-b"
is "no names without an agent" \
   "$(complete_words --site /nowhere disk show "")" ""

done_testing
