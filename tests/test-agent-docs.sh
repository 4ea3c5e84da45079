# The man page, --help and the sample file come of one table: each names every
# key, with the same default; the configuration file takes them all.

source "${0%/*}/functions.sh"
requires podchecker

pod=$top_builddir/agent/paird-full.pod
ok 'the POD is well-formed' podchecker -warnings "$pod"
in_help=$("$paird" --help | grep -oE '^  --[a-z-]+=?' | tr -d ' ' |
  sort -u)
ok 'there are some' grep -q -- '--region=' <<<"$in_help"
in_pod=$(sed -n '/^=head1 PARAMETERS/,/^=head1 NOTES/p' "$pod" |
  sed -n 's/^=item B<\(--[a-z-]*=\{0,1\}\)>.*/\1/p' | sort -u)
# --help and --version share a line of the help.
in_help=$(printf '%s\n--version\n' "$in_help" | sort -u)
is '--help and the man page name the same keys' "$in_help" "$in_pod"

# Every action is told of, in the manual and in the design.
for action in $(sed -n 's/^  { "\([A-Z][A-Za-z]*\)", action_.*/\1/p' \
    "$top_srcdir/agent/actions.c"); do
  ok "$action is in the manual" grep -q "C<$action>" "$pod"
  case $action in
    *Pair*|*[Tt]ag*|ListReplica*|DescribeRegions|ChangeResourceGroup) ;;
    *) ok "$action is in agent-api.md" grep -q "\`$action\`" \
         "$top_srcdir/docs/design/agent-api.md" ;;
  esac
done

defaults ()
{
  "$paird" --help | awk '/^  --/ { key = $1; sub(/=.*/, "", key) }
    match($0, /\(default: [^)]*\)/) {
      print key, substr($0, RSTART + 10, RLENGTH - 11) }'
}
while read -r key value; do
  case $value in REGION-a) continue ;; esac
  ok "default of $key" grep -q "Default: C<$value>" \
    <(sed -n "/^=item B<$key=/,/^=item/p" "$pod")
done < <(defaults)

# The sample names every key and is a file that paird takes, with the
# examples as without.  --dir is the first error then.
sample=$top_builddir/agent/paird.conf
is 'the sample has every key' \
  "$(sed -n 's/^#\{0,1\}\([a-z-]*\) = .*/--\1=/p' "$sample" | sort)" \
  "$(grep -v -e '--config=' -e '--print-settings=' -e '--help' \
       -e '--version' <<<"$in_help" | sort)"
refused 'the sample is taken as it is' "unknown key 'x'" \
  "$paird" --config="$sample" --x=1
sed 's/^#\([a-z-]* = \)/\1/' "$sample" >"$tmp/full.conf"
refused 'with all its examples, too' "unknown key 'x'" \
  "$paird" --config="$tmp/full.conf" --x=1
ok 'the sample is what --print-settings says' \
  diff "$sample" <("$paird" --print-settings=conf)
ok 'no line of it is too long' \
  test "$(awk 'length > 78' "$sample" | wc -l)" = 0

# Every key is also a key of the file.
for key in $("$paird" --help | sed -n 's/^  --\([a-z-]*\)=.*/\1/p'); do
  case $key in
    config|print-settings) continue ;;
    peer) value=x=localhost:1 ;;
    run-nbdkit|stop-plugin-on-exit) value=no ;;
    pairs-max|verb-timeout) value=7 ;;
    *) value=x ;;
  esac
  # An unknown key is the error of the second line only.
  printf '%s = %s # a comment\nnosuchkey = 1\n' "$key" "$value" \
    >"$tmp/conf"
  refused "$key in the file" "line 2: unknown key 'nosuchkey'" \
    "$paird" --config="$tmp/conf"
done
refused 'a line that is none' "line 1: 'hello' is not" \
  sh -c "echo hello >'$tmp/conf'; '$paird' --config='$tmp/conf'"
refused 'an unknown option' "unknown key 'colour'" "$paird" --colour=red
refused 'no region' 'region is not given' "$paird" --dir="$tmp/x"
refused 'a peer without an address' 'REGION=HOST:PORT' \
  "$paird" --region=r --dir="$tmp/x" --peer=b
ok '--version' "$paird" --version

done_testing
