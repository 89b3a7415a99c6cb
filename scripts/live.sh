#!/bin/bash
# Captures real programs by eBPF while they run, replays what they did, and prints a row for each: the table of
# docs/FIDELITY.md. Exit code 1 when one of them misses the bar: 99.9 % same outcomes, no order violated, no event lost,
# the tree as predicted, and the tree as the program itself left it.
#
#     scripts/live.sh [--short] [PROGRAM...]
#
# Needs root. --short: small forms of what is there anyway, nothing is installed. IOR is the program to use, by default the
# release build; LIVE_DIR where to work, on a stored file system: by default /var/tmp. KEEP=1 leaves everything there.
set -uo pipefail
cd "$(dirname "$0")/.."
scripts=$PWD/scripts
source scripts/skip.sh
ior=$(realpath "${IOR:-target/release/ioriot}")
[[ -x $ior ]] || { echo "live.sh: no $ior: cargo build --release makes it, IOR names another" >&2; exit 2; }
"$ior" capture --check > /dev/null || { skip ebpf 'no live capture by eBPF here'; exit 0; }

all=(sqlite-delete sqlite-wal postgres postgres-user mariadb dovecot samba git rsync tar make fio-psync fio-libaio fio-uring)
short=
[[ ${1-} = --short ]] && { short=1; shift; all=(sqlite-delete sqlite-wal git tar make); }
(($#)) && all=("$@")
# n LARGE SMALL: one of the two.
n() { if [[ $short ]]; then echo "$2"; else echo "$1"; fi; }

# Which program each needs, and the package that has it.
declare -A program=([sqlite-delete]=sqlite3 [sqlite-wal]=sqlite3 [postgres]=pgbench [postgres-user]=pgbench
    [mariadb]=mariadb-slap [dovecot]=dovecot [samba]=smbclient [git]=git [rsync]=rsync [tar]=tar [make]=make
    [fio-psync]=fio [fio-libaio]=fio [fio-uring]=fio)
declare -A package=([pgbench]=postgresql [mariadb-slap]='mariadb-server mariadb-client' [dovecot]=dovecot-imapd
    [smbclient]='samba smbclient')
missing=()
for name in "${all[@]}"; do
    word=${program[$name]-}
    [[ $word ]] || { echo "live.sh: no program $name: choose of ${!program[*]}" >&2; exit 2; }
    # shellcheck disable=SC2206 # a package or two
    command -v "$word" > /dev/null || missing+=(${package[$word]-$word})
done
if [[ ! $short ]] && ((${#missing[@]})); then
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"; } >&2 || exit 2
fi

work=$(mktemp -d "${LIVE_DIR:-/var/tmp}/ioriot-live.XXXXXX")
chmod 755 "$work" # for the users of servers
server= # what stops a server that runs, and its home
finish() {
    [[ $server ]] && $server
    if [[ ${KEEP-} ]]; then echo "left in $work" >&2; else rm -rf "$work"; fi
}
trap finish EXIT

# Each program has a job: what is captured. It runs in a home of its own, which `before_NAME` may fill. What tunes a job
# is in the environment.
export TRANSACTIONS SECONDS_OF_FIO MAILS

MAILS=$(n 60 10)
TRANSACTIONS=$(n 500 60)
inserts() { # inserts FROM COUNT: transactions
    local i
    for ((i = $1; i < $1 + $2; i++)); do
        echo "BEGIN; INSERT INTO t VALUES ($i, hex(randomblob(200))); UPDATE t SET b = 'seen' WHERE a = $i - 10; COMMIT;"
    done
}
job_sqlite-delete() {
    sqlite3 s.db 'CREATE TABLE t (a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t (b)'
    inserts 1 "$TRANSACTIONS" | sqlite3 s.db
    sqlite3 s.db 'DELETE FROM t WHERE a % 3 = 0; VACUUM; SELECT count(*), sum(length(b)) FROM t' > counted
}
# Two writers and a reader at once.
job_sqlite-wal() {
    sqlite3 s.db 'PRAGMA journal_mode = WAL; CREATE TABLE t (a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t (b)' > said
    inserts 1 "$TRANSACTIONS" | sqlite3 -cmd '.timeout 60000' s.db &
    inserts 100000 "$TRANSACTIONS" | sqlite3 -cmd '.timeout 60000' s.db &
    for i in 1 2 3 4 5; do sqlite3 -cmd '.timeout 60000' s.db 'SELECT count(*) FROM t' >> counted; done
    wait
    sqlite3 s.db 'PRAGMA wal_checkpoint(TRUNCATE); PRAGMA integrity_check' > checked
}

before_git() {
    local i
    git init -q src
    git -C src config user.name ioriot
    git -C src config user.email ioriot@localhost
    for ((i = 0; i < $(n 30 8); i++)); do
        mkdir -p "src/dir$i"
        for f in {1..20}; do seq $((i * f)) $((i * f + 200)) > "src/dir$i/file$f"; done
        seq "$i" 3000 > src/changing
        git -C src add . && git -C src commit -q -m "commit $i"
    done
}
job_git() {
    export GIT_CONFIG_NOSYSTEM=1 HOME=$PWD
    git clone -q src clone
    git clone -q --no-local src packed
    cd clone
    git config user.name ioriot
    git config user.email ioriot@localhost
    for i in 1 2 3; do
        echo "$i" >> changing
        git commit -q -a -m "change $i"
    done
    git checkout -q -b branch HEAD~2
    git rebase -q HEAD~1
    git gc -q
    git status > ../status
    git -C ../src gc -q --aggressive
}

tree() { # some hundreds or thousands of files
    cp -r /usr/include/linux src
    [[ $short ]] || cp -r /usr/include/x86_64-linux-gnu /usr/include/c++ src 2> /dev/null
    ln -s linux/fs.h src/link
    ln src/fs.h src/hard
}
before_rsync() { tree; }
job_rsync() {
    rsync -a src/ dst/
    rm -r src/netfilter
    for f in src/a*.h; do echo '/* changed */' >> "$f"; done
    rsync -a --delete src/ dst/
    rsync -a --checksum --inplace src/ dst/
}
before_tar() { tree; }
job_tar() {
    tar cf packed.tar src
    mkdir out
    tar xf packed.tar -C out
    tar czf packed.tar.gz out
    tar df packed.tar -C out
    rm -r out
}

SOURCES=$(n 100 30)
before_make() {
    local i
    mkdir src
    for ((i = 0; i < SOURCES; i++)); do
        echo "int f$i(void);" > "src/f$i.h"
        printf '#include <stdio.h>\n#include <stdlib.h>\n#include "f%d.h"\n#include "f%d.h"\nint f%d(void) { return %d + printf("%%d", rand()); }\n' \
            "$i" $(((i + 1) % SOURCES)) "$i" "$i" > "src/f$i.c"
    done
    echo '#include "f0.h"
int main(void) { return f0() < 0; }' > src/main.c
    cat > Makefile << 'MAKE'
objects := $(patsubst src/%.c,build/%.o,$(wildcard src/*.c))
build/program: build/lib.a
	$(CC) -o $@ build/main.o build/lib.a
build/lib.a: $(objects)
	$(AR) rcs $@ $^
build/%.o: src/%.c | build
	$(CC) -O1 -MMD -c -o $@ $<
build:
	mkdir $@
clean:
	rm -r build
MAKE
}
job_make() {
    make -s -j4
    touch src/f1.c
    make -s -j4
    ./build/program > said
}

SECONDS_OF_FIO=$(n 5 2)
fio_() {
    fio --name=job --directory=. --size=32m --bs=4k --rw=randrw --runtime="$SECONDS_OF_FIO" --number_ios=$((SECONDS_OF_FIO * 2000)) \
        --output=said --eta=never "$@"
}
job_fio-psync() { fio_ --ioengine=psync --numjobs=2 --fsync=32; }
job_fio-libaio() { fio_ --ioengine=libaio --iodepth=16 --direct=1 --fdatasync=64; }
job_fio-uring() { fio_ --ioengine=io_uring --iodepth=16 --direct=1 --fdatasync=64; }

# As the user who owns the server.
pg() { (cd / && HOME=/ PATH=$(echo /usr/lib/postgresql/*/bin):$PATH exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"); }
before_postgres() {
    chown postgres .
    pg initdb -D "$PWD/data" -A trust > said
    cat >> data/postgresql.conf << CONF
listen_addresses = ''
unix_socket_directories = '$PWD'
max_wal_size = 64MB
min_wal_size = 32MB
CONF
    pg pg_ctl -s -D "$PWD/data" -l "$PWD/log" start || return
    pg pgbench -q -h "$PWD" -i -s "$(n 4 1)" postgres 2> /dev/null
}
# The server has run for a while when the capture begins, and goes on when it ends; nothing stops it.
scope_postgres() {
    local master
    master=$(head -n 1 "$1/home/data/postmaster.pid")
    echo --pid "$master,$(pgrep -d , -P "$master")"
}
job_postgres() {
    pg pgbench -h "$PWD" -c 4 -j 2 -t "$(n 1000 100)" postgres > /dev/null 2>&1
    pg psql -q -h "$PWD" -c CHECKPOINT -c 'VACUUM FULL pgbench_branches' -c 'CREATE INDEX more ON pgbench_accounts (abalance)' postgres
}

# The same with everything else that the user runs: the clients.
before_postgres-user() { before_postgres; }
scope_postgres-user() { echo --user postgres; }
job_postgres-user() { job_postgres; }

stop_postgres() { pg pg_ctl -s -D "$1/data" -m immediate stop; }
stop_postgres-user() { stop_postgres "$1"; }

# A server that uses io_uring, if the kernel lets it. It ends in the job, for it would write on afterwards.
before_mariadb() {
    chown mysql .
    mariadb-install-db --user=mysql --datadir="$PWD/data" --skip-test-db > ../said 2>&1 || return
    # Where everybody may write.
    TMPDIR=/tmp mariadbd --no-defaults --user=mysql --datadir="$PWD/data" --socket="$PWD/socket" --pid-file="$PWD/pid" \
        --skip-networking > ../log 2>&1 &
    until [[ -S socket ]]; do kill -0 $! && sleep 0.1 || return; done
}
scope_mariadb() { echo --user mysql; }
job_mariadb() {
    mariadb() { command mariadb -S "$PWD/socket" "$@" > /dev/null; }
    mariadb -e 'CREATE DATABASE t; USE t; CREATE TABLE a (i INT AUTO_INCREMENT PRIMARY KEY, b VARCHAR(2000), KEY (b(20)));
        CREATE TABLE m (i INT, b TEXT) ENGINE = aria; CREATE TABLE y (i INT, b TEXT) ENGINE = myisam'
    # As one line that ends with a semicolon, on which this program does not hang.
    mariadb-slap -S "$PWD/socket" -s -c 4 --number-of-queries="$(n 2000 200)" --create-schema=t --no-drop --query="$(echo \
        "INSERT INTO a (b) VALUES (REPEAT(UUID(), 40)); INSERT INTO m VALUES (1, REPEAT('x', 500));" \
        "INSERT INTO y VALUES (1, REPEAT('y', 300)); SELECT COUNT(*) FROM a WHERE b LIKE 'a%';")" > /dev/null
    mariadb t -e 'ALTER TABLE a ADD COLUMN c INT DEFAULT 3, ALGORITHM = COPY; OPTIMIZE TABLE y; TRUNCATE TABLE m;
        DROP TABLE y; FLUSH TABLES; SELECT * FROM a ORDER BY b LIMIT 1'
    mariadb-admin -S "$PWD/socket" shutdown
    while [[ -e pid ]]; do sleep 0.1; done
}
stop_mariadb() { [[ ! -e $1/pid ]] || kill "$(< "$1/pid")"; }

# Processes of several users, one below a root of its own, that hand connections to each other; a Maildir of one user, by
# four clients at once. What the server needs besides lies beside the home, for it has sockets.
before_dovecot() {
    mkdir mail ../state
    chown nobody mail
    cat > dovecot.conf << CONF
protocols = imap
base_dir = $PWD/../state
state_dir = $PWD/../state
log_path = $PWD/../log
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:$PWD/mail/box
listen = 127.0.0.1
service imap-login {
  inet_listener imap {
    port = 7143
  }
}
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=$PWD/mail
}
CONF
    cat > client.py << 'CLIENT'
import imaplib, sys, threading

def work(number):
    mail = imaplib.IMAP4("127.0.0.1", 7143)
    mail.login("user", "secret")
    if number == 0:
        for box in "Archive", "Trash":
            mail.create(box)
    mail.select("INBOX")
    for count in range(int(sys.argv[1])):
        head = f"From: a@b\r\nTo: c@d\r\nSubject: {number} {count}\r\nMessage-ID: <{number}.{count}@b>\r\n\r\n"
        mail.append("INBOX", None, None, (head + "Hello, world.\r\n" * count * 5).encode())
    own = mail.search(None, "SUBJECT", f'"{number} "')[1][0].split()
    for message in own[:20]:
        mail.fetch(message, "(RFC822)")
        mail.store(message, "+FLAGS", "\\Seen")
    if own[10:20]:
        mail.copy(b",".join(own[10:20]), "Trash")
    for message in own[:10]:
        mail.store(message, "+FLAGS", "\\Deleted")
    mail.expunge()
    mail.fetch("1:*", "(FLAGS ENVELOPE)")
    mail.logout()

work(0)
threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2, 3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
CLIENT
}
job_dovecot() {
    dovecot -F -c "$PWD/dovecot.conf" &
    until (: < /dev/tcp/127.0.0.1/7143) 2> /dev/null; do kill -0 $! && sleep 0.1 || return; done
    python3 client.py "$MAILS"
    kill $!
    wait
}

# A share, by clients one after the other and three at once.
before_samba() {
    tree
    mkdir share ../state
    cat > smb.conf << CONF
[global]
private dir = $PWD/../state
lock directory = $PWD/../state
state directory = $PWD/../state
cache directory = $PWD/../state
pid directory = $PWD/../state
ncalrpc dir = $PWD/../state/rpc
log file = $PWD/../state/log
map to guest = Bad User
smb ports = 7445
interfaces = 127.0.0.1
bind interfaces only = yes
server role = standalone
disable spoolss = yes
load printers = no
[share]
path = $PWD/share
guest ok = yes
read only = no
force user = root
CONF
}
job_samba() {
    smbd -F -s "$PWD/smb.conf" > said 2>&1 &
    local server=$!
    until (: < /dev/tcp/127.0.0.1/7445) 2> /dev/null; do kill -0 $server && sleep 0.1 || return; done
    client() { smbclient -s "$PWD/smb.conf" -p 7445 //127.0.0.1/share -N -c "$1" > /dev/null 2>&1; }
    client 'mkdir a; mkdir a\b; cd a; put src/fs.h one; put src/kvm.h b\two; rename one b\three; ls b\*; del nothing; rmdir b'
    local clients=() i
    for i in 1 2 3; do
        client "prompt; mkdir d$i; cd d$i; lcd src; mput a*.h; mput b*.h; mput n*.h; ls; mget ne*.h; del b*.h" &
        clients+=($!)
    done
    wait "${clients[@]}"
    client 'deltree d1; ls; allinfo d2\fs.h; du'
    kill $server
    wait $server
}

# Captures a job from its start, its descendants with it.
command_of() {
    "$ior" capture -o "$1/capture" --format json -- bash -c "cd '$1/home' && $(declare -f inserts fio_ "job_$2"); job_$2" > "$1/capture.json"
}
# Captures what runs already, while somebody else gives it work.
running() {
    local pid
    # shellcheck disable=SC2046
    "$ior" capture -o "$1/capture" --format json $("scope_$2" "$1") > "$1/capture.json" &
    pid=$!
    until [[ -d $1/.capture.unfinished ]]; do
        kill -0 $pid 2> /dev/null || return
        sleep 0.05
    done
    (cd "$1/home" && "job_$2")
    kill -INT $pid
    wait $pid
}

one() { # one NAME: its row
    local dir=$work/$1 began=$SECONDS how=command_of
    mkdir -p "$dir/home"
    if declare -f "before_$1" > /dev/null; then (cd "$dir/home" && "before_$1") || return; fi
    declare -f "stop_$1" > /dev/null && server="stop_$1 $dir/home"
    declare -f "scope_$1" > /dev/null && how=running
    # What is older than this mark was not made by the job.
    sleep 0.02
    touch "$dir/began"
    $how "$dir" "$1" || echo "live.sh: the capture of $1 ended with $?" >&2
    cp -a "$dir/home" "$dir/left"
    [[ $server ]] && $server
    server=
    "$ior" generate "$dir/capture" -o "$dir/workload" --format json > "$dir/generate.json" &&
        "$ior" init "$dir/workload" --root "$dir/root" --format json > "$dir/init.json" || return
    "$ior" replay "$dir/workload" --root "$dir/root" -o "$dir/run" --pace asap --min-match 0 --format json > "$dir/replay.json"
    python3 "$scripts/live_row.py" "$1" "$dir" $((SECONDS - began))
    local met=$?
    [[ ${KEEP-} ]] || rm -rf "$dir/root" "$dir/left" "$dir/run" "$dir/workload"
    return $met
}

python3 "$scripts/live_row.py"
code=0
for name in "${all[@]}"; do
    if ! command -v "${program[$name]}" > /dev/null; then
        skip "${program[$name]}" "$name, for there is no ${program[$name]} here"
        continue
    fi
    one "$name" || { code=1; echo "live.sh: $name missed the bar" >&2; }
done
exit $code
