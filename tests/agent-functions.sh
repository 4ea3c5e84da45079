# Sourced by test-agent-*.sh after functions.sh: sites, calls, pairs.
#
#   sites_prepare             # ports and secret of two sites, a and b
#   site_start a [OPTION...]  # paird of site a: region site-a, zone site-a-1
#   api a CreateDisk DiskName=db01 Size=1048576
#   value a DescribeDisks Disks.0.Status
#   wait_status a ID normal
#
# FAKE=1: nbdkit is agent-fake-nbdkit.py, which needs no volumes and can be
# told to misbehave.

requires python3

: "${FAKE:=}"
disk_size=$((16 << 20))
declare -A site_pid api_port data_port

sites_prepare ()
{
  local site
  # Processes of nbdkit are children of paird, not ours: ended at exit, too.
  on_exit sites_kill
  (umask 077; head -c 32 /dev/urandom | base64 >"$tmp/secret")
  for site in a b; do
    api_port[$site]=$(free_port)
    data_port[$site]=$(free_port)
  done
}

other_site ()
{
  if [ "$1" = a ]; then echo b; else echo a; fi
}

# site_start SITE [OPTION...]: returns when it answers.
site_start ()
{
  local site=$1 other nbdkit=nbdkit
  other=$(other_site "$site")
  shift
  [ -n "$FAKE" ] && nbdkit=$top_srcdir/tests/agent-fake-nbdkit.py
  start "paird-$site" "$paird" --region="site-$site" --zone="site-$site-1" \
    --dir="$tmp/$site" --listen="127.0.0.1:${api_port[$site]}" \
    --data-listen="127.0.0.1:${data_port[$site]}" \
    --peer="site-$other=127.0.0.1:${api_port[$other]}" \
    --site-secret-file="$tmp/secret" --nbdkit="$nbdkit" \
    --plugin="$plugin" "$@"
  site_pid[$site]=$started_pid
  wait_for 30 site_answers "$site" || bail_out "paird $site does not answer:
$(tail -n 5 "$tmp/paird-$site.log")"
}

site_answers ()
{
  api "$1" DescribeSite >/dev/null
}

plugin_alive ()
{
  [ "$(value "$1" DescribeSite PluginAlive)" = true ]
}

# site_up SITE: start, and nbdkit answers.
site_up ()
{
  site_start "$@"
  wait_for 30 plugin_alive "$1" || bail_out "nbdkit of $1 does not answer"
}

sites_up ()
{
  sites_prepare
  site_up a
  site_up b
  wait_for 30 peers_see_each_other || bail_out "the sites do not meet"
}

peers_see_each_other ()
{
  [ "$(value a DescribeSite Peers.0.Reachable)" = true ] &&
    [ "$(value b DescribeSite Peers.0.Reachable)" = true ]
}

# While it lives: the file may name one that is gone.
nbdkit_of ()
{
  local pid began
  read -r pid began 2>/dev/null <"$tmp/$1/nbdkit.pid" || return 0
  [ "$(start_of "$pid")" != "$began" ] || echo "$pid"
}

site_kill_agent ()
{
  kill_pid "${site_pid[$1]}" KILL
}

site_kill_nbdkit ()
{
  local pid
  pid=$(nbdkit_of "$1")
  [ -n "$pid" ] && kill_pid "$pid" KILL
}

# All of the site, as when the machine is lost.
site_kill ()
{
  site_kill_agent "$1"
  site_kill_nbdkit "$1"
}

sites_kill ()
{
  local site
  for site in "${!site_pid[@]}"; do
    site_kill "$site"
  done
}

# ---- calls ------------------------------------------------------------------

call ()
{
  python3 "$top_srcdir/tests/agent-call.py" "$@"
}

# api SITE ACTION [NAME=VALUE...]
api ()
{
  local site=$1 action=$2
  shift 2
  call -a "$action" "$tmp/$site" "$@"
}

