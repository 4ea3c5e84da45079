#!/usr/bin/env bash
# Volumes made and looked at without any agent.

source "${0%/*}/cli-functions.sh"
requires python3
v=$tmp/vm1

# json KEY: a member of the JSON in $out.
json ()
{
  python3 -c 'import json, sys
for key in sys.argv[1:]: o = json.load (sys.stdin)[key]
print (o)' "$1" <<<"$out"
}

run volume create "$v" --size 64M
is "create" "$code:$err:$out" "0::created volume '$v' of 64.0 MiB"
run volume create "$v" --size 64M
like "it is there already" "$code:$err" \
     "1:pairctl: cannot create volume '$v': *"
run volume create "$tmp/tiny" --size 1000
like "a size that is no multiple of a block" "$code:$err" \
     "1:pairctl: cannot create volume '$tmp/tiny': *"
is "nothing is left of it" "$(ls -d "$tmp/tiny" 2>/dev/null)" ""
run volume create "$v-2" --size 16M --capacity 128M --json
is "create in JSON" "$code:$(json Path):$(json Size):$(json Capacity)" \
   "0:$v-2:16777216:$((128 << 20))"

run volume info "$v"
like "info" "$code:$out" "0:*uuid: *-*-*size: *64.0 MiB*role: *standalone*"
like "nothing is committed" "$out" "*committed: *nothing yet*"
run volume info "$v-2" --json
is "info in JSON" "$code:$(python3 -c 'import json, sys
v = json.load (sys.stdin)["Volume"]
print (v["Size"], v["Capacity"] >= 128 << 20, v["Role"], v["Pair"],
       v["Committed"])' <<<"$out")" "0:16777216 True standalone None None"

run volume resize "$v-2" --size 24M
is "resize" "$code:$err:$out" \
   "0::volume '$v-2' has 24.0 MiB now, its journal room for 128.0 MiB"
run volume resize "$v-2" --capacity 300M --json
is "resize in JSON" "$code:$(json Size):$(json Capacity)" \
   "0:25165824:314572800"
run volume resize "$v-2" --size 8M
like "no smaller" "$code:$err" \
     "1:pairctl: cannot resize volume '$v-2': * cannot become less*hint: *"
run volume resize "$v-2"
like "resize to nothing" "$code:$err" "2:pairctl: give '--size'*"
run volume info "$v-2" --json
is "the super says so" "$code:$(python3 -c 'import json, sys
v = json.load (sys.stdin)["Volume"]
print (v["Size"], v["Capacity"])' <<<"$out")" "0:25165824 314572800"
run volume check "$v-2"
like "check of one that has grown" "$code:$err:$out" "0::* 0 findings"

run volume dump "$v" --super
like "dump" "$code:$out" "0:*super*"
run volume check "$v"
like "check of a whole one" "$code:$err:$out" "0::* 0 findings"
run volume check "$v" --json
is "check in JSON" "$code:$(json FindingsCount):$(json Findings)" "0:0:[]"
"$pairctl" volume check "$v" --progress 7 7>"$tmp/lines" >/dev/null
is "progress in lines" "$(grep -cvE \
'^[0-9]+ ([0-9]+|unknown) ([0-9]+|unknown) ([0-9]+|unknown) checking$' \
"$tmp/lines")" 0

for verb in info dump check 'resize --size 1G'; do
  # shellcheck disable=SC2086
  run volume $verb "$tmp/none"
  like "$verb of nothing" "$code:$out:$err" \
       "1::pairctl: cannot * volume '$tmp/none': *"
  mkdir -p "$tmp/empty"
  # shellcheck disable=SC2086
  run volume $verb "$tmp/empty"
  like "$verb of what is no volume" "$code:$out:$err" \
       "1::pairctl: cannot * volume '$tmp/empty': *"
done

done_testing
