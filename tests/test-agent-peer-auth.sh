# Calls from site to site prove the site secret, once, near their time.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"

cat >"$tmp/peer.py" <<END
import hashlib, hmac, http.client, json, os, sys, time
def peer(verb, body, secret=None, shift=0, nonce=None, sign=None):
    secret = secret or open("$tmp/secret", "rb").read().strip()
    t = str(int(time.time() * 1000) + shift)
    nonce = nonce or os.urandom(16).hex()
    text = "\n".join(["request", sign or verb, t, nonce, body]).encode()
    mac = hmac.new(secret, text, hashlib.sha256).hexdigest()
    c = http.client.HTTPConnection(sys.argv[1], timeout=10)
    c.request("POST", "/peer/" + verb, body,
              {"x-pairdisk-auth": "%s:%s:%s" % (t, nonce, mac)})
    r = c.getresponse()
    data = r.read()
    want = hmac.new(secret, "\n".join(["answer", verb, t, nonce]).encode() +
                    b"\n" + data, hashlib.sha256).hexdigest()
    print(r.status, data.decode(),
          "proven" if r.getheader("x-pairdisk-auth") == want else "")
END

peer ()
{
  local name=$1 pattern=$2 output
  output=$(cat "$tmp/peer.py" - | python3 - "127.0.0.1:${api_port[a]}" 2>&1)
  if grep -qE -- "$pattern" <<<"$output"; then pass "$name"; else
    fail "$name"; diag "$output"; fi
}

sites_prepare
site_up a
# The agent takes nothing older than itself.
sleep_until_older () { [ $(($(date +%s%N) / 1000000 - started)) -gt 50 ]; }
started=$(($(date +%s%N) / 1000000))
wait_for 5 sleep_until_older

peer 'the right secret' '^200 .*"region":"site-a".* proven' <<'END'
peer("hello", "{}")
END
peer 'a wrong secret' '^403 .*secrets differ' <<'END'
peer("hello", "{}", secret=b"0123456789abcdef")
END
peer 'a call of long ago' '^403 .*clocks' <<'END'
peer("hello", "{}", shift=-61000)
END
peer 'a call of the future' '^403 .*clocks' <<'END'
peer("hello", "{}", shift=75000)
END
peer 'a call from before the agent was started' '^403 .*older than' <<'END'
peer("hello", "{}", shift=-45000)
END
peer 'the same call again' '403 .*made before' <<'END'
n = "00112233445566778899aabbccddeeff"
peer("hello", "{}", nonce=n)
peer("hello", "{}", nonce=n)
END
peer 'a proof of another verb' '^403 .*secrets differ' <<'END'
peer("forward", "{}", sign="hello")
END
peer 'an unknown verb' '^400 ' <<'END'
peer("shutdown", "{}")
END
peer 'a body that is no JSON' '^400 ' <<'END'
peer("pair", "no")
END
peer 'a record that cannot be' '^400 ' <<'END'
peer("pair", json.dumps({"record": {"id": "x", "version": -1}}))
END
peer 'a record of strangers' '^400 |NoSuchResource' <<'END'
peer("pair", json.dumps({"record": {}}))
END
ok 'the agent lives' site_answers a

# A site with another secret is no peer.
cp "$tmp/secret" "$tmp/secret-a"
(umask 077; echo another-secret-of-32-characters >"$tmp/secret-b")
cp "$tmp/secret-b" "$tmp/secret"
site_up b
not_reachable () {
  [ "$(value b DescribeSite Peers.0.Reachable)" = false ] &&
    grep -q 'secrets differ' "$tmp/paird-a.log"
}
ok 'a site with another secret is refused' wait_for 20 not_reachable
chmod 644 "$tmp/secret"
refused 'a secret others can read' 'can be read by others' \
  "$paird" --region=r --dir="$tmp/c" --site-secret-file="$tmp/secret"
chmod 600 "$tmp/secret"
refused 'peers without a secret' 'site-secret-file' \
  "$paird" --region=r --dir="$tmp/c" --peer=x=localhost:1

done_testing
