#!/usr/bin/env bash
# Private servers for the tests: PostgreSQL, Redis, an S3 server and a mail server, on free ports of
# 127.0.0.1 and in a fresh directory under ${TMPDIR:-/tmp}. Nothing of this machine's own servers is touched.
#
#   servers.sh run -- CMD...   start them, run CMD with the variables below, stop them; exits as CMD did
#   servers.sh start           start them in the background, or say that they run
#   servers.sh env             print the variables: eval "$(scripts/dev/servers.sh env)"
#   servers.sh status          their directory and process ids; exits 3 when they do not run
#   servers.sh stop            stop what start started and remove its directory
#
# Variables, with passwords made up for each start:
#   UPKEEP_TEST_POSTGRES_URL     superuser, database postgres; tests create databases of their own
#   UPKEEP_TEST_POSTGRES_SOCKET  directory of its unix socket
#   UPKEEP_TEST_REDIS_URL
#   UPKEEP_TEST_S3_ENDPOINT UPKEEP_TEST_S3_ACCESS_KEY UPKEEP_TEST_S3_SECRET_KEY
#   UPKEEP_TEST_S3_DIR           bucket/key as plain files, for tests that damage an object
#   UPKEEP_TEST_SMTP_HOST        Postfix; it takes mail only after STARTTLS and a login (PLAIN, LOGIN, SCRAM-SHA-256)
#   UPKEEP_TEST_SMTP_PORT UPKEEP_TEST_SMTP_TLS_PORT   with STARTTLS; with TLS from the start
#   UPKEEP_TEST_SMTP_USER UPKEEP_TEST_SMTP_PASSWORD
#   UPKEEP_TEST_SMTP_CA          file with the authority that signed its certificate
#   UPKEEP_TEST_SMTP_TO          a recipient; any other name at that domain reaches the same mailbox, but
#                                later@ is refused with 451 and never@ with 550, as is every other domain
#   UPKEEP_TEST_SMTP_MAILDIR     that mailbox
#
# PostgreSQL runs without fsync: a test of durability starts its own. As root it runs as user postgres;
# otherwise everything runs as the caller, except Postfix, which only root can start: without root the
# tests of mail fail. Servers die with this script, also when it is killed.
set -euo pipefail
set -m # each child leads its own process group, so that a group can be signaled and Ctrl-C is ours alone

script=$(readlink -f "${BASH_SOURCE[0]}")
here=$(dirname "$script")
root=$(cd "$here/../.." && pwd)

dir=      # the directory of this start
pids=()   # servers, in the order of their start
names=()  # and their names
signal=   # the signal that asked this script to end
pointer=  # the file that leads stop, env and status to dir

say() { printf 'servers: %s\n' "$1" >&2; }

