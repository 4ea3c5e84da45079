# 'event watch' outlives its agent: it says that it waits, goes on when the
# agent is there again, and misses and repeats nothing.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"
requires jq

on () { "$pairctl" --site "$tmp/a" "$@"; }
said () { grep -q "$1" "$tmp/watch.err"; }
told () { grep -q "$1" "$tmp/watch.out"; }

sites_prepare
site_up a
start watch bash -c "exec '$pairctl' --site '$tmp/a' event watch --json \
  --after 0 --until disk-deleted --timeout 300 \
  >'$tmp/watch.out' 2>'$tmp/watch.err'"
watch=$started_pid
on disk create one --size 1M >/dev/null
ok 'it tells what happens' wait_for 10 told disk-created

site_kill_agent a
ok 'the agent dies: it says that it waits' wait_for 10 said 'to go on after'
site_start a
ok 'it is back: it says so' wait_for 20 said 'answers again'
wait_for 20 plugin_alive a
on disk create two --size 1M >/dev/null
wait_for 20 on disk delete two --yes
wait "$watch"
is 'it ends as it was told to' $? 0
is 'each was said once' "$(grep -c . "$tmp/watch.err")" 2
jq -r .EventId <"$tmp/watch.out" >"$tmp/seen"
on event list --limit 500 --json | jq -r '.Events[].EventId' >"$tmp/all"
is 'no event was missed or told twice' "$(cat "$tmp/seen")" \
  "$(head -n "$(wc -l <"$tmp/seen")" "$tmp/all")"
refused 'one that was never there is an error at once' 'cannot reach' \
  "$pairctl" --site "$tmp/none" event watch
done_testing
