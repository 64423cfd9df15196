#!/bin/sh
# `anax` in PATH: runs the program on the Node that came with the package, and only without one on the Node in PATH, which may be an older one
# that would have to start the other first. Every line here is paid for by each small command: no process but readlink, which npm's link needs.

# To start Node takes longer than a small `get`: the daemon runs that as a whole, and curl hands it over. Answered is only what succeeds within a second; the usual way
# does and says everything else, as on a terminal, with settings of one's own, or without curl.
get_at_once() {
  [ -t 1 ] || [ -t 2 ] || [ -n "${ANAX_CONFIG+x}${ANAX_P2P_DAEMON_SOCKET_PATH+x}" ] || [ -e /etc/anax/anax.yaml ] && return 1
  case $(set) in *DFGET_*) return 1 ;; esac
  socket=
  last=
  for word; do
    case $last in
      -e | --endpoint) socket=$word ;;
      --data-dir) socket=$word/daemon.sock ;;
    esac
    last=$word
    shift
    set -- "$@" --data-urlencode "word=$word"
  done
  if [ -z "$socket" ]; then
    data=$ANAX_DATA_DIR
    [ -n "$data" ] || if [ "$(id -u)" = 0 ]; then data=/var/lib/anax; else data=${XDG_DATA_HOME:-$HOME/.local/share}/anax; fi
    socket=$data/daemon.sock
  fi
  [ -S "$socket.get" ] && [ -O "$socket.get" ] || return 1
  curl -q -s -f --max-time 10 --unix-socket "$socket.get" --data-urlencode "directory=$PWD" "$@" http://anax/ &
  curl=$!
  trap 'kill "$curl"; echo "error download.cancelled: the download was cancelled" >&2; exit 1' INT TERM HUP # the daemon gives it up, too
  wait "$curl"
  set -- $?
  trap - INT TERM HUP
  return "$1"
}
if [ "$1" = get ]; then
  shift
  get_at_once "$@"
  case $? in
    0) exit ;;
    18 | 28 | 52 | 55 | 56) export ANAX_GET_BEGUN=1 ;; # the daemon began, and did not say how it ended; others: it was not asked, or has refused
  esac
  set -- get "$@"
fi

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