# key_make SITE FILE [ROLE]: a new access key in FILE, for 'call -k FILE'
key_make ()
{
  (umask 077; api "$1" CreateAccessKey Role="${3:-operator}" |
     sed 's/^200 //' >"$2")
  grep -q AccessKeySecret "$2" || bail_out "no access key: $(cat "$2")"
}

# value SITE ACTION MEMBER [NAME=VALUE...]
value ()
{
  local site=$1 action=$2 member=$3
  shift 3
  call -a "$action" -p "$member" "$tmp/$site" "$@" 2>/dev/null
}

pair_value ()
{
  value "$1" DescribeDiskReplicaPairs "ReplicaPairs.0.$3" PairIds="$2"
}

pair_is ()
{
  [ "$(pair_value "$1" "$2" Status)" = "$3" ]
}

# wait_status SITE ID STATUS
wait_status ()
{
  wait_for "${4:-30}" pair_is "$1" "$2" "$3" || {
    diag "pair $2 at $1 is '$(pair_value "$1" "$2" Status)', not '$3':
$(pair_value "$1" "$2" StatusMessage)"
    return 1
  }
}

pair_gone ()
{
  [ "$(value "$1" DescribeDiskReplicaPairs TotalCount PairIds="$2")" = 0 ]
}

# disks_make: $disk_a and $disk_b
disks_make ()
{
  disk_a=$(value a CreateDisk DiskId DiskName=db01 Size=$disk_size)
  disk_b=$(value b CreateDisk DiskId DiskName=db01 Size=$disk_size)
  [ -n "$disk_a" ] && [ -n "$disk_b" ] || bail_out "no disks"
}

# pair_create [NAME=VALUE...]: asks, prints the answer
pair_create ()
{
  api a CreateDiskReplicaPair SourceZoneId=site-a-1 DiskId="$disk_a" \
    DestinationRegionId=site-b DestinationZoneId=site-b-1 \
    DestinationDiskId="$disk_b" "$@"
}

# pair_make [NAME=VALUE...]: $pair, created
pair_make ()
{
  pair=$(pair_create "$@" | sed -n 's/.*"ReplicaPairId": "\([^"]*\)".*/\1/p')
  [ -n "$pair" ] || bail_out "no pair"
  wait_status a "$pair" created || bail_out "pair not created"
}

pair_start ()
{
  api a StartDiskReplicaPair ReplicaPairId="$pair" "$@"
}

# STATUS of the control protocol: disk_value SITE DISK MEMBER
disk_value ()
{
  value "$1" DescribeDisks "Disks.0.Detail.$3" DiskIds="$2"
}

disk_is ()
{
  [ "$(disk_value "$1" "$2" "$3")" = "$4" ]
}

# control SITE JSON: one request to the plugin
control ()
{
  python3 "$top_srcdir/tests/control.py" "$tmp/$1" "$2"
}

# guest_write SITE DISK [BYTES]: random data at the disk's start, flushed
guest_write ()
{
  if [ -n "$FAKE" ]; then
    control "$1" "{\"op\":\"fake.write\",\"disk\":\"$2\"}" >/dev/null
  else
    head -c "${3:-1048576}" /dev/urandom >"$tmp/guest-data"
    truncate -s $disk_size "$tmp/guest-data"
    nbdcopy --flush "$tmp/guest-data" \
      "nbd+unix:///$2?socket=$tmp/$1/nbd.sock"
  fi
}

digest ()
{
  control "$1" "{\"op\":\"disk.digest\",\"disk\":\"$2\"}" |
    sed -n 's/.*"digest": *"\([^"]*\)".*/\1/p'
}

same_content ()
{
  local one
  one=$(digest a "$disk_a")
  [ -n "$one" ] && [ "$one" = "$(digest b "$disk_b")" ]
}

event_told ()
{
  shows "\"Kind\": \"$2\"" api "$1" DescribeEvents MaxResults=500
}
