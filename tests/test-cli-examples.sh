# The examples of pairctl(1), line by line as they stand there, on two sites:
# only names of machines, paths and the size are those of the test.

source "${0%/*}/functions.sh"
FAKE=
source "${0%/*}/agent-functions.sh"
source "${0%/*}/site-functions.sh"
requires jq nbdkit

# Lines of the manual, with the site that the story is at.
sed -n '/^=head1 EXAMPLES/,/^=head1 PARAMETERS/p' \
  "$top_srcdir/cli/pairctl.pod" | sed -n 's/^ //p' >"$tmp/examples"
ok 'there are examples' test "$(wc -l <"$tmp/examples")" -ge 20
mkdir "$tmp/srv" "$tmp/cwd"
truncate -s 8M "$tmp/cwd/vm2.img"
on_exit sites_kill

adapt ()
{
  sed -e "s|a\.example\.com|127.0.0.1:${api_port[a]} --data-address \
127.0.0.1:${data_port[a]}|" \
    -e "s|b\.example\.com|127.0.0.1:${api_port[b]} --data-address \
127.0.0.1:${data_port[b]}|" \
    -e "s|nbd://backup.*|nbd+unix:///?socket=$tmp/backup.sock|" \
    -e "s|/srv/pairdisk|$tmp/srv|" -e 's|20G|64M|' \
    -e "s|d-0123456789ab|${copy_id-}|" -e 's| *#.*||' <<<"$1"
}

# What the words around an example say has happened.
before ()
{
  case $1 in
    *'init --region cn-a'*) at=a ;;
    *'init --region cn-b'*) at=b ;;
    'pairctl disk create'*)
      at=a
      wait_for 30 peers_see_each_other || return
      on b disk create vm1 --size 64M >/dev/null || return
      copy_id=$(on b disk show vm1 --json | jq -r .Disk.DiskId) ;;
    'pairctl pair start vm1 --wait'*) wait_for 30 there_is_a_pair ;;
    *failover*) site_kill a; at=b ;;
    *'reprotect vm1 --dry-run'*)
      joined_start a; wait_for 30 peers_see_each_other ;;
    *'key create'*) at=a ;;
    *'key import'*) at=b ;;
    *'volume export'*)
      start backup nbdkit -f -U "$tmp/backup.sock" memory 8M
      wait_for 10 test -S "$tmp/backup.sock" ;;
  esac
}
there_is_a_pair () { shows created on a pair list; }

run_line ()
{
  local line
  before "$1" || return
  line=$(adapt "$1")
  case $line in
    'systemctl enable --now paird') joined_start $at ;;
    'pairctl site join -') on b site join - <"$tmp/token" ;;
    'pairctl site invite') on a site invite | tee "$tmp/token" ;;
    pairctl\ *) (cd "$tmp/cwd" && PAIRDISK_SITE=$tmp/$at \
      PAIRDISK_PLUGIN=$plugin "$pairctl" \
      ${line#pairctl }) ;;
    *) echo "who does this?"; return 1 ;;
  esac
}

for at in a b; do
  api_port[$at]=$(free_port)
  data_port[$at]=$(free_port)
  conf[$at]=$tmp/$at/paird.conf
done
at=a
while IFS= read -r line; do
  [ -n "$line" ] || continue
  # Not in a subshell: it starts processes and goes from site to site.
  if run_line "$line" >"$tmp/output" 2>&1; then
    pass "$line"
  else
    fail "$line"
    diag "$(cat "$tmp/output")"
  fi
  case $line in
    'pairctl status') ok '... has the pair' grep -q 'vm1.*normal' "$tmp/output" ;;
    *--dry-run) ok '... says what goes' grep -q '^gives up:' "$tmp/output" ;;
  esac
done <"$tmp/examples"

is 'the copy is at the first site now' \
  "$(on b pair show vm1 --json | jq -r .ReplicaPair.DestinationRegion)" cn-a
ok 'the export is the image' nbdinfo --size "nbd+unix:///?socket=$tmp/backup.sock"
done_testing
