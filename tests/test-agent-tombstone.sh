# A deleted pair is forgotten at both sites, also when one of them was started
# anew after it had forgotten and before the other one knew.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"

# Pairs that SITE still tells the other one of.
remembered ()
{
  python3 -c 'import sqlite3, sys
print(sqlite3.connect ("file:%s/paird.db?mode=ro" % sys.argv[1], uri=True)
      .execute ("SELECT count(*) FROM pairs WHERE gone_ms = 0")
      .fetchone ()[0])' "$tmp/$1"
}
remembers () { [ "$(remembered "$1")" = "$2" ]; }

sites_up
disks_make
pair_make
# b is called by a, but cannot call it.
port=${api_port[a]}
site_kill_agent b
api_port[a]=$(free_port)
site_up b
api_port[a]=$port
api a DeleteDiskReplicaPair ReplicaPairId="$pair" >/dev/null
ok 'deleted' wait_for 20 pair_gone a "$pair"
ok 'a has forgotten' wait_for 20 remembers a 0
is 'b cannot know' "$(remembered b)" 1

site_kill_agent a
site_up a
site_kill_agent b
site_up b
ok 'b forgets, too' wait_for 20 remembers b 0

done_testing
