#!/bin/sh
# `anax` in PATH: runs the program on the Node that came with the package, and only without one on the Node in PATH, which may be an older one
# that would have to start the other first. Every line here is paid for by each small command: no process but readlink, which npm's link needs.
file=$0
while [ -L "$file" ]; do
  to=$(readlink "$file")
  case $to in
    /*) file=$to ;;
    *) file=${file%/*}/$to ;;
  esac
done
case $file in
  */*) here=${file%/*} ;;
  *) here=. ;; # as `sh anax`
esac
# npm installs none that is for another machine.
for node in "$here"/../../node_modules/node-linux-*/bin/node "$here"/../../../node-linux-*/bin/node; do
  [ -x "$node" ] && exec "$node" --disable-warning=ExperimentalWarning "$here/anax.js" "$@"
done
exec node --disable-warning=ExperimentalWarning "$here/anax.js" "$@"
