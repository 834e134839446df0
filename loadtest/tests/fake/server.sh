#!/bin/sh
# Starts and ends as BEHAVIOUR says; serves nothing. For tests of the code that starts and stops a server.
case "$BEHAVIOUR" in
  right) trap 'exit 0' TERM ;;
  deaf) trap '' TERM ;;
  absent) echo "x ERROR no address" >&2 && exit 78 ;;
  careless) ;;
esac
echo "listening http 127.0.0.1:1"
while :; do sleep 0.01; done
