# Keys, certificates and secrets are replaced while a pair replicates; a kill
# at any time and a site that is away only delay it.

source "${0%/*}/functions.sh"
source "${0%/*}/agent-functions.sh"
source "${0%/*}/site-functions.sh"
requires nbdcopy

joined_sites_up
disks_make
pair_make PairName=db-01
pair_start >/dev/null
wait_status a "$pair" normal || bail_out "the pair does not run"
guest_write a "$disk_a"

link_secret () { sed -n 's/.*"secret": *"\([0-9a-f]*\)".*/\1/p' \
                   "$tmp/$1/disks/$2/link"; }
links_agree ()
{
  [ "$(link_secret a "$disk_a")" = "$(link_secret b "$disk_b")" ] &&
    [ "$(link_secret a "$disk_a")" != "$1" ]
}
level ()
{
  [ "$(disk_value a "$disk_a" link.state)" = stream ] &&
    [ "$(disk_value a "$disk_a" link.lag.writes)" = 0 ]
}
same () { wait_for 30 level && same_content; }

ok 'it replicates' same
old=$(fingerprint_of a) old_b=$(fingerprint_of b)
secret=$(secrets_of a b) link=$(link_secret a "$disk_a")
ok 'rotate' on a site rotate --wait --timeout 120
ok 'another certificate' test "$(fingerprint_of a)" != "$old"
ok 'another secret, on both sides' wait_for 20 one_secret "$secret"
ok 'another secret of the link' wait_for 20 links_agree "$link"
ok 'the sites see each other' wait_for 20 peers_see_each_other
guest_write a "$disk_a"
ok 'it still replicates' same

# Both sides at once, twice.
secret=$(secrets_of a b) link=$(link_secret a "$disk_a")
on a site rotate >/dev/null & pid=$!
on b site rotate >/dev/null
wait "$pid"
on a site rotate >/dev/null
not_waiting () { ! rotation_is a waiting && ! rotation_is b waiting; }
ok 'both at once' wait_for 30 not_waiting
ok 'one secret again' wait_for 30 one_secret "$secret"
ok 'one of the link, too' wait_for 20 links_agree "$link"
ok 'they see each other' wait_for 20 peers_see_each_other
guest_write a "$disk_a"
ok 'it replicates' same

# The other site is away: nothing changes until it is back; --force would.
site_kill_agent b
old=$(fingerprint_of a)
on a site rotate >/dev/null
refused 'it waits' 'waits for the site of region site-b' \
  on a site rotate --wait --timeout 3
is 'the old one is shown' "$(echo | timeout 10 curl -s --noproxy '*' -o \
  /dev/null -w '%{http_code}' --cacert "$tmp/b/peers/site-a.pem" \
  "https://127.0.0.1:${api_port[a]}/healthz")" 404
secret=$(secrets_of b a) link=$(link_secret a "$disk_a")
site_kill_agent a
joined_start a
is 'it waits after a restart, too' "$(rotation_of a)" waiting
joined_start b
ok 'they see each other' wait_for 30 peers_see_each_other
ok 'then it goes on' wait_for 30 not_waiting
ok 'one secret' wait_for 20 one_secret "$secret"
ok 'the link follows' wait_for 20 links_agree "$link"

# Kills at random moments of rotations.
echo "# seed ${SEED:=$RANDOM}"
RANDOM=$SEED
for ((i = 0; i < ${PAIRDISK_LONG:+20} + 3; i++)); do
  [ $((RANDOM % 2)) = 0 ] && s=a || s=b
  on $s site rotate >/dev/null
  [ $((RANDOM % 2)) = 0 ] && s=a || s=b
  # Some moment of what takes about two seconds: this is what is tested.
  sleep "$((RANDOM % 3)).$((RANDOM % 10))"
  site_kill_agent $s
  joined_start $s
done
ok 'after kills: they see each other' wait_for 30 peers_see_each_other
ok 'after kills: nothing waits' wait_for 30 not_waiting
ok 'after kills: one secret' wait_for 30 one_secret x
ok 'after kills: the link agrees' wait_for 20 links_agree x
guest_write a "$disk_a"
ok 'after kills: it replicates' same

# The data path shows the old one until nbdkit is started anew.
is 'the old certificate is still trusted' "$(rotation_of a)" old-kept
site_kill_nbdkit a
ok 'no longer after nbdkit was started anew' wait_for 60 rotation_is a none
ok 'no directory is left over' test -z "$(ls -d "$tmp"/a/tls.* 2>/dev/null)"
ok 'it replicates' same
ok 'no event tells a secret' test -z \
  "$(on a event list --limit 500 | grep -e "$(secrets_of a b)")"

done_testing
