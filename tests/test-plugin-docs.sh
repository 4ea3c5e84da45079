# The man page: its parameters are those of --help, its examples run.

source "${0%/*}/functions.sh"
source "${0%/*}/plugin-functions.sh"
requires qemu-img podchecker

pod=$top_srcdir/plugin/nbdkit-pairdisk-plugin.pod
ok 'the POD is well-formed' podchecker -warnings "$pod"

# key=VALUE of both, one a line.
in_help=$(with_preload nbdkit "$plugin" --help |
  sed -n '/nbdkit-pairdisk-plugin\|pairdisk/,$p' |
  grep -oE '^(\[dir=\]|[a-z]+=)' | tr -d '[]' | sort -u)
in_pod=$(sed -n '/^=head1 PARAMETERS/,/^=head1 NOTES/p' "$pod" |
  sed -n 's/^=item \[\{0,1\}B<\([a-z]*=\).*/\1/p' | sort -u)
is '--help and the man page name the same parameters' "$in_help" "$in_pod"
ok 'there are some' grep -q '^dir=' <<<"$in_pod"

# The examples as they stand, in one directory, in order; nbdkit finds the
# plugin and pairctl is the built one.
mkdir "$tmp/bin" "$tmp/images"
cat >"$tmp/bin/nbdkit" <<SHELL
#!/bin/bash
args=()
for arg; do [ "\$arg" = pairdisk ] && arg='$plugin'; args+=("\$arg"); done
LD_PRELOAD='$sanitizer_preload' exec '$(command -v nbdkit)' "\${args[@]}"
SHELL
printf '#!/bin/bash\nLD_PRELOAD=%q exec %q "$@"\n' \
  "$sanitizer_preload" "$pairctl" >"$tmp/bin/pairctl"
chmod +x "$tmp/bin/nbdkit" "$tmp/bin/pairctl"
pattern "$tmp/images/web.img" $((8 * 1024 * 1024)) 4

# Verbatim blocks of EXAMPLES, numbered.
sed -n '/^=head1 EXAMPLES/,/^=head1 PARAMETERS/p' "$pod" |
  awk -v out="$tmp/example" '
    /^ / { if (!inside) n++; inside = 1; print substr($0, 2) > (out n) ; next }
    { inside = 0 }'
cd "$tmp/images" || exit 1
for example in "$tmp"/example*; do
  name="example ${example##*example}"
  if grep -q systemd-socket-activate "$example"; then
    skip "$name" 'it never ends; the agent tests run the like'
    continue
  fi
  ok "$name" env PATH="$tmp/bin:$PATH" bash -e "$example"
  # An example that leaves a server ends it without waiting.
  if [ -e nbdkit.pid ]; then
    wait_for 30 is_gone "$(cat nbdkit.pid)"
  fi
done
ok 'the image came out as it went in' bash -c \
  "qemu-img dd -f qcow2 -O raw bs=1M count=8 if=web.qcow2 of=out.img &&
   cmp web.img out.img"
done_testing
