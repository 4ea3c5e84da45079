# Sourced by tests/test-cli-*.sh: functions.sh, pairctl with its output caught,
# and a fake agent in a private site.

source "${BASH_SOURCE[0]%/*}/functions.sh"
pairctl=${PAIRCTL:-$pairctl}
[ -x "$pairctl" ] || skip_all "pairctl is not built"
unset COLUMNS PAIRDISK_SITE
export LC_ALL=C.UTF-8 TZ=UTC

# Start the fake agent in a site of its own and point pairctl at it.
fake_agent ()
{
  requires python3
  export PAIRDISK_SITE=$tmp/site
  mkdir -p "$PAIRDISK_SITE"
  start agent python3 "$top_srcdir/tests/cli-fake-agent.py" "$PAIRDISK_SITE"
  agent_pid=$started_pid
  wait_for 30 test -S "$PAIRDISK_SITE/api.sock" ||
    bail_out "the fake agent does not start: $(tail -n 5 "$tmp/agent.log")"
}

# fake JSON: what the fake agent does wrong from now on.
fake ()
{
  printf '%s\n' "$1" >"$tmp/fake.new"
  mv "$tmp/fake.new" "$PAIRDISK_SITE/fake.json"
}

# run ARGS...: pairctl with its output in $out, $err and $code.
run ()
{
  "$pairctl" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
  code=$?
  out=$(<"$tmp/out")
  err=$(<"$tmp/err")
}

# like NAME GOT PATTERN (a shell pattern)
like ()
{
  # shellcheck disable=SC2053
  if [[ $2 == $3 ]]; then
    pass "$1"
  else
    fail "$1"
    diag "got '$2', nothing like '$3'"
  fi
}
