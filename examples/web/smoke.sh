#!/bin/sh
# Passes when every published address answers. dray gives the addresses.
set -eu
for url in $DRAY_URLS; do
  printf '%s/up: ' "$url"
  curl -fsS --max-time 5 "$url/up"
  printf '%s/version: ' "$url"
  curl -fsS --max-time 5 "$url/version"
done
