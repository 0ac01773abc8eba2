# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts of this folder; sourced, not run.

# What a build needs, what the tests need besides, what the quickstart shows. Debian packages only.
TL_BUILD_PACKAGES="gcc libc6-dev meson ninja-build pkg-config libdpdk-dev libpcap-dev libyaml-dev
libprotobuf-c-dev protobuf-c-compiler libcurl4-openssl-dev libsnappy-dev libmicrohttpd-dev
zlib1g-dev libzstd-dev libjansson-dev libsmartcols-dev python3-minimal"
TL_TEST_PACKAGES="libcmocka-dev clang libclang-rt-14-dev iproute2 ethtool tcpdump curl nginx-light wrk
unbound bind9-dnsutils dnsperf prometheus python3-prometheus-client python3 shellcheck util-linux
git ca-certificates libnghttp2-dev apache2-bin nghttp2-client nghttp2-server
python3-h2 python3-grpcio redis-server redis-tools python3-redis mariadb-server
mariadb-client python3-pymysql python3-mysqldb libmariadb-dev libmariadb-java default-jdk-headless
postgresql postgresql-contrib python3-psycopg2 python3-snappy python3-protobuf protobuf-compiler openssl
victoria-metrics librdkafka-dev kcat python3-kafka rabbitmq-server
python3-pika python3-pymongo python3-bson python3-zstandard libmongoc-dev libbpf-dev
libelf-dev linux-perf"
TL_SHOW_PACKAGES="iproute2 curl nginx-light unbound bind9-dnsutils"

tl_say() { printf '== %s\n' "$*"; }
tl_die() { printf '%s\n' "$*" >&2; exit 1; }

# Elapsed whole seconds since the script began.
tl_elapsed() { printf '%ds' "$SECONDS"; }

# Installs what is missing, quietly. Debian starts services when it installs them; a policy-rc.d
# forbids that meanwhile and is removed again.
tl_install() {
	local missing=() package
	for package in "$@"; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
			missing+=("$package")
	done
	[ ${#missing[@]} -eq 0 ] && return 0
	[ "$(id -u)" -eq 0 ] || tl_die "these packages are missing, run as root: ${missing[*]}"
	tl_say "installing ${#missing[@]} packages"
	local policy=/usr/sbin/policy-rc.d made='' log
	log=$(mktemp)
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made=yes
	fi
	if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
		--no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
		tail -n 20 "$log" >&2
		[ -n "$made" ] && rm -f "$policy"
		tl_die "apt-get install failed; see above"
	fi
	[ -n "$made" ] && rm -f "$policy"
	rm -f "$log"
}

# tl_build FOLDER [meson option ...]: configures once, builds; what went wrong is printed.
tl_build() {
	local folder=$1 log
	shift
	log=$(mktemp)
	if [ ! -f "$folder/build.ninja" ]; then
		meson setup "$folder" "$@" >"$log" 2>&1 || { tail -n 30 "$log" >&2; tl_die "meson setup failed"; }
	fi
	ninja -C "$folder" >"$log" 2>&1 || { grep -E 'error|warning|FAILED' "$log" | head -n 40 >&2; tl_die "the build failed"; }
	rm -f "$log"
}
