# Sourced by tests of TLS after functions.sh: keys made for the test.
#
#   make_certificates DIR    # a CA and what it signed, for both ends, 127.0.0.1
#   make_psk FILE USER

requires certtool psktool

make_certificates ()
{
  local dir=$1 who
  mkdir -p "$dir"
  printf '%s\n' 'cn = a CA' ca cert_signing_key 'expiration_days = 2' \
    >"$dir/ca.info"
  {
    certtool --generate-privkey --key-type ed25519 --outfile "$dir/ca-key.pem"
    certtool --generate-self-signed --load-privkey "$dir/ca-key.pem" \
      --template "$dir/ca.info" --outfile "$dir/ca-cert.pem"
    for who in server client; do
      printf '%s\n' "cn = a $who" "tls_www_$who" signing_key \
        'ip_address = 127.0.0.1' 'expiration_days = 2' >"$dir/$who.info"
      certtool --generate-privkey --key-type ed25519 \
        --outfile "$dir/$who-key.pem"
      certtool --generate-certificate --load-ca-certificate "$dir/ca-cert.pem" \
        --load-ca-privkey "$dir/ca-key.pem" \
        --load-privkey "$dir/$who-key.pem" \
        --template "$dir/$who.info" --outfile "$dir/$who-cert.pem"
    done
  } >"$tmp/certtool.log" 2>&1 ||
    bail_out "certtool: $(tail -n 3 "$tmp/certtool.log")"
}

make_psk ()
{
  (umask 077; psktool -u "$2" -p "$1" >"$tmp/psktool.log" 2>&1) ||
    bail_out "psktool: $(cat "$tmp/psktool.log")"
}
