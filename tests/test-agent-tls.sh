# The API with TLS: the site's own certificate, signed calls only, nothing
# older than TLS 1.2, and a silent client keeps nobody out.

source "${0%/*}/functions.sh"
FAKE=1
source "${0%/*}/agent-functions.sh"
source "${0%/*}/site-functions.sh"
requires curl jq

on_exit sites_kill
joined_init a >/dev/null || bail_out 'site init fails'
joined_start a
key_make a "$tmp/key"
url=https://127.0.0.1:${api_port[a]}
for form in acs3 rpc; do
  ok "$form: a signed call" call -k "$tmp/key" -S $form -a DescribeDisks \
    "https:127.0.0.1:${api_port[a]}" RegionId=site-a
done
https () { curl -sS --cacert "$tmp/a/tls/ca-cert.pem" "$@"; }
is 'an unsigned one, to the certificate of the site' \
  "$(https "$url/?Action=DescribeDisks" | jq -r .Code)" \
  MissingAccessKeyId
refused 'not to a certificate of somebody else' 'certificate' curl -sS "$url/"
# handshake 1.1: with that version only
handshake ()
{
  python3 -W ignore - <<END
import socket, ssl
c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
c.check_hostname = False
c.verify_mode = ssl.CERT_NONE
c.minimum_version = c.maximum_version = ssl.TLSVersion.TLSv1_${1#1.}
c.set_ciphers("ALL:@SECLEVEL=0")
c.wrap_socket(socket.create_connection(("127.0.0.1", ${api_port[a]})))
END
}
ok 'a handshake with TLS 1.2' handshake 1.2
refused 'none with TLS 1.1' 'EOF|alert protocol version' handshake 1.1
ok 'without TLS it is no page' sh -c \
  "! curl -sf 'http://127.0.0.1:${api_port[a]}/'"
is 'metrics are not there' "$(https "$url/metrics" | jq -r .Code)" \
  InvalidApi.NotFound

# Handshakes that never begin.
cat >"$tmp/idle.py" <<END
import socket, time
idle = [socket.create_connection(("127.0.0.1", ${api_port[a]}))
        for i in range(300)]
open("$tmp/idle", "w").close()
time.sleep(600)
END
start idle python3 "$tmp/idle.py"
ok '300 connections without a handshake' wait_for 20 test -e "$tmp/idle"
ok 'it serves' call -k "$tmp/key" -a DescribeDisks \
  "https:127.0.0.1:${api_port[a]}" RegionId=site-a

done_testing
