#!/bin/sh
# The main job, for real: four hosts on this machine, one image, three
# environments. "demo.sh up" and "demo.sh down"; make demo and make demo-down
# call it. $DEMO_DIR is where it keeps its files, $DEMO_LAB the lab's name.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
PATH=$root/bin:$PATH
dir=${DEMO_DIR:-$root/.cache/demo}
export DRAY_DATA_DIR="$dir/data"
project=$dir/web # a copy: the lock file that dray writes there names this lab's hosts
lab() { "$root/bin/lab" --name "${DEMO_LAB:-demo}" "$@"; }

case ${1:-up} in
down)
  dray builder stop >/dev/null 2>&1 || true
  lab down
  rm -rf "$dir"
  rmdir "$root/.cache" 2>/dev/null || true # others may keep something there
  echo "The demo is gone."
  exit
  ;;
up) ;;
*)
  echo "usage: demo.sh up|down" >&2
  exit 2
  ;;
esac

if [ "$(id -u)" != 0 ]; then
  echo "The demo makes hosts out of namespaces, which takes root: sudo make demo" >&2
  exit 1
fi
mkdir -p "$project"
cp -R "$root/examples/web/." "$project"
lab up --hosts d1,t1,p1,p2
{
  lab env
  echo "export DRAY_DATA_DIR='$DRAY_DATA_DIR' PATH='$root/bin':\$PATH"
} >"$dir/env"
# shellcheck disable=SC1091 # made a line ago
. "$dir/env"

cd "$project"
dray ship
echo
dray status
echo
for host in d1 t1 p1 p2; do
  address=$(sed -n "s|^# $host	.*@\([^:]*\).*|\1|p" "$dir/env")
  printf '%s  http://%s/version  ' "$host" "$address"
  curl -fsS --max-time 5 "http://$address/version"
done

cat <<TEXT

The lab is up. To try it:
  . $dir/env; cd $project
and then:
  dray deploy dev --var version=2.0    a change, in dev only
  dray status                          what runs where, what waits
  dray promote dev test                the same digest, to test
  dray promote prod                    and to prod, without a lost request
  dray rollback prod                   back again
  dray logs prod web -f                what the containers write
  dray exec -it dev web -- sh          look inside one
  dray ps; dray stats prod; dray history prod
make demo-down removes every trace.
TEXT
