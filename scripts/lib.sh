# Functions shared by the scripts of this folder. Source it: `. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"`.
# Everything built or downloaded lies under $EVERSTEP_CACHE, never in the checkout.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export EVERSTEP_CACHE=${EVERSTEP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/everstep}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$EVERSTEP_CACHE/target}
PYTHON=$EVERSTEP_CACHE/venv/bin/python
mkdir -p "$EVERSTEP_CACHE"

say() { printf '%s\n' "$*"; }
heading() { printf '\n== %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Runs a command as root: directly, or through sudo.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# What rustc, bindgen and librocksdb-sys need to find. RocksDB itself: scripts/rocksdb.
rust_environment() {
  export BINDGEN_EXTRA_CLANG_ARGS=${BINDGEN_EXTRA_CLANG_ARGS:--I$(gcc -print-file-name=include)}
  if [ -z "${ROCKSDB_LIB_DIR:-}" ]; then
    ROCKSDB_LIB_DIR=$("$ROOT/scripts/rocksdb")
    export ROCKSDB_LIB_DIR
  fi
  export ROCKSDB_STATIC=1
}

# Builds the server (profile: release or debug) and sets EVERSTEP to the program. One that is given there is taken as it is.
build_server() {
  [ -z "${EVERSTEP:-}" ] || return 0
  local profile=${1:-release} flags=()
  [ "$profile" = release ] && flags=(--release)
  (cd "$ROOT" && cargo build --locked "${flags[@]}" --bin everstep)
  EVERSTEP=$CARGO_TARGET_DIR/$profile/everstep
}

# The virtual environment of all Python programs here, made once for each content of requirements.txt.
python_environment() {
  local wanted stamp=$EVERSTEP_CACHE/venv/requirements.sum
  wanted=$(sha256sum "$ROOT/scripts/requirements.txt" | cut -d' ' -f1)
  [ -x "$PYTHON" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
  say "Making a Python environment with the official Temporal SDK in $EVERSTEP_CACHE/venv"
  python3 -m venv --clear "$EVERSTEP_CACHE/venv"
  "$PYTHON" -m pip -q --disable-pip-version-check install -r "$ROOT/scripts/requirements.txt"
  printf '%s\n' "$wanted" >"$stamp"
}

# The packages of package-lock.json, in this folder, once. A registry that lacks packages for other platforms leaves gaps in
# that file, over which `npm ci` stops; `npm install` takes the same versions.
install_node_packages() {
  cmp -s package-lock.json node_modules/.installed && return
  npm ci --silent --no-audit --no-fund || npm install --silent --no-audit --no-fund
  cp package-lock.json node_modules/.installed
}

# A TCP port that nobody listens on at this moment, below the range of outgoing connections.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  printf '%s\n' "$port"
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Background processes by id; `stop_started` ends them, the newest first. Call it from a trap.
STARTED=()

# start LOG COMMAND…: runs a command in the background, with its output in LOG. Its id is then in $!.
start() {
  local log=$1
  shift
  "$@" >"$log" 2>&1 </dev/null &
  STARTED+=($!)
}

running() { kill -0 "$1" 2>/dev/null; }

# Ends one process of ours: SIGTERM, and after 10 s SIGKILL.
stop() {
  local pid=$1 n
  running "$pid" || return 0
  kill -TERM "$pid" 2>/dev/null || return 0
  for ((n = 0; n < 100; n++)); do
    running "$pid" || break
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

stop_started() {
  local i
  for ((i = ${#STARTED[@]} - 1; i >= 0; i--)); do stop "${STARTED[i]}"; done
  STARTED=()
}

# await_server ADDRESS PID LOG: waits until the server answers health checks with SERVING, at most 30 s.
await_server() {
  local address=$1 pid=$2 log=$3
  if ! "$PYTHON" "$ROOT/scripts/everstep_cluster.py" wait --address "$address" --pid "$pid"; then
    tail -n 20 "$log" >&2
    die "the server at $address did not become ready (its log: $log)"
  fi
}

# What the golden scenarios and the SDKs' suites want the server to be set to (tests/golden/README.md).
COMPATIBILITY_FLAGS=(
  --dynamic-config-value 'history.workflowIdReuseMinimalInterval="0s"'
  --dynamic-config-value system.enableActivityEagerExecution=true
  --dynamic-config-value system.enableCrossNamespaceCommands=false
  --dynamic-config-value matching.maxDeployments=100000
  --dynamic-config-value frontend.MaxConcurrentBatchOperationPerNamespace=1000
  --dynamic-config-value frontend.enableCancelWorkerPollsOnShutdown=true
  --dynamic-config-value 'component.callbacks.allowedAddresses=[{"Pattern":"*","AllowInsecure":true}]'
)

# start_one DIR / start_three DIR: a server on free ports with its data and log in DIR; sets ADDRESS and SERVER_PID.
start_one() {
  local dir=$1 port
  mkdir -p "$dir"
  port=$(free_port)
  ADDRESS=127.0.0.1:$port
  start "$dir/server.log" "$EVERSTEP" server start-dev --port "$port" --ui-port "$(free_port)" --http-port "$(free_port)" \
    --db-filename "$dir/db" "${COMPATIBILITY_FLAGS[@]}"
  SERVER_PID=$!
  await_server "$ADDRESS" "$SERVER_PID" "$dir/server.log"
}

start_three() {
  local dir=$1 port
  mkdir -p "$dir"
  port=$(free_port)
  ADDRESS=127.0.0.1:$port
  start "$dir/server.log" "$EVERSTEP" dev --nodes 3 --db "$dir/db" --port "$port" --ui-port "$(free_port)" \
    --http-port "$(free_port)" "${COMPATIBILITY_FLAGS[@]}"
  SERVER_PID=$!
  await_server "$ADDRESS" "$SERVER_PID" "$dir/server.log"
}
