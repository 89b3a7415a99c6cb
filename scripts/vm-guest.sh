#!/bin/sh
# Inside the emulated machine of vm-capture.sh, as its first process: runs each job under strace, then again under the
# SystemTap probes, both times in the same directory.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t debugfs debug /sys/kernel/debug
mount -t tmpfs tmpfs /run
mount -o remount,rw /
mkdir -p /dev/shm /home/ioriot
hostname ioriot
cd /xfer
echo "guest: up after $(cut -d' ' -f1 /proc/uptime) s, $(uname -r), $(stap -V 2>&1 | head -n1)"

# What a job and its tracer print goes into one file of this name both times, since the job sees the name.
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

for job in $(cat jobs); do
	dir=/home/ioriot/$job
	strace -f -ttt -T -y -yy -o "out/$job.strace" "/xfer/$job" "$dir" > $said 2>&1
	echo "guest: $job under strace: $?"
	mv $said "out/$job.said"
	rm -rf "$dir"
	under targetedioriot "$job" "/xfer/$job" "$dir"
	rm -rf "$dir"
done
# The other two variants.
under ioriot copy.all /xfer/copy /home/ioriot/copy
rm -rf /home/ioriot/copy
under namedioriot matrix.named /xfer/matrix /home/ioriot/matrix

dmesg > out/dmesg
echo "guest: down after $(cut -d' ' -f1 /proc/uptime) s"
cd /
mount -o remount,ro /xfer
mount -o remount,ro /
echo o > /proc/sysrq-trigger
sleep 60
