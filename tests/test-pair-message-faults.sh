# Messages between the agents are lost, delivered twice or too late: see
# message-faults.py.

source "${0%/*}/functions.sh"
requires nbdkit python3

export top_srcdir top_builddir
[ -z "$PAIRDISK_SANITIZERS" ] || skip_all 'Python does not bear the sanitizers'
/usr/bin/python3 -c 'import nbd' 2>/dev/null ||
  skip_all 'python3-libnbd is not installed'
/usr/bin/python3 "$top_srcdir/tests/message-faults.py"