die() {
	say "$1"
	[[ $# -lt 2 ]] || printf 'hint: %s\n' "$2" >&2
	exit 1
}

usage() {
	sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$script" >&2
	exit 2
}

secret() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

# --- the directory ---------------------------------------------------------------------------------

# Its lock file is locked as long as its owner lives: a directory whose lock is free was left behind
# by a script that was killed, and may go.
sweep() {
	local left
	for left in "$1"/upkeep-servers.*/; do
		left=${left%/}
		[[ -O $left && ! -L $left && -f $left/lock ]] || continue
		exec 7<"$left/lock"
		if flock -n 7; then
			say "removing $left, left behind by a script that was killed"
			rm -rf "$left"
		fi
		exec 7<&-
	done
}

make_dir() {
	local base
	for base in "${TMPDIR:-/tmp}" /tmp; do
		base=$(readlink -f "$base") || continue
		sweep "$base"
		dir=$(mktemp -d "$base/upkeep-servers.XXXXXX") || continue
		chmod 0711 "$dir"
		# A socket's path has room for 107 bytes, and postgres must be able to walk to its files.
		if [[ ${#dir} -le 80 ]] && as_postgres test -x "$dir"; then
			break
		fi
		rm -rf "$dir"
		dir=
	done
	[[ -n $dir ]] || die "no usable temporary directory: tried ${TMPDIR:-/tmp} and /tmp"
	# The lock is taken before it has its name, so that nobody sweeps a directory in the making.
	exec 8>"$dir/.lock"
	flock 8
	mv "$dir/.lock" "$dir/lock"
}

# --- starting --------------------------------------------------------------------------------------

as_postgres() {
	if [[ $(id -u) -eq 0 ]]; then
		setpriv --reuid postgres --regid postgres --init-groups -- "$@"
	else
		"$@"
	fi
}

# launch NAME DEATH-SIGNAL [setpriv options] -- CMD...: a server in the background, its output in NAME.log.
launch() {
	local name=$1 death=$2
	shift 2
	(cd "$dir" && exec setpriv --pdeathsig "$death" "$@" >"$dir/$name.log" 2>&1 </dev/null 8>&- 9>&-) &
	pids+=($!)
	names+=("$name")
}

forget_last() {
	unset 'pids[-1]' 'names[-1]'
}

# await NAME CHECK...: 0 when CHECK answers, 1 when the port was taken, else the end.
await() {
	local name=$1 pid=${pids[-1]} deadline=$((SECONDS + 60))
	shift
	while ((SECONDS < deadline)); do
		if "$@" >/dev/null 2>&1; then
			return 0
		fi
		if ! kill -0 "$pid" 2>/dev/null; then
			wait "$pid" 2>/dev/null || true
			forget_last
			if grep -qi 'address already in use' "$dir/$name.log"; then
				return 1
			fi
			tail -n 20 "$dir/$name.log" >&2
			die "$name ended at once; its last words are above"
		fi
		sleep 0.05
	done
	tail -n 20 "$dir/$name.log" >&2
	die "$name does not answer after 60 s; its last words are above"
}

# on_free_port START: the port is proven free by the server that binds it. They are taken from below
# the range that the kernel gives to outgoing connections.
on_free_port() {
	local start=$1 try
	for ((try = 0; try < 20; try++)); do
		if "$start" $((20000 + (RANDOM * 32768 + RANDOM) % 12000)); then
			return
		fi
	done
	die "$start found no free port in 20 tries"
}

set_variable() { printf 'export %s=%q\n' "$1" "$2" >>"$dir/env"; }

postgres_bin() {
	local found
	found=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
	[[ -x $found ]] || found=$(command -v initdb || true)
	[[ -n $found ]] || die "no PostgreSQL server is installed" "scripts/dev/deps.sh test"
	dirname "$(readlink -f "$found")"
}

prepare_postgres() {
	local bin
	bin=$(postgres_bin)
	postgres_password=$(secret 16)
	mkdir -m 0700 "$dir/postgres"
	mkdir -m 0755 "$dir/socket"
	(umask 077 && printf '%s\n' "$postgres_password" >"$dir/postgres/password")
	[[ $(id -u) -ne 0 ]] || chown -R postgres:postgres "$dir/postgres" "$dir/socket"
	(cd "$dir" && as_postgres "$bin/initdb" -D "$dir/postgres/data" -U postgres -A scram-sha-256 \
		--pwfile="$dir/postgres/password" --no-sync -E UTF8 --locale=C.UTF-8) \
		>"$dir/initdb.log" 2>&1 </dev/null 8>&- || {
		tail -n 20 "$dir/initdb.log" >&2
		die "initdb failed; its last words are above"
	}
}

start_postgres() {
	local port=$1 user=()
	[[ $(id -u) -ne 0 ]] || user=(--reuid postgres --regid postgres --init-groups)
	launch postgres QUIT "${user[@]}" -- "$(postgres_bin)/postgres" -D "$dir/postgres/data" -p "$port" -k "$dir/socket" \
		-c listen_addresses=127.0.0.1 -c max_connections=300 \
		-c fsync=off -c full_page_writes=off -c synchronous_commit=off
	await postgres env -i PATH="$PATH" LC_ALL=C PGPASSWORD="$postgres_password" \
		psql -X -h 127.0.0.1 -p "$port" -U postgres -d postgres -Atc 'select 1' || return 1
	set_variable UPKEEP_TEST_POSTGRES_URL "postgres://postgres:$postgres_password@127.0.0.1:$port/postgres?sslmode=disable"
	set_variable UPKEEP_TEST_POSTGRES_SOCKET "$dir/socket"
}

start_redis() {
	local port=$1 password
	password=$(secret 16)
	mkdir -p "$dir/redis"
	(umask 077 && cat >"$dir/redis/redis.conf") <<-CONF
		port $port
		bind 127.0.0.1
		requirepass $password
		save ""
		appendonly no
		dir $dir/redis
	CONF
	launch redis KILL -- redis-server "$dir/redis/redis.conf"
	await redis redis_answers "$port" "$password" || return 1
	set_variable UPKEEP_TEST_REDIS_URL "redis://default:$password@127.0.0.1:$port/0"
}

redis_answers() {
	[[ $(REDISCLI_AUTH=$2 redis-cli -h 127.0.0.1 -p "$1" ping 2>/dev/null) == PONG ]]
}

s3_metadata=() # where versitygw keeps metadata: extended attributes, unless the file system has none

start_s3() {
	local port=$1 access=upkeeptest key health
	key=$(secret 20)
	health=/health-$(secret 8)
	mkdir -p "$dir/s3/data" "$dir/s3/versions" "$dir/s3/metadata"
	chmod 0700 "$dir/s3"
	ROOT_ACCESS_KEY_ID=$access ROOT_SECRET_ACCESS_KEY=$key \
		launch s3 KILL -- "$root/.bin/versitygw" --port "127.0.0.1:$port" --quiet --health "$health" \
		posix --versioning-dir "$dir/s3/versions" "${s3_metadata[@]}" "$dir/s3/data"
	await s3 http_ok "$port" "$health" || return 1
	set_variable UPKEEP_TEST_S3_ENDPOINT "http://127.0.0.1:$port"
	set_variable UPKEEP_TEST_S3_ACCESS_KEY "$access"
	set_variable UPKEEP_TEST_S3_SECRET_KEY "$key"
	set_variable UPKEEP_TEST_S3_DIR "$dir/s3/data"
}

# The path is known to our server only: an answer from somebody else on that port is not 200.
http_ok() (
	exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
	printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$2" >&3
	read -r -t 5 line <&3
	[[ $line == *' 200 '* ]]
)

has_extended_attributes() {
	python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.upkeep", b"1")' "$dir/env" 2>/dev/null
}

# --- mail ------------------------------------------------------------------------------------------

smtp_domain=example.org # RFC 2606; nothing leaves this machine whatever the address

can_mail() {
	[[ $(id -u) -eq 0 ]] || return 1
	command -v postfix >/dev/null || die "postfix is not installed" "scripts/dev/deps.sh test"
	command -v dovecot >/dev/null || die "dovecot is not installed" "scripts/dev/deps.sh test"
}

# An authority of our own, and a certificate of it for this machine.
make_certificate() {
	local to=$1
	mkdir -m 0700 "$to"
	# shellcheck disable=SC2015 # whatever failed
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=upkeep test authority' \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign \
		-keyout "$to/ca.key" -out "$to/ca.pem" 2>"$dir/openssl.log" &&
		openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj '/CN=localhost' \
			-keyout "$to/key.pem" -out "$to/request.pem" 2>>"$dir/openssl.log" &&
		openssl x509 -req -in "$to/request.pem" -CA "$to/ca.pem" -CAkey "$to/ca.key" -days 2 \
			-extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n') \
			-out "$to/cert.pem" 2>>"$dir/openssl.log" || {
		tail -n 20 "$dir/openssl.log" >&2
		die "openssl made no certificate; its last words are above"
	}
}

# Dovecot only knows who may log in; Postfix asks it.
start_dovecot() {
	smtp_password=$(secret 16)
	mkdir -m 0755 "$dir/dovecot"
	(umask 077 && printf 'upkeep:{PLAIN}%s::::::\n' "$smtp_password" >"$dir/dovecot/users")
	chown dovecot "$dir/dovecot/users"
	cat >"$dir/dovecot/dovecot.conf" <<-CONF
		protocols =
		base_dir = $dir/dovecot/run
		state_dir = $dir/dovecot/state
		log_path = /dev/stderr
		ssl = no
		auth_mechanisms = plain login scram-sha-256
		auth_failure_delay = 0
		passdb {
		  driver = passwd-file
		  args = $dir/dovecot/users
		}
		userdb {
		  driver = static
		  args = uid=nobody gid=nogroup home=/nonexistent
		}
		service auth {
		  unix_listener $dir/dovecot/auth {
		    mode = 0600
		    user = postfix
		  }
		}
	CONF
	launch dovecot TERM -- dovecot -F -c "$dir/dovecot/dovecot.conf"
	await dovecot test -S "$dir/dovecot/auth"
}

prepare_postfix() {
	smtp_name=mail-$(secret 8).$smtp_domain
	make_certificate "$dir/certificate"
	mkdir -m 0755 "$dir/postfix" "$dir/postfix/config" "$dir/postfix/queue" "$dir/postfix/data" "$dir/mail"
	chown postfix "$dir/postfix/data"
	chown nobody:nogroup "$dir/mail"
	cp "$dir/certificate/ca.pem" "$dir/ca.pem"
	cat >"$dir/postfix/config/main.cf" <<-CONF
		compatibility_level = 3.6
		queue_directory = $dir/postfix/queue
		data_directory = $dir/postfix/data
		maillog_file = /dev/stdout
		inet_interfaces = 127.0.0.1
		inet_protocols = ipv4
		myhostname = $smtp_name
		smtpd_banner = \$myhostname ESMTP
		mydestination =
		mynetworks =
		alias_maps =
		local_recipient_maps =
		virtual_mailbox_domains = $smtp_domain
		virtual_mailbox_base = $dir/mail
		virtual_mailbox_maps = static:inbox/
		virtual_uid_maps = static:$(id -u nobody)
		virtual_gid_maps = static:$(id -g nobody)
		default_transport = error:nothing leaves this machine
		notify_classes =
		smtpd_tls_cert_file = $dir/certificate/cert.pem
		smtpd_tls_key_file = $dir/certificate/key.pem
		smtpd_tls_security_level = may
		smtpd_tls_auth_only = yes
		smtpd_sasl_auth_enable = yes
		smtpd_sasl_type = dovecot
		smtpd_sasl_path = $dir/dovecot/auth
		smtpd_relay_restrictions = reject_unauth_destination
		smtpd_recipient_restrictions =
		  check_recipient_access inline:{
		    {later@$smtp_domain = 451 4.2.1 try again later}, {never@$smtp_domain = 550 5.1.1 no such mailbox}},
		  permit_sasl_authenticated, reject
		smtpd_error_sleep_time = 0
	CONF
}

start_postfix() {
	local port=$1
	cat >"$dir/postfix/config/master.cf" <<-CONF
		127.0.0.1:$port inet n - n - - smtpd
		127.0.0.1:$((port + 1)) inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
		postlog unix-dgram n - n - 1 postlogd
		cleanup unix n - n - 0 cleanup
		qmgr unix n - n 300 1 qmgr
		tlsmgr unix - - n 1000? 1 tlsmgr
		rewrite unix - - n - - trivial-rewrite
		bounce unix - - n - 0 bounce
		defer unix - - n - 0 bounce
		trace unix - - n - 0 bounce
		verify unix - - n - 1 verify
		flush unix n - n 1000? 0 flush
		proxymap unix - - n - - proxymap
		proxywrite unix - - n - 1 proxymap
		error unix - - n - - error
		retry unix - - n - - error
		virtual unix - n n - - virtual
		anvil unix - - n - 1 anvil
	CONF
	# Not by "postfix start-fg", whose shell would be left to die alone.
	postfix -c "$dir/postfix/config" check >"$dir/postfix.log" 2>&1 || {
		tail -n 20 "$dir/postfix.log" >&2
		die "Postfix dislikes its settings; its last words are above"
	}
	# It makes a session of its own and changes its user, which takes the signal of our death from it:
	# a shell stands in between.
	# shellcheck disable=SC2016 # expanded by that shell
	launch postfix TERM -- bash -c '
		trap "kill \$master; wait \$master; exit" TERM
		"$@" &
		master=$!
		wait "$master"
	' - "$(postconf -d -h daemon_directory)/master" -c "$dir/postfix/config" -s
	await postfix smtp_answers "$port" || return 1
	set_variable UPKEEP_TEST_SMTP_HOST 127.0.0.1
	set_variable UPKEEP_TEST_SMTP_PORT "$port"
	set_variable UPKEEP_TEST_SMTP_TLS_PORT "$((port + 1))"
	set_variable UPKEEP_TEST_SMTP_USER upkeep
	set_variable UPKEEP_TEST_SMTP_PASSWORD "$smtp_password"
	set_variable UPKEEP_TEST_SMTP_CA "$dir/ca.pem"
	set_variable UPKEEP_TEST_SMTP_TO "ops@$smtp_domain"
	set_variable UPKEEP_TEST_SMTP_MAILDIR "$dir/mail/inbox"
}

# The name is known to our server only.
smtp_answers() (
	exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
	read -r -t 5 line <&3
	[[ $line == *"$smtp_name"* ]]
)

start_all() {
	local began=$SECONDS what="PostgreSQL, Redis and S3"
	command -v setpriv >/dev/null || die "setpriv is not installed" "scripts/dev/deps.sh test"
	command -v redis-server >/dev/null || die "redis-server is not installed" "scripts/dev/deps.sh test"
	command -v psql >/dev/null || die "psql is not installed" "scripts/dev/deps.sh test"
	[[ -x $root/.bin/versitygw ]] || die "versitygw is not installed" "scripts/dev/tools.sh versitygw"
	trap stop_all EXIT
	trap 'on_signal INT' INT
	trap 'on_signal TERM' TERM
	trap 'on_signal HUP' HUP
	make_dir
	(umask 077 && : >"$dir/env")
	if ! has_extended_attributes; then
		say "no extended attributes in $dir: object metadata goes to files and outlives an overwrite"
		s3_metadata=(--sidecar "$dir/s3/metadata")
	fi
	prepare_postgres
	on_free_port start_postgres
	on_free_port start_redis
	on_free_port start_s3
	if can_mail; then
		start_dovecot
		prepare_postfix
		on_free_port start_postfix
		what="PostgreSQL, Redis, S3 and SMTP"
	else
		say "no mail server: only root can start Postfix, and the tests of mail will fail"
	fi
	say "$what are up after $((SECONDS - began)) s in $dir"
}

# --- stopping --------------------------------------------------------------------------------------

on_signal() {
	signal=$1
	# Without a command there is nothing to end first.
	[[ -n ${command_pid:-} ]] || exit $((128 + $(kill -l "$1")))
}

# alive PID or -GROUP: a process that only waits to be reaped does no more, and where process 1 is no
# init nobody reaps the orphans.
alive() {
	kill -0 -- "$1" 2>/dev/null || return 1
	if [[ $1 == -* ]]; then
		ps -eo pgid=,stat= | awk -v group="${1#-}" '$1 == group && $2 !~ /^Z/ { found = 1 } END { exit !found }'
	fi
}

gone_within() {
	local pid=$1 deadline=$((SECONDS + $2))
	while alive "$pid"; do
		((SECONDS < deadline)) || return 1
		sleep 0.02
	done
}

# stop_all runs once, at exit. What the servers wrote is thrown away, so they need not be gentle.
stop_all() {
	local code=$? i
	trap '' INT TERM HUP
	trap - EXIT
	for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
		case ${names[i]} in
		postgres) kill -QUIT "${pids[i]}" 2>/dev/null || true ;;
		*) kill -TERM "${pids[i]}" 2>/dev/null || true ;;
		esac
	done
	for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
		if ! gone_within "-${pids[i]}" 10; then
			say "${names[i]} did not end within 10 s; killed"
			kill -KILL -- "-${pids[i]}" 2>/dev/null || true
			gone_within "-${pids[i]}" 10 || say "${names[i]} cannot be killed"
		fi
	done
	[[ -z $pointer ]] || rm -f "$pointer"
	[[ -z $dir ]] || rm -rf "$dir"
	exit "$code"
}

# --- commands --------------------------------------------------------------------------------------

run_command() {
	local code input=/dev/stdin
	start_all
	# A background group may not read the terminal: it would be stopped for ever.
	[[ ! -t 0 ]] || input=/dev/null
	# shellcheck source=/dev/null
	. "$dir/env"
	setpriv --pdeathsig TERM -- "$@" <"$input" 8>&- &
	command_pid=$!
	set +e
	while :; do
		wait "$command_pid"
		code=$?
		[[ -n $signal ]] && break
		kill -0 "$command_pid" 2>/dev/null || break
	done
	if [[ -n $signal ]]; then
		say "ending on SIG$signal"
		kill -"$signal" -- "-$command_pid" 2>/dev/null
		gone_within "-$command_pid" 20 || say "the command did not end within 20 s; killed"
		code=$((128 + $(kill -l "$signal")))
	elif kill -0 -- "-$command_pid" 2>/dev/null; then
		say "the command left processes behind; killed"
	fi
	kill -KILL -- "-$command_pid" 2>/dev/null
	set -e
	exit "$code"
}

# Where start remembers its directory: one file per user and checkout.
pointer_path() {
	printf '%s/upkeep-servers-%s-%s' "$(readlink -f "${TMPDIR:-/tmp}")" "$(id -u)" "$(cksum <<<"$root" | cut -d ' ' -f 1)"
}

# running_dir prints the directory of running servers, or fails.
running_dir() {
	local file found
	file=$(pointer_path)
	[[ -f $file && -O $file && ! -L $file ]] || return 1
	found=$(cat "$file")
	[[ -f $found/lock ]] && ! flock -n "$found/lock" true && printf '%s' "$found"
}

hold() {
	start_all
	printf '%s\n' "$$" >"$dir/pid"
	paste -d ' ' <(printf '%s\n' "${names[@]}") <(printf '%s\n' "${pids[@]}") >"$dir/servers"
	printf '%s\n' "$dir" >"$dir/pointer"
	pointer=$(pointer_path)
	mv -f "$dir/pointer" "$pointer"
	wait -n "${pids[@]}" || true
	say "a server ended; stopping the others"
	exit 1
}

# start and stop of one checkout exclude each other; the script file itself is the lock.
serialize() {
	exec 9<"$script"
	flock 9
}

start() {
	local log holder found
	serialize
	if found=$(running_dir); then
		say "running in $found"
		return
	fi
	log=$(mktemp)
	"$script" hold >"$log" 2>&1 </dev/null 9>&- &
	holder=$!
	disown "$holder"
	until found=$(running_dir); do
		if ! kill -0 "$holder" 2>/dev/null; then
			cat "$log" >&2
			rm -f "$log"
			die "the servers did not start; the reason is above"
		fi
		sleep 0.05
	done
	cat "$log" >&2
	rm -f "$log"
}

stop() {
	local found
	serialize
	if ! found=$(running_dir); then
		say "not running"
		return
	fi
	kill -TERM "$(cat "$found/pid")"
	flock -w 30 "$found/lock" true || die "the servers in $found did not stop within 30 s"
	[[ ! -e $found ]] || die "$found is still there"
	say "stopped"
}

status() {
	local found
	if ! found=$(running_dir); then
		say "not running"
		exit 3
	fi
	say "running in $found"
	cat "$found/servers"
}

show_env() {
	local found
	found=$(running_dir) || die "the servers do not run" "scripts/dev/servers.sh start"
	cat "$found/env"
}

case ${1:-} in
run)
	shift
	[[ ${1:-} != -- ]] || shift
	[[ $# -gt 0 ]] || usage
	run_command "$@"
	;;
start) start ;;
hold) hold ;;
stop) stop ;;
status) status ;;
env) show_env ;;
*) usage ;;
esac
