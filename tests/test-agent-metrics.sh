# /metrics says how the pairs are, in the words of docs/metrics.md; /healthz
# whether the site works; neither is on the API's own addresses.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"
requires curl

get () { curl -s --noproxy '*' -m 10 "$@"; }
metrics () { get --unix-socket "$tmp/$1/api.sock" http://paird/metrics; }
# metric SITE NAME-AND-LABELS (a basic regular expression): its value
metric () { metrics "$1" | sed -n "s/^$2 //p"; }
metric_is () { [ "$(metric "$1" "$2")" = "$3" ]; }
health () { get -o "$tmp/health" -w '%{http_code}' "$@"; }

sites_prepare
port=$(free_port)
site_up a --metrics-listen="127.0.0.1:$port"
site_up b
wait_for 30 peers_see_each_other || bail_out "the sites do not meet"
disks_make
pair_make PairName=db-01
pair_start >/dev/null
wait_status a "$pair" normal || bail_out "the pair does not run"

metrics a >"$tmp/metrics"
documented=$(sed -n 's/^| `\(pairdisk_[a-z_]*\)` | \([a-z]*\) .*/\1 \2/p' \
               "$top_srcdir/docs/metrics.md" | sort)
is 'every name and type is documented, and no other' \
  "$(sed -n 's/^# TYPE //p' "$tmp/metrics" | sort)" "$documented"
is 'the meanings are the documented ones' \
  "$(sed -n 's/^# HELP [^ ]* //p' "$tmp/metrics" | sort)" \
  "$(sed -n 's/^| `pairdisk_.*| \(.*\) |$/\1/p' "$top_srcdir/docs/metrics.md" |
     sort)"
is 'the alerts use documented names only' \
  "$(grep -o 'pairdisk_[a-z_]*' "$top_srcdir/docs/pairdisk-alerts.yml" |
     sort -u | comm -23 - <(cut -d' ' -f1 <<<"$documented"))" ""
is 'a journal is nearly full where pairctl says so' \
  "$(sed -n 's/.*live_bytes .*room_bytes >= 0[.]//p' \
     "$top_srcdir/docs/pairdisk-alerts.yml")" \
  "$(sed -n 's/^#define FULL_PERCENT //p' "$top_srcdir/cli/status.c")"
ok 'each line is one' \
  test -z "$(grep -vE '^# (HELP|TYPE) |^pairdisk_[a-z_]+(\{[a-z_]+="([^"\\]|\\.)*"(,[a-z_]+="([^"\\]|\\.)*")*\})? -?[0-9.e+]+$' "$tmp/metrics")"
ok 'no line is there twice' \
  test -z "$(grep -v '^#' "$tmp/metrics" | sed 's/ [^ ]*$//' | sort | uniq -d)"
ok 'the name' grep -qF 'name="db-01"' "$tmp/metrics"
is 'nbdkit is up' "$(metric a pairdisk_nbdkit_up)" 1
is 'the peer is up' "$(metric a 'pairdisk_peer_up{peer="site-b"}')" 1
is 'the status' "$(metric a 'pairdisk_pair_status{.*status="normal"}')" 1
is 'active' "$(metric a 'pairdisk_pair_active{.*}')" 1
is 'not degraded' "$(metric a 'pairdisk_pair_degraded{.*}')" 0
is 'the RPO' "$(metric a 'pairdisk_pair_rpo_seconds{.*}')" 900
is 'the lag at the source' "$(metric a 'pairdisk_pair_lag_writes{.*}')" 0
is 'no lag at the destination' \
  "$(metric b 'pairdisk_pair_lag_writes{.*}')" ""
is 'size of the disk' \
  "$(metric a "pairdisk_disk_size_bytes{disk=\"$disk_a\"}")" $disk_size
is '... what is live on it' \
  "$(metric a "pairdisk_disk_live_bytes{disk=\"$disk_a\"}")" $((disk_size / 4))
is '... with how much it is full' \
  "$(metric a "pairdisk_disk_room_bytes{disk=\"$disk_a\"}")" $disk_size

# Prometheus' own eyes, where it is installed.
if command -v promtool >/dev/null; then
  ok 'promtool: the metrics' promtool check metrics <"$tmp/metrics"
  ok 'promtool: those without pairs' \
    promtool check metrics < <(metrics b)
  ok 'promtool: the alerts' \
    promtool check rules "$top_srcdir/docs/pairdisk-alerts.yml"
  # Each is silent while all is well and speaks when it is not.
  sed '/annotations:/,/summary:/d' "$top_srcdir/docs/pairdisk-alerts.yml" \
    >"$tmp/rules.yml"
  cp "$top_srcdir/tests/data/alerts-test.yml" "$tmp"
  ok 'promtool: when each alert is told' \
    promtool test rules "$tmp/alerts-test.yml"
  is 'each alert has its test' \
    "$(sed -n 's/.* alertname: //p' "$tmp/alerts-test.yml" | sort -u)" \
    "$(sed -n 's/.* alert: //p' "$tmp/rules.yml" | sort)"
else
  skip 'promtool: metrics and alerts' 'promtool is not installed'
fi

# What listens for monitoring is for that only; the API's address is not.
get "http://127.0.0.1:$port/metrics" >"$tmp/metrics.tcp"
ok 'the address for monitoring' grep -q '^pairdisk_nbdkit_up 1' \
  "$tmp/metrics.tcp"
is 'healthy' "$(health "http://127.0.0.1:$port/healthz")" 200
is 'no API there' "$(health "http://127.0.0.1:$port/?Action=DescribeSite")" 404
is 'nothing to write there' \
  "$(health -X POST "http://127.0.0.1:$port/metrics")" 404
is 'no metrics on the address of the API' \
  "$(health "http://127.0.0.1:${api_port[a]}/metrics")" 404

# The other site is lost: the pair is degraded, this site is healthy.
site_kill b
ok 'a lost peer is told' \
  wait_for 30 metric_is a 'pairdisk_peer_up{peer="site-b"}' 0
ok '... and that the copy is lost' \
  wait_for 30 metric_is a 'pairdisk_pair_degraded{.*}' 1
is '... this site is healthy' "$(health "http://127.0.0.1:$port/healthz")" 200
has_warnings ()
{
  [ "$(metric a 'pairdisk_events_total{level="warning"}')" -gt 0 ]
}
ok 'events are counted' wait_for 10 has_warnings

# nbdkit is there and says nothing.
unhealthy () { [ "$(health "http://127.0.0.1:$port/healthz")" = 503 ]; }
control a '{"op":"fake.silent","seconds":600}' >/dev/null
ok 'not healthy while nbdkit is silent' unhealthy
is '... in the metrics, too' "$(metric a pairdisk_nbdkit_up)" 0
ok 'pairctl says so' grep -q 'data path [^a]' \
  <("$pairctl" --site "$tmp/a" status)
control a '{"op":"fake.silent","seconds":0}' >/dev/null
healthy () { ! unhealthy; }
ok 'healthy again' wait_for 30 healthy

# nbdkit is lost and cannot be started again.
mv "$tmp/a/disks" "$tmp/a/disks.away"
touch "$tmp/a/disks"
site_kill_nbdkit a
ok 'not healthy without nbdkit' wait_for 10 unhealthy
ok '... and why' grep -q '"PluginAlive":false' "$tmp/health"
is '... in the metrics, too' "$(metric a pairdisk_nbdkit_up)" 0

done_testing
