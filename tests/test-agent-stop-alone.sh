# Stop works from either site when the other cannot be reached, and the other
# one follows when it is back.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"

sites_up
disks_make
guest_write a "$disk_a"
pair_make
for site in a b; do
  other=$(other_site $site)
  pair_start >/dev/null
  wait_status a "$pair" normal
  site_kill_agent "$other"
  ok "$site: stop" api $site StopDiskReplicaPair ReplicaPairId="$pair"
  ok "$site: stopped" wait_status $site "$pair" stopped
  ok "$site: the message says what is missing" \
    grep -q "site-$other cannot be reached" \
    <<<"$(pair_value $site "$pair" StatusMessage)"
  site_up "$other"
  ok "$site: the other follows" wait_status "$other" "$pair" stopped
  ok "$site: link off" wait_for 20 disk_is a "$disk_a" link null
  ok "$site: nothing accepted" wait_for 20 disk_is b "$disk_b" \
    source.accept false
done

# The whole site is dead, plugin and all.
pair_start >/dev/null
wait_status a "$pair" normal
site_kill b
ok 'dead destination: stop' api a StopDiskReplicaPair ReplicaPairId="$pair"
ok 'dead destination: stopped' wait_status a "$pair" stopped
site_up b
ok 'dead destination: it follows' wait_status b "$pair" stopped

# Failover beats a stop it did not know of.
pair_start >/dev/null
wait_status a "$pair" normal
wait_status b "$pair" normal
site_kill_agent a
api b FailoverDiskReplicaPair ReplicaPairId="$pair" >/dev/null
ok 'failover while the source lives' wait_status b "$pair" failovered
site_kill_agent b
site_up a
ok 'stop at the source, which knows nothing' \
  api a StopDiskReplicaPair ReplicaPairId="$pair"
wait_status a "$pair" stopped
site_up b
ok 'the failover counts' wait_status a "$pair" failovered
is 'at its site, too' "$(pair_value b "$pair" Status)" failovered
ok 'the source is fenced' wait_for 20 disk_is a "$disk_a" fenced true

# A verb that cannot go on says what it waits for.
site_kill a
waits_for_a ()
{
  pair_value b "$pair" StatusMessage |
    grep -q 'waits for the site of region site-a, which cannot be reached'
}
ok 'a reprotect needs both sites' api b ReprotectDiskReplicaPair \
  ReplicaPairId="$pair"
ok 'what it waits for is said' wait_for 15 waits_for_a
ok 'on the screen, too' grep -q 'waits for the site of region site-a' \
  <<<"$("$pairctl" --site "$tmp/b" status)"

done_testing
