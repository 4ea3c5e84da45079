# Every error of the API that this product can meet is met: with its status,
# its code and its message, by a real call.  The list is that of apierror.h;
# what is in it and not met here must be named below, with the reason.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"

# STATUS, code and message (as patterns), a line each.
python3 - "$top_srcdir/pair/apierror.h" >"$tmp/list" <<'END'
import re, sys
text = open(sys.argv[1]).read().replace("\\\n", " ")
for status, rest in re.findall(r'X \(\w+, (\d+),((?:\s*"[^"]*",?)+)\)', text):
    parts = [""]
    for string, comma in re.findall(r'"([^"]*)"(,?)', rest):
        parts[-1] += string
        if comma:
            parts.append("")
    print(status, parts[0], parts[1], sep="\t")
END
ok 'the list is read' test "$(wc -l <"$tmp/list")" -gt 60

not_met='
  InvalidParameter.Conflict                         no action has two parameters that exclude each other
  MissingParameter                                  Missing{Name} is sent
  InvalidAction.NotFound                            the old word for InvalidApi.NotFound
  InvalidAccountStatus.NotEnoughBalance             there are no accounts
  NoPermission.SLR                                  there are no roles of that kind
  RequestTimeout                                    ServiceUnavailable is sent
  Throttling.Api                                    limits are those of a key
  Throttling                                        limits are those of a key
  OperationDenied.NoPairInGroup                     groups
  OperationDenied.PairNotInGroup                    groups
  OperationDenied.PairInAnotherGroup                groups
  OperationDenied.PairGroupAZoneConflict            groups
  OperationDenied.PairGroupStatusConflict           groups
  OperationDenied.PairInitializing                  groups
  OperationDenied.PairStatusCannotAddToGroup        groups
  OperationDenied.GroupStatusCannotAddPair          groups
  OperationDenied.PairStatusCannotRemoveFromGroup   groups
  OperationDenied.GroupStatusCannotRemovePair       groups
  OperationDenied.PairsExceedInGroup                groups
  OperationDenied.GroupTotalDiskCapacityLimit       groups
  OperationDenied.GroupHasPair                      groups
  OperationDenied.TooMuchEmptyGroup                 groups
  OperationDenied.RecoverPointNotFound              drills
  OperationDenied.StartDrillShouldOnDestRegion      drills
'

