#!/bin/bash -
# The story ./quickstart tells, as a test: image in, pair, kill -9 of the first
# site in mid-write, failover, every byte right.
exec "$(dirname "${BASH_SOURCE[0]}")/story.sh" --tap
