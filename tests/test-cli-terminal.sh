#!/usr/bin/env bash
# On a terminal: a bar that fits, with what is known and nothing guessed;
# deleting asks first.

source "${0%/*}/cli-functions.sh"
requires python3
fake_agent

# on_terminal COLUMNS ANSWER ARGS...: pairctl on a pseudo-terminal, its output
# in $out and exit code in $code.
on_terminal ()
{
    out=$(python3 - "$pairctl" "$@" <<'PYTHON'
import fcntl, os, pty, struct, sys, termios
program, columns, answer, *args = sys.argv[1:]
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ,
                struct.pack("HHHH", 24, int(columns), 0, 0))
    os.execv(program, [program, *args])
out, asked = b"", False
while True:
    try:
        data = os.read(fd, 65536)
    except OSError:
        break
    if not data:
        break
    out += data
    if not asked and b"[y/N] " in out:
        asked = True
        os.write(fd, answer.encode() + b"\n")
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(out.replace(b"\r\n", b"\n"))
sys.exit(os.waitstatus_to_exitcode(status))
PYTHON
  )
  code=$?
}

run disk create d1 --size 1G
run pair create --disk d1 --peer-disk d1 --name x --wait

for columns in 30 60 100; do
  fake '{"steps": 4}'
  run pair start x
  on_terminal $columns "" pair progress x
  like "$columns columns: ends without the bar" "$code:${out##*$'\033[K'}" \
         "0:pair 'x' is normal*"
  widest=$(tr '\r' '\n' <<<"${out//$'\033[K'/}" | wc -L)
  [ "$widest" -lt $columns ] && fits=yes || fits="no: $widest"
  is "$columns columns: fits" "$fits" yes
done
like "bar, bytes, and no guess" "$out" \
     '*initial_syncing * of 1.0 GiB, time unknown left*'
like "bar moves" "$out" '*\[##*..\]*'

fake '{"steps": 4}'
run pair start x
on_terminal 80 "" pair progress x --no-progress
is "no bar when none is wanted" "$code:$out" "0:pair 'x' is normal"
run pair start x
run pair progress x
is "no bar without a terminal" "$code:$err" "0:"

on_terminal 80 n disk delete d1
like "no is no" "$code:$out" "1:Delete disk 'd1' (d-000000000001, 1.0 GiB)*\
nothing was deleted*"
run disk list
like "it is still there" "$out" "*d1*"
on_terminal 80 y disk delete d1
like "yes is yes" "$code:$out" "0:*deleted disk 'd1'"

done_testing