# row STATUS CODE [PARAMETER] -- COMMAND...: it answers exactly that.
met=()
row ()
{
  local status=$1 code=$2 entry name=${3#--} output message
  shift 2
  [ "$1" = -- ] || shift
  shift
  entry=$code
  case $code in
    "Missing$name") [ -n "$name" ] && entry=Missing%s ;;
    "Invalid$name") [ -n "$name" ] && entry=Invalid%s ;;
  esac
  message=$(awk -F'\t' -v s="$status" -v c="$entry" \
    '$1 == s && $2 == c { print $3 }' "$tmp/list")
  [ -n "$message" ] || { fail "$code"; diag "not in the list: $status $entry"
                         return; }
  output=$("$@" 2>&1)
  if [ "$(sed -n 's/^\([0-9]*\) .*"Code": "\([^"]*\)".*/\1 \2/p' \
          <<<"$output")" = "$status $code" ] &&
     grep -qF "\"Message\": \"${message//%s/$name}\"" <<<"$output"; then
    pass "$status $code"
  else
    fail "$status $code"; diag "$* => $output, not '${message//%s/$name}'"
  fi
  met+=("$status	$entry")
}

sites_up
disks_make
key_make a "$tmp/key"
key_make a "$tmp/reader" read-only
key_id=$(sed -n 's/.*"AccessKeyId": "\([^"]*\)".*/\1/p' "$tmp/key")
tcp=127.0.0.1:${api_port[a]}
list=DescribeDiskReplicaPairs
signed () { call -k "$tmp/key" -a $list "$@" "$tcp" RegionId=site-a; }
type=ResourceType=diskreplicapair
pair_make RPO=900 ClientToken=made
verb () { api "$1" "$2DiskReplicaPair" ReplicaPairId="$pair" "${@:3}"; }

# ---- the gateway ------------------------------------------------------------

row 404 InvalidApi.NotFound -- api a DoSomething
row 404 InvalidVersion -- call -v 2014-05-26 -a $list "$tmp/a"
row 400 MissingAccessKeyId AccessKeyId -- call -a $list "$tcp" RegionId=site-a
row 400 MissingRegionId RegionId -- call -k "$tmp/key" -a $list "$tcp"
row 400 MissingReplicaPairId ReplicaPairId -- api a StartDiskReplicaPair
row 400 InvalidAuthorization Authorization -- call -H \
  'Authorization: ACS3-HMAC-SHA256 x' -a $list "$tcp" RegionId=site-a
row 400 InvalidSignatureMethod -- call -H 'Authorization: ACS3-HMAC-SM3 x' \
  -a $list "$tcp" RegionId=site-a
row 404 InvalidAccessKeyId.NotFound -- call -k <(sed "s/$key_id/nobody/" \
  "$tmp/key") -a $list "$tcp" RegionId=site-a
row 400 SignatureDoesNotMatch -- call -k <(sed \
  's/\("AccessKeySecret": "\)[^"]*/\1wrong/' "$tmp/key") -a $list "$tcp" \
  RegionId=site-a
api a UpdateAccessKey Status=Inactive UserAccessKeyId="$key_id" >/dev/null
row 400 InvalidAccessKeyId.Inactive -- signed
api a UpdateAccessKey Status=Active UserAccessKeyId="$key_id" >/dev/null
row 400 InvalidTimeStamp.Format -- signed -T now
row 400 InvalidTimeStamp.Expired -- signed -T 2026-01-01T00:00:00Z
signed -N once >/dev/null
row 400 SignatureNonceUsed -- signed -N once
row 400 UnsupportedHTTPMethod -- signed -m PUT
row 403 Forbidden.Action -- call -k "$tmp/reader" -a StopDiskReplicaPair \
  "$tcp" RegionId=site-a ReplicaPairId="$pair"
if [ "$(id -u)" = 0 ]; then
  chmod 711 "$tmp" "$tmp/a"
  chmod 666 "$tmp/a/api.sock"
  row 403 Forbidden -- call -U 65534 -a $list "$tmp/a"
else
  not_met+='Forbidden  needs another user: run as root'
fi
# A key has room for 20000 nonces in half an hour.
python3 - "$tmp/a/paird.db" "$key_id" <<'END'
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], timeout=10)
now = int(time.time() * 1000)
db.executemany("INSERT INTO nonces VALUES (?, ?, ?)",
               ((sys.argv[2], "n%d" % i, now) for i in range(20000)))
db.commit()
END
row 400 Throttling.User -- signed
sql ()
{
  python3 -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=10)
db.execute(sys.argv[2])
db.commit()' "$tmp/a/paird.db" "$1"
}
sql 'DELETE FROM nonces'

# ---- parameters, tags -------------------------------------------------------

row 400 InvalidParameter OneShot -- verb a Start OneShot=1
row 400 InvalidParameter.Format -- api a $list \
  "Name=$(printf '\xff')"
row 400 InvalidParameter.TagValue Tag.N.Key -- api a $list Tag.1.Value=x
row 400 Duplicate.TagKey -- api a $list Tag.1.Key=a Tag.2.Key=a
row 400 NumberExceed.Tags -- api a $list Tag.21.Key=a
row 400 NumberExceed.ResourceIds -- api a TagResources $type Tag.1.Key=a \
  ResourceId.51=x
many=(Tag.{1..20}.Key=k)
for ((i = 0; i < 20; ++i)); do many[i]+=$i; done
api a TagResources $type ResourceId.1="$pair" "${many[@]}" >/dev/null
row 400 OperationDenied.QuotaExceed -- api a TagResources $type \
  ResourceId.1="$pair" Tag.1.Key=more
row 404 MissingParameter.ResourceType -- api a TagResources Tag.1.Key=a
row 404 InvalidResourceType.NotFound -- api a TagResources ResourceType=x
row 404 InvalidResourceId.NotFound -- api a TagResources $type Tag.1.Key=a \
  ResourceId.1=pair-cn-none
