#!/bin/sh -
# Make configure from configure.ac; run it once after a clone.
set -e
cd "$(dirname "$0")"
mkdir -p m4 build-aux
exec autoreconf --install --force
