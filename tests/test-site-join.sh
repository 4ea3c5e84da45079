# Two sites are made and trust each other by one token; nobody else does.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"
source "${0%/*}/site-functions.sh"
requires curl python3

on_exit sites_kill
ok 'site init' joined_init a
is 'the directory is private' "$(stat -c %a "$tmp/a")" 700
is 'all keys are private' "$(stat -c %a "$tmp"/a/tls/* | sort -u)" 600
is 'the names that nbdkit and libnbd look for' \
  "$(cd "$tmp/a/tls" && echo ca-cert.pem client-*.pem server-*.pem)" \
  "ca-cert.pem client-cert.pem client-key.pem server-cert.pem server-key.pem"
refused 'a second init' 'is a site already' joined_init a
conf[a]=$tmp/a/paird.conf
api_port[a]=$(sed -n 's/^address = .*://p' "${conf[a]}")
for bad in 'a b' 'a:x' 'a:0' 'a:70000' '::1' '[::1' '/x' 'a:1:2'; do
  refused "the address '$bad'" "is not HOST" \
    "$pairctl" --site "$tmp/x" site init --region x --address "$bad"
done
refused 'a region of blanks' 'letters, digits' \
  "$pairctl" --site "$tmp/x" site init --region 'a b' --address h
ok 'nothing was made of these' test ! -e "$tmp/x"
ok 'init with names' "$pairctl" --site "$tmp/n" site init --region cn-n \
  --address n.example.com --data-address '[2001:db8::1]:99'
is 'what it wrote' "$(grep -v '^#' "$tmp/n/paird.conf" | grep -v '^dir' |
    grep . | tr '\n' ';')" "region = cn-n;listen = none;\
listen-tls = 0.0.0.0:7781;address = n.example.com:7781;\
data-listen = 0.0.0.0:99;data-address = [2001:db8::1]:99;data-tls = x509;"

joined_start a
joined_init b >/dev/null
joined_start b
ok 'invite' on a site invite --expires 10m
on a site invite >"$tmp/token"
is 'the token is one word on one line' "$(wc -lw <"$tmp/token" | xargs)" "1 1"
token=$(<"$tmp/token")

# Half a token, or a changed one, is seen before anybody is called.
refused 'half a token' 'not a whole token' on b site join "${token:0:80}"
refused 'a changed token' 'not a whole token' on b site join "${token/eyJ/eyK}"
refused 'no token' 'no token on standard input' on b site join - </dev/null
refused 'its own site' 'is of a site of region' on a site join "$token"
is 'nobody is joined yet' "$(on b site list --json | grep -c RegionId)" 0

# Somebody else at the address: the fingerprint tells.
joined_init m >/dev/null
change_token ()
{
  python3 - "$token" "$@" <<'END'
import base64, hashlib, hmac, json, sys
head, body, check = sys.argv[1].split(".")
o = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
for arg in sys.argv[2:]:
    k, v = arg.split("=", 1)
    o[k] = type(o[k])(v)
text = head + "." + base64.urlsafe_b64encode(
    json.dumps(o).encode()).decode().rstrip("=") + "."
print(text + hmac.new(b"pairdisk token", text.encode(),
                      hashlib.sha256).hexdigest()[:8])
END
}
joined_start m
refused 'somebody else answers' 'its certificate is another' \
  on b site join "$(change_token a="127.0.0.1:${api_port[m]}")"
refused 'another secret' 'invitation.s secret is another' \
  on b site join "$(change_token s=$(printf '0%.0s' {1..64}))"
refused 'an invitation that never was' 'no such invitation' \
  on b site join "$(change_token i=0123456789abcdef)"
refused 'one that is over' 'the token is over' \
  on b site join "$(change_token e=1000)"
refused 'nobody at the address' 'hint|connect' \
  on b site join "$(change_token a="127.0.0.1:$(free_port)")"
is 'still nobody is joined' "$(on b site list --json | grep -c RegionId)" 0

ok 'join' on b site join - <"$tmp/token"
for site in a b; do
  is "$site knows the other's zone at once" "$(on $site site list --json |
    grep -c "\"ZoneId\": \"site-$(other_site $site)-1\"")" 1
done
ok 'they see each other' wait_for 30 peers_see_each_other
ok 'the same again, as after a lost answer' on b site join "$token"
refused 'the token is good for one site' 'another site has used' \
  on m site join "$token"
