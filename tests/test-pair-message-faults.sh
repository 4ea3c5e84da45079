# Messages between the agents are lost, delivered twice or too late: see
# message-faults.py.

source "${0%/*}/functions.sh"
requires nbdkit python3

export top_srcdir top_builddir
[ -z "$PAIRDISK_SANITIZERS" ] || skip_all 'Python does not bear the sanitizers'
requires_libnbd
/usr/bin/python3 "$top_srcdir/tests/message-faults.py"
