#!/usr/bin/env bash
# pairctl key: make, list, disable, bring along and delete access keys; the
# secret is shown once, or is in a file of its owner's.

source "${0%/*}/cli-functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"
[ -x "$paird" ] || skip_all "paird is not built"

at_a () { run --site "$tmp/a" "$@"; }
at_b () { run --site "$tmp/b" "$@"; }
# signed SITE FILE: a signed call
signed () { call -k "$2" -a DescribeDisks "127.0.0.1:${api_port[$1]}" \
  RegionId=site-$1; }

sites_up
at_a key list
like "none yet" "$code:$err:$out" "0::*"
at_a key create
like "created" "$code:$err:$out" \
  "0::access key: *PD*secret: *role: *operator"
id=$(sed -n 's/^access key: *//p' <<<"$out")
secret=$(sed -n 's/^secret: *//p' <<<"$out")
is "a secret of 40 characters" "${#secret}" 40
at_a key create --role read-only --description 'for the dashboard' \
  --out "$tmp/key"
like "into a file: no secret on the screen" "$code:$err:$out" \
  "0::access key: *PD*role: *read-only"
case $out in *secret*) fail "it is there" ;; *) pass "indeed none" ;; esac
is "the file is its owner's" "$(stat -c %a "$tmp/key")" 600
ok "it signs" signed a "$tmp/key"
at_a key list
like "listed" "$code:$out" "0:ACCESS KEY*$id *operator *Active*read-only *Active*for the dashboard*"
is "without secrets" "$(grep -c "$secret" <<<"$out")" 0
at_a key list --json
is "nor in JSON" "$(grep -ci secret <<<"$out")" 0
other=$(sed -n 's/.*"AccessKeyId": "\([^"]*\)".*/\1/p' "$tmp/key")

at_a key create --out "$tmp/key"
like "a file that is there stays" "$code:$err" "1:*cannot create*"
at_a key create --role king
like "no such role" "$code:$err" "3:*InvalidParameter*hint: *read-only*"
at_a key disable "$other"
is "disabled" "$code:$err:$out" "0::access key $other is disabled"
refused "its calls" '400 .*InvalidAccessKeyId.Inactive' signed a "$tmp/key"
at_a key enable "$other"
is "enabled" "$code:$err:$out" "0::access key $other is enabled"
ok "its calls are taken again" signed a "$tmp/key"

refused "not at the other site" '404 .*InvalidAccessKeyId.NotFound' \
  signed b "$tmp/key"
at_b key import "$tmp/key" --role read-only
like "brought along" "$code:$err:$out" "0::access key: *$other*read-only"
ok "now there, too" signed b "$tmp/key"
at_b key import "$tmp/key"
like "once only" "$code:$err" "3:*OperationDenied*hint: *"
chmod 644 "$tmp/key"
at_b key import "$tmp/key"
like "a file that others read" "$code:$err" "1:*read by others*hint: chmod*"
echo '{}' >"$tmp/none"
chmod 600 "$tmp/none"
at_b key import "$tmp/none"
like "a file that is none" "$code:$err" "1:*is not what*"

at_a key delete "$id"
is "deleted" "$code:$err:$out" "0::access key $id is deleted"
at_a key delete "$id"
like "once" "$code:$err" "3:*NoSuchResource*"
at_a event list
like "in the event log" "$out" "*key-created*key-changed*key-deleted*"

done_testing
