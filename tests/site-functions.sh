# Sourced by test-site-*.sh after agent-functions.sh: sites made by pairctl
# site init and joined by an invitation, instead of a shared secret.
#
#   joined_sites_up           # a and b: init, paird, invite, join
#   on a site list
#
# $plugin and FAKE as in agent-functions.sh.

declare -A conf

on () { local site=$1; shift; "$pairctl" --site "$tmp/$site" "$@"; }

# joined_init SITE [OPTION...]
joined_init ()
{
  local site=$1
  shift
  api_port[$site]=$(free_port)
  data_port[$site]=$(free_port)
  conf[$site]=$tmp/$site/paird.conf
  on "$site" site init --region "site-$site" --zone "site-$site-1" \
    --address "127.0.0.1:${api_port[$site]}" \
    --data-address "127.0.0.1:${data_port[$site]}" "$@"
}

# joined_start SITE [OPTION...]: returns when it answers.
joined_start ()
{
  local site=$1 nbdkit=nbdkit
  shift
  [ -n "$FAKE" ] && nbdkit=$top_srcdir/tests/agent-fake-nbdkit.py
  start "paird-$site" "$paird" --config="${conf[$site]}" \
    --nbdkit="$nbdkit" --plugin="$plugin" "$@"
  site_pid[$site]=$started_pid
  wait_for 30 site_answers "$site" || bail_out "paird $site does not answer:
$(tail -n 5 "$tmp/paird-$site.log")"
  wait_for 30 plugin_alive "$site" || bail_out "nbdkit of $site is not there"
}

# joined_join INVITING INVITED
joined_join ()
{
  on "$1" site invite >"$tmp/token" && on "$2" site join - <"$tmp/token"
}

# joined_sites_up [OPTION...]: of paird
joined_sites_up ()
{
  local site
  on_exit sites_kill
  for site in a b; do
    joined_init "$site" >/dev/null || bail_out "site init fails"
    joined_start "$site" "$@"
  done
  joined_join a b >/dev/null || bail_out "the sites cannot be joined"
  wait_for 30 peers_see_each_other || bail_out "the sites do not meet"
}

fingerprint_of () { value "$1" DescribeSite Certificate.Fingerprint; }
rotation_of () { value "$1" DescribeSite Certificate.Rotation; }
rotation_is () { [ "$(rotation_of "$1")" = "$2" ]; }

# secrets_of SITE PEER: the secrets SITE shares with PEER, newest first
secrets_of ()
{
  sed -n 's/.*"secret": "\(.*\)".*/\1/p' "$tmp/$1/peers/site-$2.json"
}

# Both hold one secret, the same, and it is not $1.
one_secret ()
{
  [ "$(secrets_of a b | wc -l)" = 1 ] && [ "$(secrets_of b a)" = \
    "$(secrets_of a b)" ] && [ "$(secrets_of a b)" != "$1" ]
}
