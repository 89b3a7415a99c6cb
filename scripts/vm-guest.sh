#!/bin/sh
# Inside the emulated machine of vm-capture.sh, as its first process: runs each job under strace, then again under the
# SystemTap probes alone, and by `ioriot capture` with each backend, every time in the same directory.
export PATH=/xfer:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t debugfs debug /sys/kernel/debug
mount -t tmpfs tmpfs /run
mount -o remount,rw /
mkdir -p /dev/shm /home/ioriot
hostname ioriot
cd /xfer
echo "guest: up after $(cut -d' ' -f1 /proc/uptime) s, $(uname -r), $(stap -V 2>&1 | head -n1)"

# What a job and its tracer print goes into one file of this name every time, since the job sees the name.
said=out/said

# under MODULE NAME COMMAND...: a capture NAME.capture of the command by a module
under() {
	module=$1 name=$2
	shift 2
	extra=
	[ "$module" = namedioriot ] && extra=name=${name%%.*}
	staprun "$module.ko" -v -b 64 -o "out/$name.capture" -c "$*" $extra > $said 2>&1
	echo "guest: $name under $module: $? ($(wc -l < "out/$name.capture") lines)"
	grep -i 'warning\|error' $said
	mv $said "out/$name.staprun"
}

# by BACKEND NAME ARGUMENT...: a capture NAME.BACKEND by ioriot
by() {
	backend=$1 name=$2
	shift 2
	[ "$backend" = stap ] && set -- --module targetedioriot.ko "$@"
	ioriot capture --backend "$backend" -o "out/$name.$backend" "$@" > $said 2>&1
	echo "guest: $name by ioriot, $backend: $?"
	mv $said "out/$name.$backend.said"
}

# attached SCOPE... -- MODULE NAME: the copy job while ioriot captures a scope that is no command
attached() {
	scope=
	while [ "$1" != -- ]; do scope="$scope $1" && shift; done
	ioriot capture --backend stap --module "$2.ko" -o "out/$3.stap" $scope > $said 2>&1 &
	ioriot=$!
	while kill -0 $ioriot && [ ! -e "out/.$3.stap.unfinished/begun.json" ]; do sleep 0.1; done
	/xfer/copy /home/ioriot/copy > /dev/null 2>&1
	rm -rf /home/ioriot/copy
	kill -INT $ioriot
	wait $ioriot
	echo "guest: $3 by ioriot, stap: $?"
	mv $said "out/$3.stap.said"
}

for job in $(cat jobs); do
	dir=/home/ioriot/$job
	strace -f -ttt -T -y -yy -o "out/$job.strace" "/xfer/$job" "$dir" > $said 2>&1
	echo "guest: $job under strace: $?"
	mv $said "out/$job.said"
	rm -rf "$dir"
	under targetedioriot "$job" "/xfer/$job" "$dir"
	rm -rf "$dir"
	[ -x ioriot ] || continue
	for backend in stap ebpf; do
		by $backend "$job" -- "/xfer/$job" "$dir"
		rm -rf "$dir"
	done
done
# The other two variants.
under ioriot copy.all /xfer/copy /home/ioriot/copy
rm -rf /home/ioriot/copy
under namedioriot matrix.named /xfer/matrix /home/ioriot/matrix
rm -rf /home/ioriot/matrix
if [ -x ioriot ]; then
	ioriot capture --check --backend stap > out/check 2>&1
	echo "guest: check: $?, $(tail -n1 out/check)"
	attached --all -- ioriot copy.all
	attached --comm copy -- namedioriot copy.named
	# A shell that runs already, and starts the job when it is captured.
	sh -c 'while [ ! -e /run/go ]; do sleep 0.05; done; /xfer/copy /home/ioriot/copy' > /dev/null 2>&1 &
	shell=$!
	ioriot capture --backend stap --module targetedioriot.ko -o out/copy.pid.stap --pid $shell > $said 2>&1 &
	ioriot=$!
	while kill -0 $ioriot && [ ! -e out/.copy.pid.stap.unfinished/begun.json ]; do sleep 0.1; done
	touch /run/go
	wait $ioriot
	echo "guest: copy.pid by ioriot, stap: $?"
	mv $said out/copy.pid.stap.said
	# The wrong module, and a tracer that is killed.
	ioriot capture --backend stap --module ioriot.ko -o out/wrong -- true > out/wrong.said 2>&1
	echo "guest: wrong module: $?, $(tail -n1 out/wrong.said)"
	ioriot capture --backend stap --module targetedioriot.ko -o out/killed.stap -- \
		sh -c 'cat /proc/version; pkill -KILL -x stapio; sleep 2' > out/killed.stap.said 2>&1
	echo "guest: tracer killed: $?"
	lsmod | grep ioriot && echo "guest: modules stay behind"
fi

dmesg > out/dmesg
echo "guest: down after $(cut -d' ' -f1 /proc/uptime) s"
cd /
sync
mount -o remount,ro /xfer
mount -o remount,ro /
echo o > /proc/sysrq-trigger
sleep 60
