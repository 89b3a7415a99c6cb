#!/bin/sh
# A small job as people run it: files made, copied, packed, unpacked, renamed, linked, edited and removed by a shell and
# its tools, in several processes. The argument is a directory to make.
set -e
mkdir "$1"
cd "$1"
umask 022

mkdir -p tree/deep/er
for i in 1 2 3 4 5 6 7 8; do
	echo "line of file $i" > "tree/file$i"
	cat "tree/file$i" "tree/file$i" >> tree/all
done
dd if=/dev/zero of=tree/deep/big bs=64k count=8 status=none
: > log
: > 'tree/deep/a name; with \ blanks'
ln -s ../file1 tree/deep/link
ln tree/file2 tree/hard

cp -a tree copy
tar cf packed.tar copy
mkdir unpacked
tar xf packed.tar -C unpacked
mv unpacked/copy/deep unpacked/moved
mv unpacked/copy/file1 unpacked/copy/first
: > list # find sees it, however late sort begins
find . -type f | sort > list
grep -r line unpacked > found
(cd unpacked && sed -i 's/line/LINE/' copy/first && cat ../list > copy/second)
truncate -s 1000 copy/deep/big
touch -d 2020-01-02 copy/file3
chmod 600 copy/file3
head -c 100 < packed.tar > head
exec 5>> log
echo appended >&5
(echo in a subshell >&5)
sync log
rm -r copy
rmdir tree/deep/er
! cat nothing 2> log
