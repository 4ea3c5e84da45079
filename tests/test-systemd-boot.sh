# A machine is booted with what make install puts there: made a site as the
# manual says, shut down, booted again.  Its disks are served before remote
# file systems are mounted and until they are unmounted, whatever becomes of
# the agent.
#
# systemd runs in namespaces (systemd-boot.sh): this machine's is not touched.

source "${0%/*}/functions.sh"
[ "$(id -u)" = 0 ] || skip_all "only root can boot systemd in namespaces"
[ -x /lib/systemd/systemd ] && [ -L /bin ] && [ -L /lib ] ||
  skip_all "no systemd, or no merged /usr"
requires unshare nsenter nbdinfo nbdcopy
# Libraries for sanitizers would have to be loaded there, too.
[ -z "$PAIRDISK_SANITIZERS" ] || skip_all "not built for use"

root=$tmp/root
cgroups=$(sed -n 's/^[^ ]* \([^ ]*\) cgroup2 .*/\1/p' /proc/mounts | head -n 1)
cgroup=$cgroups/pairdisk-test-$$
[ -n "$cgroups" ] && mkdir "$cgroup" 2>/dev/null ||
  skip_all "no control group can be made"
cgroup_remove ()
{
  find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
  [ ! -d "$cgroup" ]
}
on_exit wait_for 10 cgroup_remove

# ---- the machine ------------------------------------------------------------

mkdir -p "$tmp"/layers/{upper,work} \
  "$root"/{dev,etc/systemd/system,mnt/remote,proc,root,run,sys,tmp,usr,var/lib}
ln -s usr/bin usr/lib usr/sbin "$root"
[ ! -L /lib64 ] || ln -s usr/lib64 "$root"
cp -aL /etc/{passwd,group,nsswitch.conf,ld.so.cache} "$root/etc"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
# What needs the network, and any file system will do, is a remote one.
echo 'tmpfs /mnt/remote tmpfs _netdev 0 0' >"$root/etc/fstab"
mkdir "$root/etc/systemd/system/multi-user.target.wants"
ln -s /lib/systemd/system/remote-fs.target \
  "$root/etc/systemd/system/multi-user.target.wants"
env -u MAKEFLAGS -u MAKELEVEL make -C "$top_builddir" install \
  DESTDIR="$tmp/installed" >"$tmp/install.log" 2>&1 ||
  bail_out "make install: $(tail -n 5 "$tmp/install.log")"
for i in "$tmp"/installed/*; do
  case $i in
    */usr) cp -a "$i"/. "$tmp/layers/upper" ;;
    *) cp -a "$i" "$root" ;;
  esac
done
cp "$top_builddir"/systemd/*.{service,socket} "$root/etc/systemd/system"

# Whether this can be done at all is not for this test to say.
in_namespaces=(unshare --mount --pid --uts --ipc --net --cgroup --fork
  --kill-child --propagation private)
in_cgroup=(bash -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$cgroup")
output=$("${in_cgroup[@]}" "${in_namespaces[@]}" \
  bash "$top_srcdir/tests/systemd-boot.sh" --try "$root" "$tmp/layers" \
  "$tmp/try.log" 2>&1) ||
  skip_all "no namespaces to boot in: $output"

# boot NAME: what systemd says is in $tmp/NAME.log
boot ()
{
  boot_log=$tmp/$1.log
  start namespaces "${in_cgroup[@]}" "${in_namespaces[@]}" \
    bash "$top_srcdir/tests/systemd-boot.sh" "$root" "$tmp/layers" "$boot_log"
  boot_pid=$started_pid
  wait_for 60 is_up || bail_out "systemd does not boot: $(cat "$boot_log")"
}

there ()
{
  local pid
  # Its only child; the line has no end.
  read -r pid _ <"/proc/$boot_pid/task/$boot_pid/children"
  [ -n "$pid" ] && timeout 60 nsenter --target "$pid" --all --root --wd env -i \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

is_up ()
{
  [[ $(there systemctl is-system-running) =~ ^(running|degraded)$ ]]
}
is_active () { there systemctl is-active "$1" | grep -qx active; }
# when UNIT PROPERTY: microseconds since this machine's start
when () { there systemctl show --value -p "$2TimestampMonotonic" "$1"; }
main_pid () { there systemctl show --value -p MainPID "$1"; }
is_another () { local now; now=$(main_pid "$1"); [ "$now" -gt 0 ] && [ "$now" != "$2" ]; }

# off NAME COMMAND: the machine ends by itself
off ()
{
  there "${@:2}" 2>/dev/null  # it ends before it answers
  ok "$1" wait_for 90 is_gone "$boot_pid"
}
# line TEXT: its number in what systemd said, of the last one
line () { grep -nF -- "$1" "$boot_log" | tail -n 1 | cut -d: -f1; }

# ---- a machine that is not a site yet ---------------------------------------

there_site=$(sed -n 's/^localstatedir = //p' "$top_builddir/systemd/Makefile" |
             sed "s|\${prefix}|$(sed -n 's/^prefix = //p' \
               "$top_builddir/systemd/Makefile")|")/lib/pairdisk
boot first
ok 'enabled before there is a site' there systemctl enable paird
ok '... it starts nothing' there systemctl start paird
is '... not even what listens' "$(there ls "$there_site" 2>/dev/null)" ""

# ---- it becomes one ---------------------------------------------------------

ok 'site init' there pairctl site init --region site-a --address 127.0.0.1
ok 'systemctl enable --now paird' there systemctl enable --now paird
ok 'the agent is up' is_active paird.service
ok 'so is nbdkit' wait_for 10 is_active pairdisk-nbdkit.service
is 'the site directory is for root only' \
  "$(there stat -c %a "$there_site")" 700
plugin_is_alive () { shows '"PluginAlive": *true' there pairctl status --json; }
ok 'the agent finds nbdkit' wait_for 20 plugin_is_alive
ok 'a disk' there pairctl disk create db01 --size 8M
uri=$(there pairctl disk show db01 --json |
      sed -n 's/.*"NbdUri": *"\([^"]*\)".*/\1/p')
