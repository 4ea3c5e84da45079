# Sourced by test-reconcile-*.sh after functions.sh and plugin-functions.sh:
# two sites of equal right, each of which can be primary, with disk "d".
#
#   sites 64M; pair; link a b; wait_synced a
#   promote b 2; write b SEED COUNT; demote a 2 b; link b a

pair_uuid=$(cat /proc/sys/kernel/random/uuid)
pair_secret=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')

# Sites come back in subshells, too: who they are, and the aborts of nbdkit
# that are no news, is in files.
pid_of () { know_free "nbdkit-$1" && echo "$started_pid"; }
excuse () { aborts "$tmp/nbdkit-$1.log" >"$tmp/excused.$1"; }

start_site ()
{
  excuse "$1"
  nbdkit_start_by start_free "$tmp/$1"
}

# end_site SITE [SIGNAL]
end_site ()
{
  know_free "nbdkit-$1"
  kill_pid "$started_pid" "${2:-TERM}"
}

kill_site ()
{
  end_site "$1" KILL
  excuse "$1"
}

# revive SITE: there is no agent here to start it again when it aborts by
# itself; true if that was so.
revive ()
{
  [ "$(aborts "$tmp/nbdkit-$1.log")" -gt "$(cat "$tmp/excused.$1")" ] &&
    wait_for 10 is_gone "$(pid_of "$1")" || return
  diag "nbdkit of $1 aborted by a known bug of its own; started again" >&2
  start_site "$1"
}

sites ()
{
  local site size
  size=$(numfmt --from=iec "$1")
  for site in a b; do
    mkdir "$tmp/$site"
    start_site $site
    ask $site disk.create "\"size\":$size"
  done
}

# ask SITE OP [FIELDS]: of disk d; bails out on a refusal.
ask ()
{
  local request="{\"op\":\"$2\",\"disk\":\"d\"${3:+,$3}}"
  answer=$(control "$tmp/$1" "$request" 2>&1)
  if [[ $answer != {* ]] && revive "$1"; then
    answer=$(control "$tmp/$1" "$request" 2>&1)
  fi
  [[ $answer == '{"ok": true'* || $answer == '{"ok":true'* ]] ||
    bail_out "$1: $2: $answer"
}

# field EXPRESSION: of the last answer, as Python with it as s.
field ()
{
  /usr/bin/python3 -c 'import json, sys
s = json.loads(sys.argv[1])
print(eval(sys.argv[2]))' "$answer" "$1"
}

of () { status "$tmp/$1" d "$2"; }
of_is () { [ "$(of "$1" "$2")" = True ]; }

set_pair ()
{
  ask "$1" pair.set "\"role\":\"$2\",\"pair\":\"$pair_uuid\",\"fence\":$3,\"secret\":\"$pair_secret\""
}

pair () { set_pair a primary 1; set_pair b secondary 1; }

# link FROM TO [FIELDS]: records flow.
link ()
{
  ask "$2" replica.accept
  ask "$1" link.start "\"uri\":\"nbd+unix:///?socket=$(socket_of "$2")\"${3:+,$3}"
}

socket_of () { sed 's/.*socket=//' <<<"$(nbd_uri "$tmp/$1" d)"; }

is_synced ()
{
  revive a
  revive b
  of_is "$1" "s['link']['state'] == 'stream' and s['link']['initial_done'] and s['link']['lag']['writes'] == 0"
}
wait_synced () { wait_for "${2:-60}" is_synced "$1"; }

promote () { ask "$1" promote "\"fence\":$2"; }

history () { control "$tmp/$1" '{"op":"disk.history","disk":"d"}'; }

# demote LOSER FENCE WINNER [FIELDS]
demote () { ask "$1" demote "\"fence\":$2,\"peer\":$(history "$3")${4:+,$4}"; }

digest () { ask "$1" disk.digest; field "s['digest']"; }
same_content () { [ "$(digest a)" = "$(digest b)" ]; }

# write SITE SEED COUNT: that many 64 KiB writes, half random, flushed.
write ()
{
  nbd_python "$(nbd_uri "$tmp/$1" d)" "
import random
r = random.Random($2)
blocks = h.get_size() // 65536
for i in range($3):
    h.pwrite(r.randbytes(32768) + bytes(32768), r.randrange(blocks) * 65536)
h.flush()" || bail_out "cannot write at $1"
}
