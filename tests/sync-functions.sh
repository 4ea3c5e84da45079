# Sourced by test-sync-*.sh after link-functions.sh: the sync mode.
#
#   pair; set_mode sync suspend; link_start; wait_mode in-sync
#   writers_start 4      # flushes are noted in $acked
#   has_acked            # all that was acknowledged is at the promoted B

acked=$tmp/acked

# set_mode sync|async [suspend|degrade [force]]
set_mode ()
{
  ask "$a" link.mode "\"mode\":\"$1\",\"on_peer_loss\":\"${2:-degrade}\"${3:+,\"force\":true}"
}

# mode_is STATE: of the primary's mode.
mode_is () { revive_b; [ "$(status "$a" d "s['mode']['state']")" = "$1" ]; }
wait_mode () { wait_for "${2:-30}" mode_is "$1"; }

# Each of the writers waits for the peer with a flush: all that was answered
# before is noted.
flushes_wait ()
{
  [ "$(status "$a" d "s['mode']['waiting']")" -ge "$writers" ]
}

# writers_start THREADS [fua]
writers_start ()
{
  writers=$1
  : >"$acked"
  start writers /usr/bin/python3 "$top_srcdir/tests/sync-load.py" \
    "$(nbd_uri "$a" d)" "$acked" "$@"
  writers_pid=$started_pid
}

writers_stop () { kill_pid "$writers_pid" KILL; }

acked_count () { wc -l <"$acked"; }
acked_more_than () { [ "$(acked_count)" -gt "$1" ]; }

# The secondary becomes the primary; its answer is in $answer.
promote_b () { ask "$b" promote "\"fence\":$1"; }

loss () { /usr/bin/python3 -c 'import json, sys
l = json.loads(sys.argv[1])["loss"]
print(eval(sys.argv[2]))' "$answer" "$1"; }

b_uri () { echo "nbd://127.0.0.1:$b_port/d"; }

has_acked ()
{
  /usr/bin/python3 "$top_srcdir/tests/sync-load.py" --check "$(b_uri)" "$acked"
}