row 404 InvalidRegionId.NotFound -- api a TagResources $type Tag.1.Key=a \
  ResourceId.1="$pair" RegionId=nowhere
row 404 MissingParameter.ResourceGroup -- api a ChangeResourceGroup $type \
  ResourceId="$pair"
row 404 InvalidResourceGroup.NotFound -- api a ChangeResourceGroup $type \
  ResourceId="$pair" NewResourceGroupId=/
for ((i = 0; i < 48; ++i)); do
  echo "UserAccessKeyId=key-$i"
done | python3 -c 'import importlib, sys
sys.path.insert(0, sys.argv[1])
c = importlib.import_module("agent-call")
for line in sys.stdin:
    c.call(sys.argv[2], params=[tuple(line.strip().split("=")),
        ("AccessKeySecret", "x" * 20), ("Role", "read-only"),
        ("Action", "CreateAccessKey")])' "$top_srcdir/tests" "$tmp/a"
row 403 OperationDenied.QuotaExceed -- api a CreateAccessKey Role=operator

# ---- pairs ------------------------------------------------------------------

row 404 NoSuchResource -- api a StopDiskReplicaPair \
  ReplicaPairId=pair-cn-none
row 400 IdempotentParameterMismatch -- pair_create ClientToken=made RPO=1
row 403 OperationDenied -- pair_create
row 403 OperationDenied.InvalidStatus -- verb b Failover
row 403 OperationDenied.OperateNotAllowedForPrimary -- verb a Failover
row 403 OperationDenied.OperateNotAllowedForStandby -- verb b Delete
control b "{\"op\":\"fake.clients\",\"disk\":\"$disk_b\",\"count\":1}" \
  >/dev/null
row 400 OperationDenied.StandbyDeviceAttached -- verb a Start
control b "{\"op\":\"fake.clients\",\"disk\":\"$disk_b\",\"count\":0}" \
  >/dev/null
verb a Start OneShot=true ClientToken=shot >/dev/null
wait_status a "$pair" stopped
row 403 OperationDenied.ManualSyncLimit -- verb a Start OneShot=true
ok 'with its token the one-shot is no new one' verb a Start OneShot=true \
  ClientToken=shot

# Two at once, while the plugin is silent: one works, the other is told so.  The
# first one is given up after a time, which the second may have missed.
twice ()
{
  python3 - "$top_srcdir/tests" "$tmp/a" "$pair" <<'END'
import importlib, json, sys, threading
sys.path.insert(0, sys.argv[1])
c = importlib.import_module("agent-call")
def one(token, answers):
    status, data, r = c.call(sys.argv[2], params=[
        ("Action", "StartDiskReplicaPair"), ("ReplicaPairId", sys.argv[3]),
        ("ClientToken", token)])
    answers.append((status, json.loads(data)))
for token in ["slow"] + ["slow%d" % i for i in range(20)]:
    answers = []
    threads = [threading.Thread(target=one, args=(token, answers))
               for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    answers.sort(key=lambda a: a[0])
    assert answers[0][0] == 200, answers
    if answers[1][0] != 200:
        break
print(answers[1][0], json.dumps(answers[1][1]))
END
}
control a '{"op":"fake.silent","seconds":600}' >/dev/null
row 403 LastTokenProcessing -- twice
control a '{"op":"fake.silent","seconds":0}' >/dev/null
ok 'then its token has an answer' verb a Start ClientToken=slow

sql 'ALTER TABLE events RENAME TO lost'
row 500 InternalError -- verb a Stop
sql 'ALTER TABLE lost RENAME TO events'
ok 'the same call again' verb a Stop
site_kill b
row 503 ServiceUnavailable -- api a $list RegionId=site-b

# ---- nothing was left out ---------------------------------------------------

while IFS=$'\t' read -r status code _; do
  grep -qxF -- "$status	$code" < <(printf '%s\n' "${met[@]}") && continue
  ok "$status $code is met, or it says why not" \
    grep -qE "^ *${code//./\\.} +[a-zA-Z]" <<<"$not_met"
done <"$tmp/list"

done_testing