ok 'one secret, on both sides' wait_for 10 one_secret x
is 'what is on disk is private' \
  "$(stat -c %a "$tmp"/[ab]/peers "$tmp"/[ab]/peers/* | sort | uniq -c |
     xargs)" "4 600 2 700"
listed () { shows 'site-b.*reachable *joined' on a site list; }
ok 'a site list says so' wait_for 20 listed
ok 'the bundle holds both' test \
  "$(grep -c BEGIN "$tmp/a/tls/ca-cert.pem")" = 2

# The secret is nowhere but in the file.
hex=$(secrets_of a b)
invited=$(change_token | cut -d. -f2 | tr -- -_ +/ | base64 -d 2>/dev/null |
  grep -o '"s": *"[0-9a-f]*"' | grep -o '[0-9a-f]\{64\}')
is 'no secret in logs and events' "$(cat "$tmp"/*.log \
  <(on a event list) <(on b event list) | grep -c -e "$hex" -e "$invited")" 0

# What travels between them is TLS, and of the pinned site only.
is 'no HTTP there' "$(curl -s --noproxy '*' -o /dev/null -w '%{http_code}' \
  "http://127.0.0.1:${api_port[a]}/" | grep -c 200)" 0
ok 'a client that knows the site' curl -sS --noproxy '*' \
  --cacert "$tmp/a/tls/site-cert.pem" "https://127.0.0.1:${api_port[a]}/"
refused 'a client that knows another' 'certificate|issuer' \
  curl -sS --noproxy '*' --cacert "$tmp/m/tls/site-cert.pem" \
  "https://127.0.0.1:${api_port[a]}/"

# Another site in place of b: a will not talk to it.
kill_pid "${site_pid[m]}"
kill_pid "${site_pid[b]}"
sed "s/^listen-tls.*/listen-tls = 127.0.0.1:${api_port[b]}/" "${conf[m]}" \
  >"$tmp/m.conf"
conf[m]=$tmp/m.conf
joined_start m
not_the_joined () { shows "not the joined" on a event list; }
ok 'an impostor is not called' wait_for 60 not_the_joined
kill_pid "${site_pid[m]}"

# What happened is on record, and told as it comes.
on a event watch --after 0 --until site-joined --timeout 60 >"$tmp/watch"
is 'event watch ends with what was waited for' \
  "$?:$(tail -n 1 "$tmp/watch" | cut -d' ' -f5)" "0:site-joined"
on a event watch --until nothing-like-this --timeout 0.5 >"$tmp/watch"
is '... or in time' "$?:$(cat "$tmp/watch")" 5:
on a event watch --json --until site-invited --timeout 120 >"$tmp/watch" &
watch=$!
# It tells of what comes after it has begun, whenever that is.
is_told ()
{
  on a site invite >/dev/null
  grep -q '"Kind":"site-invited"' "$tmp/watch"
}
wait_for 20 is_told
wait "$watch"
is '... as JSON, one object a line' \
  "$?:$(tail -n 1 "$tmp/watch" | grep -c '^{.*"site-invited".*}$')" 0:1

# A pair between joined sites, and a restart of both.
joined_start b
wait_for 30 peers_see_each_other || fail 'they meet again'
kill_pid "${site_pid[a]}"
joined_start a
ok 'they meet after a restart' wait_for 30 peers_see_each_other
disks_make
pair_make PairName=db-01
refused 'a site with a pair is not removed' 'pair-.* is with that site' \
  on a site remove site-b
pair_start >/dev/null
ok 'a pair runs' wait_status a "$pair" normal
api a StopDiskReplicaPair ReplicaPairId="$pair" >/dev/null
wait_status a "$pair" stopped
api a DeleteDiskReplicaPair ReplicaPairId="$pair" >/dev/null
wait_for 20 pair_gone a "$pair"
ok 'without a pair it is' on a site remove site-b
is 'a has forgotten' "$(ls "$tmp/a/peers")" ""
lost () { [ "$(value b DescribeSite Peers.0.Reachable)" = false ]; }
ok 'b is not heard any more' wait_for 20 lost
refused 'not by the old invitation' 'no such invitation, or it is over' on b site join "$token"
ok 'a new invitation' joined_join b a
ok 'they see each other again' wait_for 30 peers_see_each_other

# Only the machine's own socket manages sites.
is 'no invitation over TLS' "$(curl -s --noproxy '*' -k \
  "https://127.0.0.1:${api_port[a]}/?Action=CreateInvitation&Version=2021-07-30" |
  grep -c -e Token -e pairdisk1)" 0

done_testing
