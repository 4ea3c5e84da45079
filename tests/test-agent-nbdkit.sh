# paird and its nbdkit: started, started again, adopted, left alone, ended.

source "${0%/*}/functions.sh"
source "${0%/*}/agent-functions.sh"
requires nbdkit nbdcopy

alive_again ()
{
  local now
  now=$(nbdkit_of a)
  [ -n "$now" ] && [ "$now" != "$1" ] && plugin_alive a
}

sites_up
disks_make
guest_write a "$disk_a"
before=$(digest a "$disk_a")
pair_make
pair_start >/dev/null
wait_status a "$pair" normal

pid=$(nbdkit_of a)
site_kill_nbdkit a
ok 'nbdkit killed: another is started' wait_for 30 alive_again "$pid"
is 'with the same content' "$(digest a "$disk_a")" "$before"
ok 'an event tells' event_told a plugin-died
guest_write a "$disk_a"
ok 'the pair goes on by itself' wait_for 30 same_content
ok 'normal' wait_status a "$pair" normal
site_kill_nbdkit b
guest_write a "$disk_a"
ok 'the same at the destination' wait_for 30 same_content

pid=$(nbdkit_of a)
site_kill_agent a
ok 'paird killed: nbdkit lives' kill -0 "$pid"
guest_write a "$disk_a"
ok 'and data goes on flowing' wait_for 20 same_content
site_up a
is 'another paird adopts it' "$(nbdkit_of a)" "$pid"
is 'knows its pair' "$(pair_value a "$pair" PairName)" ''
ok 'normal' wait_status a "$pair" normal
ok 'and watches it' sh -c "kill -9 $pid"
ok 'so that it is started again' wait_for 30 alive_again "$pid"

refused 'a second paird of one directory' 'is in use' \
  "$paird" --region=site-a --dir="$tmp/a" --listen=none --data-listen=none

pid=$(nbdkit_of a)
kill_pid "${site_pid[a]}" TERM
ok 'SIGTERM ends nbdkit, too' wait_for 30 is_gone "$pid"
ok 'and its files are gone' test ! -e "$tmp/a/nbdkit.pid"
site_up a --stop-plugin-on-exit=no
pid=$(nbdkit_of a)
kill_pid "${site_pid[a]}" TERM
ok 'unless told otherwise' kill -0 "$pid"
site_up a
is 'it is adopted' "$(nbdkit_of a)" "$pid"

# A program that ends at once is tried again, not in a loop without a pause.
kill_pid "${site_pid[a]}" TERM
rm -f "$tmp/paird-a.log"
site_start a --nbdkit=false
died () { [ "$(grep -c plugin-died "$tmp/paird-a.log")" -ge 3 ]; }
ok 'a broken nbdkit is tried again' wait_for 20 died
is 'and the API says so' "$(value a DescribeSite PluginAlive)" false
refused 'calls that need it say so' '503 .*ServiceUnavailable' \
  api a CreateDisk DiskName=db02 Size=1048576
ok 'with a pause' test "$(grep -c plugin-died "$tmp/paird-a.log")" -lt 30

done_testing