disk=${uri#*:///}
disk=${disk%%\?*}
head -c 8388608 /dev/urandom >"$root/root/data"
ok 'a guest writes' there nbdcopy --flush /root/data "$uri"
refused 'the other sites are spoken to in TLS, guests are not served there' \
  'no export named' there nbdinfo --size \
  "nbds://127.0.0.1:10810/$disk?tls-certificates=$there_site/tls"
# ---- what becomes of one leaves the other alone -----------------------------

nbdkit_pid=$(main_pid pairdisk-nbdkit.service)
ok 'the agent is stopped' there systemctl stop paird
is 'nbdkit goes on' "$(main_pid pairdisk-nbdkit.service)" "$nbdkit_pid"
ok 'the agent is started' there systemctl start paird
ok 'nbdkit is killed' there kill -KILL "$nbdkit_pid"
ok '... and started again' \
  wait_for 20 is_another pairdisk-nbdkit.service "$nbdkit_pid"
ok 'a guest that connects meanwhile only waits' \
  there nbdcopy "$uri" /root/copy
ok '... and reads what it wrote' cmp "$root/root/data" "$root/root/copy"
ok 'nbdkit is stopped' there systemctl stop pairdisk-nbdkit.service
ok '... a guest starts it' there nbdinfo --size "$uri"
ok 'the agent finds it again' wait_for 20 plugin_is_alive

# With its own socket unit the agent is started by who asks.
ok 'stop the agent' there systemctl stop paird
ok 'paird.socket' there systemctl enable --now paird.socket
ok 'who asks starts the agent' there pairctl disk list
ok 'it is up' is_active paird.service
ok 'stop it again' there systemctl stop paird.service
ok '... its socket is still there' there pairctl disk list

# ---- down and up again ------------------------------------------------------

ok 'no order is circular' test -z "$(grep -i 'ordering cycle' "$boot_log")"
off 'it is shut down' systemctl poweroff
ok 'remote file systems are gone before nbdkit is' \
  test "$(line 'Unmounted mnt-remote.mount')" \
  -lt "$(line 'Stopped pairdisk-nbdkit.service')"

boot again
ok 'the agent is up after a boot' wait_for 20 is_active paird.service
ok 'so is nbdkit' is_active pairdisk-nbdkit.service
ok 'nbdkit was started before remote file systems were mounted' \
  test "$(when pairdisk-nbdkit.service ActiveEnter)" \
  -lt "$(when mnt-remote.mount ActiveEnter)"
ok '... and what listens before that' \
  test "$(when pairdisk-nbdkit.socket ActiveEnter)" \
  -le "$(when pairdisk-nbdkit.service ActiveEnter)"
ok 'the disk is served' there nbdcopy "$uri" /root/copy
ok 'with what was written' cmp "$root/root/data" "$root/root/copy"
is 'nothing of ours has failed' "$(there systemctl --failed --plain \
  --no-legend | grep -E 'pair(d|disk)')" ""

# The agent is not what serves the disks, at boot neither.
there systemctl disable paird.service 2>/dev/null
there systemctl enable pairdisk-nbdkit.service pairdisk-nbdkit.socket \
  2>/dev/null
off 'it is shut down again' systemctl poweroff
boot third
ok 'the disk is served without the agent' \
  there nbdinfo --size "$uri"
off 'the end' systemctl poweroff

done_testing
