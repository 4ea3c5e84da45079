#!/usr/bin/env bash
# The man page and the command line say the same, both ways: verbs, options,
# exit codes, states.  The synopsis of every verb is that of its help.

source "${0%/*}/cli-functions.sh"
pod=$top_srcdir/cli/pairctl.pod

commands=$("$pairctl" --commands)
# A noun without verbs is a verb itself.
verbs=$(awk '$1 != "global" { print $1, $2 }' <<<"$commands" | sed 's/ -$//' |
        sort)
is "every verb has its paragraph, and no other" \
   "$(sed -n 's/^=item B<\([a-z]\+\( [a-z]\+\)\?\)>.*/\1/p' "$pod" | sort)" \
   "$verbs"
is "the global options have theirs, and no other" \
   "$(sed -n 's/^=item B<\(--[a-z-]*\)>.*/\1/p' "$pod" | sort)" \
   "$(sed -n 's/^global - - //p' <<<"$commands" | tr -d = | tr ' ' '\n' |
      sort)"

synopsis=$(sed -n '/^=head1 SYNOPSIS/,/^=head1 DESC/p' "$pod" |
           sed -e ':a;N;$!ba;s/\n  \+/ /g' | grep '^ pairctl' | sed 's/^ //' |
           grep -v -e ' --help$' -e ' --commands$' -e ' --version$')
helps=$(while read -r noun verb; do
    "$pairctl" "$noun" ${verb:+"$verb"} --help |
      sed -n -e '/^$/q' -e p | tr -s ' \n' ' ' | sed 's/^usage: \(.*\) $/\1\n/'
done <<<"$verbs")
is "the synopsis is that of the help" "$(sort <<<"$synopsis")" \
   "$(sort <<<"$helps")"

is "a synopsis fits a screen" \
   "$(while read -r noun verb; do
        "$pairctl" "$noun" ${verb:+"$verb"} --help | sed '/^$/q' | grep '.\{80\}'
      done <<<"$verbs")" ''

# Each verb's own paragraph speaks of each of its options.
while read -r noun verb arg options; do
  [ "$noun" = global ] && continue
  [ "$verb" = - ] && verb=
  verb=$noun${verb:+ $verb}
  paragraph=$(sed -n "/^=item B<$verb>/,/^=\\(item\\|back\\)/{
            /^=item B<$verb>/b
            p}" "$pod")
  for option in $options; do
    like "$verb: ${option%=} is explained" "$paragraph" \
             "*C<${option%=}>*"
  done
done <<<"$commands"

is "exit codes" \
   "$(sed -n '/^=head2 Exit codes/,/^=back/{
              /^=item B</{s/^=item B<\([0-9]\)>.*/  \1  /;N;N;s/\n//g;p}}' \
          "$pod")" \
   "$("$pairctl" --help | sed -n '/^exit codes:/,/^$/p' | grep '^  ')"

"$pairctl" pair wait x --for none 2>"$tmp/err"
is "states" "$(sed -n '/^=item B<pair wait>/,/^=back/p' "$pod" | tr -d '\n' |
               sed 's/.*C<--for>: //;s/\. *A pair.*//' | tr -d 'C<>,. ')" \
   "$(sed -n 's/.*there are: //p' "$tmp/err" | tr -d ' ')"

# An option means the same everywhere: with a value or without.
is "an option takes a value everywhere or nowhere" \
   "$(cut -d' ' -f4- <<<"$commands" | tr ' ' '\n' | grep . | sort -u |
      tr -d = | uniq -d)" ""

if command -v podchecker >/dev/null; then
  podchecker -warnings -warnings "$pod" >"$tmp/podchecker" 2>&1
  is "the page is well-formed" "$?:$(grep -c WARNING "$tmp/podchecker")" \
       "0:0"
fi

done_testing
