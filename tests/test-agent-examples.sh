# The first example of paird(8), as it stands there, with ports that are free.

source "${0%/*}/functions.sh"
source "${0%/*}/agent-functions.sh"
requires jq

sed -n '/^=head2 Two sites on one machine/,/^=head2/p' \
  "$top_srcdir/agent/paird.pod" | sed -n 's/^ //p' >"$tmp/example"
for port in 7781 7791 10810 10811; do
  sed -i "s/:$port\\>/:@$port@/g" "$tmp/example"
done
for port in 7781 7791 10811; do
  sed -i "s/@$port@/$(free_port)/g" "$tmp/example"
done
# The port of site a's data is the default: not for a test.
sed -i "s/--region=site-a/& --data-address=127.0.0.1:$(free_port)/" \
  "$tmp/example"
ok 'the example is there' grep -q 'site join' "$tmp/example"

pairctl ()
{
  # What paird & does is not waited for in the example.
  case "$*" in
    *"site invite"*|*"site join"*|*"disk create"*)
      wait_for 30 plugin_alive a && wait_for 30 plugin_alive b ;;
    *"pair start"*) wait_for 30 is_created ;;
  esac
  "$pairctl" "$@"
}
is_created ()
{
  shows created "$pairctl" --site=a pair list
}
paird ()
{
  local site=${1#--config=}
  exec "$paird" "$@" --plugin="$plugin" >>"$tmp/paird-${site%%/*}.log" 2>&1
}
cd "$tmp" || exit 1
set -e
# Not in a subshell: the agents are children of this one.
source "$tmp/example" >"$tmp/output" 2>&1
set +e
for pid in $(jobs -p); do
  to_be_ended "$pid"
done
site_nbdkit_kill () { site_kill_nbdkit a; site_kill_nbdkit b; }
on_exit site_nbdkit_kill
ok 'it ends in a pair that replicates' "$pairctl" --site=a pair wait db \
  --for normal --timeout 120
diag "$(cat "$tmp/output")"
cd /

done_testing
